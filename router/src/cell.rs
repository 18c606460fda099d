//! Where a room has members, as all shards see it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::{Generation, PeerId};
use crate::room::{RoomId, RoomName};

/// Which shards have members of one room. One writer, the room's home; read by every publisher.
///
/// The cell outlives every shard that was given it: home frees a room only when the last shard has
/// let go of it, so that no publisher reads the mask of a dead cell while a new one fills.
#[derive(Debug)]
pub struct RoomCell {
    room: RoomId,
    name: RoomName,
    home: PeerId,
    generation: AtomicU64,
    mask: AtomicU64,
}

/// Where a publication goes, as its publisher read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The shards with members, and the control plane where the node is linked to others.
    pub mask: u64,
    /// The cell's generation, read before the mask. A shard that was added in a later one does not
    /// deliver the publication: of what was published before a join, all of a kind is left out, not
    /// just what happened to be on its way.
    pub generation: Generation,
}

impl RoomCell {
    /// A cell without members. `always` are peers that every publication goes to.
    pub(crate) fn new(room: RoomId, name: RoomName, home: PeerId, always: u64) -> Self {
        RoomCell {
            room,
            name,
            home,
            generation: AtomicU64::new(0),
            mask: AtomicU64::new(always),
        }
    }

    /// The room.
    pub fn room(&self) -> RoomId {
        self.room
    }

    /// The room's name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// The one shard that writes the cell.
    pub fn home(&self) -> PeerId {
        self.home
    }

    /// Where a publication goes whose handling begins now: every shard whose join was confirmed
    /// before is in the mask.
    pub fn audience(&self) -> Audience {
        // Pairs with the Release stores in `add`: who learned of a confirmed join sees its bit, and
        // who sees its generation sees its bit too.
        let generation = Generation(self.generation.load(Ordering::Acquire));
        Audience {
            mask: self.mask.load(Ordering::Acquire),
            generation,
        }
    }

    /// The shards with members, and the control plane where the node is linked to others.
    pub fn mask(&self) -> u64 {
        self.mask.load(Ordering::Acquire)
    }

    /// Whether some shard has members.
    pub fn has_members(&self) -> bool {
        self.mask() & !PeerId::CONTROL.bit() != 0
    }

    /// Sets a shard's bit and, if it was not set, moves on to a generation that home has never used.
    /// Returns the generation since which the shard counts. Only home calls it, so plain stores do.
    pub(crate) fn add(&self, shard: PeerId, counter: &mut Generation) -> Generation {
        let mask = self.mask.load(Ordering::Relaxed);
        if mask & shard.bit() == 0 {
            self.mask.store(mask | shard.bit(), Ordering::Release);
            self.generation
                .store(counter.advance().0, Ordering::Release);
        }
        Generation(self.generation.load(Ordering::Relaxed))
    }

    /// Clears a shard's bit. Only home calls it.
    pub(crate) fn remove(&self, shard: PeerId) {
        let mask = self.mask.load(Ordering::Relaxed);
        self.mask.store(mask & !shard.bit(), Ordering::Release);
    }
}
