//! Which other nodes there are.

use std::collections::BTreeMap;

use super::envelope::Source;
use super::limits::{DEPARTED_MAX, DEPARTED_MS, NODES_MAX, SILENCE_MS};
use super::notice::{Announcement, Heard};
use super::subject::NodeName;
use crate::tick::Tick;

/// Another node, as it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Larger with each of its starts.
    pub incarnation: u64,
    /// Where clients connect.
    pub address: String,
    /// Its version.
    pub version: String,
    /// Its open connections.
    pub connections: u64,
    /// Its rooms with members.
    pub rooms: u64,
    /// When this node heard of it first.
    pub since: Tick,
    /// When this node heard of it last.
    pub heard: Tick,
    /// Its time then.
    time_ms: u64,
    /// How long a message takes there and back, in milliseconds, the way through both nodes included.
    pub round_trip_ms: Option<u64>,
}

/// What has become of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Joined(NodeName),
    /// It is there again, after a start of its own.
    Restarted(NodeName),
    /// It has left in order.
    Left(NodeName),
    /// It is silent.
    Gone(NodeName),
    /// It uses this node's own name.
    SameName,
}

/// The other nodes.
#[derive(Debug, Default)]
pub struct Membership {
    peers: BTreeMap<NodeName, Peer>,
    /// Incarnations that were here, the latest of them, and since when they are not.
    departed: BTreeMap<u64, Tick>,
    /// Silence before this says nothing.
    forgiven: Tick,
}

/// Whether an incarnation is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Here,
    /// It has not announced itself yet, was gone long ago, or only just.
    Unknown,
    /// It was, and is no more: nothing of it comes in any more.
    Gone,
}

impl Membership {
    /// A node has announced itself to the node `me`.
    pub fn announced(
        &mut self,
        me: &Source,
        from: &Source,
        told: Announcement,
        now: Tick,
    ) -> Option<Change> {
        if from.node == me.node {
            return Some(Change::SameName);
        }
        let about_me = |heard: &&Heard| heard.incarnation == me.incarnation;
        let round_trip_ms = told.heard.iter().find(about_me).map(|heard| {
            // Its wait is no part of the way.
            now.0
                .saturating_sub(heard.time_ms)
                .saturating_sub(heard.ago_ms)
        });
        let before = self.peers.get(&from.node);
        let change = match before {
            Some(peer) if peer.incarnation > from.incarnation => return None,
            Some(peer) if peer.incarnation == from.incarnation => None,
            Some(_) => Some(Change::Restarted(from.node.clone())),
            None if self.peers.len() >= NODES_MAX => return None,
            None => Some(Change::Joined(from.node.clone())),
        };
        let since = match (before, &change) {
            (Some(peer), None) => peer.since,
            _ => now,
        };
        let round_trip_ms = round_trip_ms.or_else(|| match change {
            None => before.and_then(|peer| peer.round_trip_ms),
            Some(_) => None,
        });
        let peer = Peer {
            incarnation: from.incarnation,
            address: told.address,
            version: told.version,
            connections: told.connections,
            rooms: told.rooms,
            since,
            heard: now,
            time_ms: told.time_ms,
            round_trip_ms,
        };
        self.departed.remove(&from.incarnation);
        if let Some(before) = self.peers.insert(from.node.clone(), peer)
            && before.incarnation != from.incarnation
        {
            self.depart(before.incarnation, now);
        }
        change
    }

    /// A node says that it ends.
    pub fn left(&mut self, from: &Source, now: Tick) -> Option<Change> {
        let peer = self.peers.get(&from.node)?;
        if peer.incarnation != from.incarnation {
            return None;
        }
        self.peers.remove(&from.node);
        self.depart(from.incarnation, now);
        Some(Change::Left(from.node.clone()))
    }

    /// The next node that has been silent for too long.
    pub fn poll_gone(&mut self, now: Tick) -> Option<Change> {
        let (name, peer) = self
            .peers
            .iter()
            .find(|(_, peer)| now.since(peer.heard.max(self.forgiven)) >= SILENCE_MS)?;
        let (name, incarnation) = (name.clone(), peer.incarnation);
        self.peers.remove(&name);
        self.depart(incarnation, now);
        Some(Change::Gone(name))
    }

    /// While nothing could come in, silence says nothing of others.
    pub fn forgive_silence(&mut self, now: Tick) {
        self.forgiven = now;
    }

    /// What to tell others of when they were heard of.
    pub fn heard(&self, now: Tick) -> Vec<Heard> {
        let heard = |peer: &Peer| Heard {
            incarnation: peer.incarnation,
            time_ms: peer.time_ms,
            ago_ms: now.since(peer.heard),
        };
        self.peers.values().map(heard).collect()
    }

    fn depart(&mut self, incarnation: u64, now: Tick) {
        self.departed.insert(incarnation, now);
        if self.departed.len() > DEPARTED_MAX {
            // The one that started first.
            self.departed.pop_first();
        }
    }

    /// How an incarnation stands.
    pub fn standing(&self, incarnation: u64, now: Tick) -> Standing {
        if self.has(incarnation) {
            Standing::Here
        } else {
            // Of one that has just gone something may still come in.
            match self.departed.get(&incarnation) {
                Some(since) if now.since(*since) >= DEPARTED_MS => Standing::Gone,
                _ => Standing::Unknown,
            }
        }
    }

    /// Whether a node of this incarnation is there.
    pub fn has(&self, incarnation: u64) -> bool {
        let mut peers = self.peers.values();
        peers.any(|peer| peer.incarnation == incarnation)
    }

    /// The nodes that are there.
    pub fn peers(&self) -> &BTreeMap<NodeName, Peer> {
        &self.peers
    }
}
