//! What comes from other peers and goes to them.

use ringmain_router::{PeerId, ShardFrame};

use super::ShardCore;
use crate::tick::Tick;

impl ShardCore {
    pub(super) fn frame(&mut self, now: Tick, frame: ShardFrame) {
        match frame {
            ShardFrame::Publish {
                room,
                generation,
                publication,
            } => {
                self.stats.mesh_data_frames_in.add(1);
                self.published(room, generation, publication);
            }
            ShardFrame::Interest {
                room,
                name,
                from,
                generation,
                holding,
            } => {
                self.stats.mesh_control_frames_in.add(1);
                self.home.interest(room, &name, from, generation, holding);
            }
            ShardFrame::Answer {
                room,
                generation,
                answer,
            } => {
                self.stats.mesh_control_frames_in.add(1);
                self.answered(now, room, generation, answer);
            }
            ShardFrame::Claim { wish, kind } => {
                self.stats.mesh_control_frames_in.add(1);
                self.claimed(now, wish, kind);
            }
            ShardFrame::Slots { subject, grant } => {
                self.stats.mesh_control_frames_in.add(1);
                self.slots_granted(now, subject, grant);
            }
            ShardFrame::Offence { subject } => {
                self.stats.mesh_control_frames_in.add(1);
                self.punish(now, subject);
            }
            ShardFrame::LeaseWanted(request) => {
                self.stats.mesh_control_frames_in.add(1);
                self.lease_wanted(now, *request);
            }
            ShardFrame::Lease(grant) => {
                self.stats.mesh_control_frames_in.add(1);
                self.leased(now, *grant);
            }
            ShardFrame::Drain { duration_ms, seed } => {
                self.stats.mesh_control_frames_in.add(1);
                self.drain(now, duration_ms, seed);
            }
            ShardFrame::UserElsewhere { user, connections } => {
                self.stats.mesh_control_frames_in.add(1);
                self.cluster_users.told(user, connections);
            }
            ShardFrame::Close(order) => {
                self.stats.mesh_control_frames_in.add(1);
                self.take_order(now, order);
            }
            ShardFrame::Stop => {
                self.stats.mesh_control_frames_in.add(1);
                self.stop(now);
            }
            // For the cluster's link, which is no shard.
            ShardFrame::ToCluster { .. }
            | ShardFrame::Members { .. }
            | ShardFrame::UserHere { .. } => {}
            // The shell takes the policy up, and hands it in by `Input::Configure`.
            ShardFrame::PolicyChanged => self.stats.mesh_control_frames_in.add(1),
        }
    }

    /// Hands over the frames that are due, by `send`, which gives a frame back when the lane is full.
    /// What was given back stays due: call again after the mesh has rung.
    pub fn send_frames(
        &mut self,
        now: Tick,
        mut send: impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        // Twice: an answer of this shard's own home may change what it has to tell.
        for _ in 0..2 {
            if !self.untold.is_empty() || self.home.has_due() {
                self.tell_interest(now, &mut send);
            }
        }
        self.tell_quotas(&mut send);
        self.tell_leases(now, &mut send);
        for index in 0..self.outgoing.len() {
            if self.outgoing[index].frames.is_empty() {
                continue;
            }
            let Some(peer) = PeerId::at(index) else {
                continue;
            };
            self.send_publications(now, peer, &mut send);
        }
        self.answer_posts_that_left(now);
    }
}
