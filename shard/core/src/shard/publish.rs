//! From a publisher to the fan-outs: the local one, and those of other shards.

use std::collections::VecDeque;
use std::sync::Arc;

use ringmain_router::cell::Audience;
use ringmain_router::{Generation, PeerId, Publication, RoomId, ShardFrame};

use super::{Outgoing, ShardCore};
use crate::connection::Pause;
use crate::limits::{LINK_WAIT_MS, OUTGOING_FRAMES_MAX, OUTGOING_WAIT_MS};
use crate::room::{FanOut, RoomKey};
use crate::stats::DropReason;
use crate::tick::Tick;

impl ShardCore {
    /// Takes a publication of a local member. The caller has seen that the room and the shards it
    /// goes to take one more. Returns the mask of those shards.
    pub(super) fn publish(&mut self, now: Tick, key: RoomKey, publication: Publication) -> u64 {
        let Some(room) = self.rooms.get(key) else {
            return 0;
        };
        let Some(cell) = room.interest.cell() else {
            debug_assert!(
                false,
                "a member publishes to a room that home has not granted"
            );
            return 0;
        };
        let Audience { mask, generation } = cell.audience();
        let publication = Arc::new(publication);
        let others = mask & !self.me.bit();
        for peer in PeerId::in_mask(others) {
            let Some(outgoing) = self.outgoing.get_mut(peer.index()) else {
                continue;
            };
            let publication = publication.clone();
            if outgoing.frames.is_empty() {
                outgoing.moved = now;
            }
            let frame = if peer == PeerId::CONTROL {
                let cell = cell.clone();
                ShardFrame::ToCluster { cell, publication }
            } else {
                ShardFrame::Publish {
                    room: room.id,
                    generation,
                    publication,
                }
            };
            outgoing.frames.push_back(frame);
            outgoing.pushed += 1;
            if outgoing.frames.len() >= OUTGOING_FRAMES_MAX {
                if outgoing.is_stuck {
                    outgoing.frames.pop_front();
                    outgoing.left += 1;
                    self.stats.dropped(DropReason::LaneFull, 1);
                    self.stats.room_gaps.add(1);
                } else {
                    self.outgoing_full |= peer.bit();
                }
            }
        }
        self.begin_fan_out(key, publication);
        others
    }

    /// Begins the delivery of a publication to the members here.
    pub(super) fn begin_fan_out(&mut self, key: RoomKey, publication: Arc<Publication>) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let excluded = publication
            .exclude
            .is_some_and(|exclude| exclude.shard == self.me);
        if room.members.len() <= usize::from(excluded) {
            return;
        }
        let end = room.members.end();
        room.fan_outs.push_back(FanOut {
            publication,
            cursor: 0,
            end,
            encoded: Default::default(),
            compressed: None,
        });
        if !room.scheduled {
            room.scheduled = true;
            self.scheduled.push_back(key);
        }
    }

    /// Takes a publication from another shard. One whose room is full is kept, and no more data is
    /// taken until it is in.
    pub(super) fn published(
        &mut self,
        id: RoomId,
        generation: Generation,
        publication: Arc<Publication>,
    ) {
        let Some(&key) = self.room_index.get(&id) else {
            return;
        };
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        if !room.interest.covers(generation) {
            return;
        }
        if room.is_full() {
            self.stalled = Some((id, generation, publication));
        } else {
            self.begin_fan_out(key, publication);
        }
    }

    /// Whether a [`ShardFrame::Publish`] can be taken now. One that could not be delivered before has
    /// its turn first.
    pub fn takes_data(&mut self) -> bool {
        if let Some((id, generation, publication)) = self.stalled.take() {
            self.published(id, generation, publication);
        }
        self.stalled.is_none()
    }

    /// Hands publications to a peer's lane until it is full.
    pub(super) fn send_publications(
        &mut self,
        now: Tick,
        peer: PeerId,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        let Some(outgoing) = self.outgoing.get_mut(peer.index()) else {
            return;
        };
        while let Some(frame) = outgoing.frames.pop_front() {
            if let Err(frame) = send(peer, frame) {
                outgoing.frames.push_front(frame);
                break;
            }
            outgoing.moved = now;
            outgoing.is_stuck = false;
            outgoing.left += 1;
            self.stats.mesh_data_frames_out.add(1);
        }
        self.outgoing_has_room(peer);
    }

    /// Drops what waits for a lane that has taken nothing for a second: the rooms have a gap there. For the sake of other
    /// nodes publishers wait for a shorter time, though what waits does not.
    pub(super) fn drop_overdue(&mut self, now: Tick) {
        for index in 0..self.outgoing.len() {
            let outgoing = &mut self.outgoing[index];
            let waits_ms = now.since(outgoing.moved);
            if outgoing.frames.is_empty() || waits_ms < outgoing.wait_ms(index) {
                continue;
            }
            if index == PeerId::CONTROL.index() {
                outgoing.is_stuck = true;
                self.hold_back_no_longer(PeerId::CONTROL);
            }
            if waits_ms < OUTGOING_WAIT_MS {
                continue;
            }
            let outgoing = &mut self.outgoing[index];
            let lost = outgoing.frames.len() as u64;
            outgoing.frames.clear();
            outgoing.left += lost;
            self.stats.dropped(DropReason::LaneFull, lost);
            self.stats.room_gaps.add(lost);
            if let Some(peer) = PeerId::at(index) {
                self.outgoing_has_room(peer);
            }
        }
    }

    fn outgoing_has_room(&mut self, peer: PeerId) {
        let outgoing = &mut self.outgoing[peer.index()];
        if outgoing.frames.is_empty() && outgoing.frames.capacity() > OUTGOING_FRAMES_MAX {
            outgoing.frames = VecDeque::new();
        }
        if outgoing.frames.len() <= OUTGOING_FRAMES_MAX / 2 {
            self.hold_back_no_longer(peer);
        }
    }

    /// Publishers to a peer's lane are read again.
    fn hold_back_no_longer(&mut self, peer: PeerId) {
        self.outgoing_full &= !peer.bit();
        for conn in std::mem::take(&mut self.outgoing[peer.index()].paused) {
            self.unpause(conn, Pause::Outgoing(peer));
        }
    }
}

impl Outgoing {
    /// How long what waits may see its lane, the one of the peer at this place, take nothing.
    pub(super) fn wait_ms(&self, index: usize) -> u64 {
        if index == PeerId::CONTROL.index() && !self.is_stuck {
            LINK_WAIT_MS
        } else {
            OUTGOING_WAIT_MS
        }
    }
}
