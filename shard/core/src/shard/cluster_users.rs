//! Users whose connections are counted on all nodes of the cluster, as their keeper on this node knows them.
//!
//! The keeper tells the link how many its users have on this node, and the link tells it how many they have elsewhere, as
//! far as other nodes have told. Two nodes may let one in at the same moment, each before it has heard of the other's: the
//! limit is kept as well as can be without asking another node at each handshake.

use std::collections::VecDeque;

use ringmain_router::{PeerId, ShardFrame, SubjectId, SubjectMap};

use super::ShardCore;

/// What a shard knows of the users that it keeps.
#[derive(Debug, Default)]
pub(super) struct ClusterUsers {
    /// Who has connections on other nodes. Bounded by what the link follows.
    elsewhere: SubjectMap<u32>,
    /// Of whom the link has to be told; each stands here once.
    untold: VecDeque<SubjectId>,
    queued: SubjectMap<()>,
    /// The link was told of somebody, and so has to be told when that changes, whatever the limit is then.
    is_used: bool,
}

impl ClusterUsers {
    /// A user has so many connections on other nodes.
    pub fn told(&mut self, user: SubjectId, connections: u32) {
        match connections {
            0 => self.elsewhere.remove(&user),
            _ => self.elsewhere.insert(user, connections),
        };
    }
}

impl ShardCore {
    /// Connections that a user may have on this node, by the limit of the cluster.
    pub(super) fn most_of_user_here(&self, user: SubjectId) -> u32 {
        match self.limits.connections_per_user_cluster {
            0 => u32::MAX,
            most => {
                let elsewhere = self.cluster_users.elsewhere.get(&user);
                most.saturating_sub(elsewhere.copied().unwrap_or(0))
            }
        }
    }

    /// What a user has here may have changed.
    pub(super) fn note_user(&mut self, user: SubjectId) {
        let users = &mut self.cluster_users;
        users.is_used |= self.limits.connections_per_user_cluster > 0;
        if self.is_linked && users.is_used && users.queued.insert(user, ()).is_none() {
            users.untold.push_back(user);
        }
    }

    /// Tells the link of users, as far as its lane takes it. Returns how many were told.
    pub(super) fn tell_users(
        &mut self,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) -> u64 {
        let mut sent = 0;
        while let Some(&user) = self.cluster_users.untold.front() {
            let connections = self.kept_of(user);
            let frame = ShardFrame::UserHere { user, connections };
            if send(PeerId::CONTROL, frame).is_err() {
                break;
            }
            self.cluster_users.untold.pop_front();
            self.cluster_users.queued.remove(&user);
            sent += 1;
        }
        sent
    }
}
