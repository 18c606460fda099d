//! Publications from other nodes on their way into the shards' lanes.

use std::collections::VecDeque;

use super::counters::{Counters, LinkDrop};
use super::limits::{DELIVERIES_BYTES_MAX, DELIVERIES_MAX, DELIVERIES_WAIT_MS};
use crate::frame::ShardFrame;
use crate::id::{PeerId, SHARDS_MAX};
use crate::tick::Tick;

/// What waits for each shard's lane.
#[derive(Debug)]
pub(super) struct Deliveries {
    shards: Vec<Waiting>,
    /// Shards for which something waits.
    busy: u64,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<ShardFrame>,
    bytes: usize,
    moved: Tick,
}

impl Deliveries {
    pub fn new() -> Self {
        Deliveries {
            shards: (0..SHARDS_MAX).map(|_| Waiting::default()).collect(),
            busy: 0,
        }
    }

    pub fn push(&mut self, to: PeerId, frame: ShardFrame, now: Tick, counters: &mut Counters) {
        let Some(waiting) = self.shards.get_mut(to.index()) else {
            return;
        };
        let bytes = frame.bytes();
        let is_full = waiting.frames.len() >= DELIVERIES_MAX
            || (waiting.bytes > 0 && waiting.bytes + bytes > DELIVERIES_BYTES_MAX);
        if is_full {
            counters.dropped(LinkDrop::LaneFull, 1);
            return;
        }
        if waiting.frames.is_empty() {
            waiting.moved = now;
        }
        waiting.bytes += bytes;
        waiting.frames.push_back(frame);
        self.busy |= to.bit();
    }

    /// Hands over what the lanes take.
    pub fn send(
        &mut self,
        now: Tick,
        mut send: impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        for to in PeerId::in_mask(self.busy) {
            let waiting = &mut self.shards[to.index()];
            while let Some(frame) = waiting.frames.pop_front() {
                let bytes = frame.bytes();
                if let Err(frame) = send(to, frame) {
                    waiting.frames.push_front(frame);
                    break;
                }
                waiting.bytes -= bytes;
                waiting.moved = now;
            }
            if waiting.frames.is_empty() {
                self.busy &= !to.bit();
            }
        }
    }

    /// Drops what waits for a lane that has taken nothing for a while.
    pub fn expire(&mut self, now: Tick, counters: &mut Counters) {
        for to in PeerId::in_mask(self.busy) {
            let waiting = &mut self.shards[to.index()];
            if now.since(waiting.moved) >= DELIVERIES_WAIT_MS {
                counters.dropped(LinkDrop::LaneFull, waiting.frames.len() as u64);
                *waiting = Waiting::default();
                self.busy &= !to.bit();
            }
        }
    }
}
