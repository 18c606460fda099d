//! Who is who inside one node.

use std::fmt;

/// The most shards one node can have: a [`RoomCell`](crate::RoomCell)'s mask has one bit for each,
/// and two bits are kept for peers that are not shards.
pub const SHARDS_MAX: usize = 62;

/// A peer in the mesh: a shard (`0..SHARDS_MAX`) or the control plane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(u8);

impl PeerId {
    /// The control plane: one more peer, which sends commands to shards, and takes what goes to other nodes.
    pub const CONTROL: PeerId = PeerId(SHARDS_MAX as u8);

    /// The shard with this index, or `None` from [`SHARDS_MAX`] on.
    pub const fn shard(index: usize) -> Option<PeerId> {
        if index < SHARDS_MAX {
            Some(PeerId(index as u8))
        } else {
            None
        }
    }

    /// The peer with this index in tables that hold all peers.
    pub const fn at(index: usize) -> Option<PeerId> {
        if index <= SHARDS_MAX {
            Some(PeerId(index as u8))
        } else {
            None
        }
    }

    /// Index of the peer in tables that hold all peers.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The peer's bit in a mask of peers.
    pub const fn bit(self) -> u64 {
        1 << self.0
    }

    /// The peers whose bits stand in `mask`, lowest first.
    pub fn in_mask(mut mask: u64) -> impl Iterator<Item = PeerId> {
        std::iter::from_fn(move || {
            if mask == 0 {
                return None;
            }
            let index = mask.trailing_zeros() as u8;
            mask &= mask - 1;
            Some(PeerId(index))
        })
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == PeerId::CONTROL {
            f.write_str("control")
        } else {
            write!(f, "shard {}", self.0)
        }
    }
}

/// Counts the questions that one shard asks of homes; an answer that carries an older one is void.
/// Grows by one a question; at a million a second it lasts for half a million years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The next generation; the counter moves on.
    pub fn advance(&mut self) -> Generation {
        self.0 += 1;
        *self
    }
}

/// One session of one shard, as other shards may name it: to leave it out of a fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberId {
    /// The shard that owns the session.
    pub shard: PeerId,
    /// Index in that shard's session table.
    pub index: u32,
    /// Generation of that index: a later session in the same place is another member.
    pub generation: u32,
}
