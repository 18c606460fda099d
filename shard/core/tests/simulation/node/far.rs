//! What a node's clients know of those of other nodes.

use ringmain_core::DropReason;

use super::Node;
use crate::oracle::{Client, Kind};

/// How long after its join a member hears other nodes for sure: the subscription has reached the broker.
const HEARS_FAR_MS: u64 = 200;

/// One who publishes, on any node.
#[derive(Clone, Copy)]
pub struct Publisher {
    pub number: usize,
    pub room: usize,
    pub begun: u32,
}

impl Node {
    /// The clients that are there, each with what it has published.
    pub fn publishers(&self) -> impl Iterator<Item = Publisher> {
        let there = self.clients.iter().enumerate();
        there
            .filter(|(n, client)| !self.sockets[*n].is_ended && !client.is_closed)
            .map(|(n, client)| Publisher {
                number: self.first + n,
                room: client.room,
                begun: client.begun,
            })
    }

    /// Members that hear other nodes from now on note what has been published there.
    pub fn note_far(&mut self, far: impl Fn() -> Vec<Publisher>) {
        for client in &mut self.clients {
            let hears = |&at: &ringmain_core::Tick| self.now.since(at) >= HEARS_FAR_MS;
            if client.hears_far || !client.joined_at.as_ref().is_some_and(hears) {
                continue;
            }
            client.hears_far = true;
            for publisher in far().iter().filter(|far| far.room == client.room) {
                let before = &mut client.begun_before;
                before.insert(publisher.number, publisher.begun);
            }
        }
    }

    /// Every member that is there has all that those have published since it began to hear them.
    pub fn check_far(&self, far: &[Publisher]) {
        for (index, client) in self.clients.iter().enumerate() {
            let is_there = !self.sockets[index].is_ended && !client.is_closed;
            if !is_there || client.kind == Kind::Publisher {
                continue;
            }
            assert!(client.hears_far, "every join is answered");
            for publisher in far.iter().filter(|far| far.room == client.room) {
                client.check(publisher.number, publisher.begun, false);
            }
        }
    }

    /// The most messages of other nodes that one member misses between those that it got.
    pub fn far_gaps(&self) -> u64 {
        let gaps = self.clients.iter().map(|client: &Client| client.far_gaps);
        gaps.max().unwrap_or(0)
    }

    /// What the cores have dropped for full lanes, that to the link among them.
    pub fn lane_full(&self) -> u64 {
        let dropped = |core: &super::Core| core.stats.drops[DropReason::LaneFull as usize].get();
        self.cores.iter().map(dropped).sum()
    }
}
