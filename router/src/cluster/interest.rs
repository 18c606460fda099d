//! Which rooms have members on this node, and which buckets it subscribes to because of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bucket::Bucket;
use super::limits::{BUCKETS, LINGER_MS};
use super::streams::Streams;
use crate::cell::RoomCell;
use crate::room::{RoomId, RoomMap};
use crate::tick::Tick;

/// The rooms with members here, and the buckets that they are in.
#[derive(Debug)]
pub struct RoomsHere {
    rooms: RoomMap<RoomHere>,
    buckets: Vec<BucketState>,
    /// Buckets that are empty but still subscribed to, those that are so for longest first.
    lingering: BTreeSet<(Tick, Bucket)>,
    subscribed: usize,
}

/// A room with members here.
#[derive(Debug)]
pub struct RoomHere {
    /// Where its members are.
    pub cell: Arc<RoomCell>,
    /// What has come in from other nodes.
    pub streams: Streams,
}

#[derive(Clone, Copy, Debug, Default)]
struct BucketState {
    rooms: u32,
    is_subscribed: bool,
    empty_since: Tick,
}

impl Default for RoomsHere {
    fn default() -> Self {
        RoomsHere {
            rooms: RoomMap::default(),
            buckets: vec![BucketState::default(); BUCKETS.into()],
            lingering: BTreeSet::new(),
            subscribed: 0,
        }
    }
}

impl RoomsHere {
    /// A room has members. Returns its bucket if that has to be subscribed to.
    pub fn add(&mut self, cell: Arc<RoomCell>) -> Option<Bucket> {
        let bucket = Bucket::of(cell.name());
        let room = RoomHere {
            streams: Streams::default(),
            cell: cell.clone(),
        };
        if let Some(before) = self.rooms.insert(cell.room(), room) {
            // Born again before the end of its predecessor was told; what came in of its streams still holds.
            if let Some(room) = self.rooms.get_mut(&cell.room()) {
                room.streams = before.streams;
            }
            return None;
        }
        let state = &mut self.buckets[bucket.index()];
        if state.rooms == 0 {
            self.lingering.remove(&(state.empty_since, bucket));
        }
        state.rooms += 1;
        let must_subscribe = !state.is_subscribed;
        state.is_subscribed = true;
        self.subscribed += usize::from(must_subscribe);
        must_subscribe.then_some(bucket)
    }

    /// A room has no members any more. Its bucket, if it has no others, is given up after a while.
    pub fn remove(&mut self, room: RoomId, now: Tick) {
        let Some(room) = self.rooms.remove(&room) else {
            return;
        };
        let bucket = Bucket::of(room.cell.name());
        let state = &mut self.buckets[bucket.index()];
        state.rooms -= 1;
        if state.rooms == 0 {
            state.empty_since = now;
            self.lingering.insert((now, bucket));
        }
    }

    /// The next bucket that has been empty for long enough.
    pub fn poll_abandoned(&mut self, now: Tick) -> Option<Bucket> {
        let &(since, bucket) = self.lingering.first()?;
        if now.since(since) < LINGER_MS {
            return None;
        }
        self.lingering.pop_first();
        self.buckets[bucket.index()].is_subscribed = false;
        self.subscribed -= 1;
        Some(bucket)
    }

    /// A room with members here, to look at.
    pub fn get(&self, room: RoomId) -> Option<&RoomHere> {
        self.rooms.get(&room)
    }

    /// A room with members here.
    pub fn get_mut(&mut self, room: RoomId) -> Option<&mut RoomHere> {
        self.rooms.get_mut(&room)
    }

    /// Buckets that are subscribed to.
    pub fn subscribed(&self) -> usize {
        self.subscribed
    }

    /// Rooms with members here.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether no room has members here.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}
