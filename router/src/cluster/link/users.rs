//! Connections of users on other nodes: when they are told, and when they count no more.

use std::collections::BTreeSet;

use super::{ClusterLink, Message, Output};
use crate::cluster::envelope::Source;
use crate::cluster::limits::{SILENCE_MS, USERS_NOTICES_MAX};
use crate::cluster::membership::Change;
use crate::cluster::notice::Notice;
use crate::cluster::users::UsersTold;
use crate::subject::SubjectId;
use crate::tick::Tick;

impl ClusterLink {
    pub(super) fn users_told(&mut self, from: &Source, told: &UsersTold) {
        // What a node tells before it has announced itself it tells again behind its announcement.
        if self.membership.has(from.incarnation) {
            let unfollowed = self.users.told(from.incarnation, told);
            self.counters.users_unfollowed += unfollowed;
        }
    }

    /// Another node has come, or gone: the newcomer has to be told of users, and those of who is gone do not count.
    pub(super) fn changed(&mut self, change: Option<Change>) {
        let Some(change) = change else {
            return;
        };
        if matches!(
            change,
            Change::Restarted(_) | Change::Left(_) | Change::Gone(_)
        ) {
            let peers = self.membership.peers().values();
            let there: BTreeSet<u64> = peers.map(|peer| peer.incarnation).collect();
            self.users.keep_only(|node| there.contains(&node));
        }
        if matches!(change, Change::Joined(_) | Change::Restarted(_)) {
            self.users.welcome();
        }
        self.outputs.push_back(Output::Changed(change));
    }

    /// Tells other nodes of users, as far as the queue is not wanted for publications. Without the broker for as long as a
    /// node may be silent, nobody's connections elsewhere count: what others have is not known any more.
    pub(super) fn tell_users(&mut self, now: Tick) {
        if let Some(since) = self.interrupted {
            if now.since(since) >= SILENCE_MS {
                self.users.keep_only(|_| false);
            }
            return;
        }
        for _ in 0..USERS_NOTICES_MAX {
            if self.is_leaving || self.outbound.is_half_full() {
                return;
            }
            let Some(told) = self.users.poll() else {
                return;
            };
            let message = Message {
                subject: self.subjects.nodes(),
                payload: Notice::Users(told).encode(&self.me),
                publications: 0,
            };
            self.outbound.push_behind(message, now);
        }
    }

    /// Connections that a user has on other nodes, as far as these have told.
    pub fn elsewhere(&self, user: SubjectId) -> u32 {
        self.users.elsewhere(user)
    }

    /// Users with connections here, and users with some on other nodes, as far as they are counted for the cluster.
    pub fn users(&self) -> (usize, usize) {
        self.users.len()
    }
}
