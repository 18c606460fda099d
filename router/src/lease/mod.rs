//! Messages that a shard may let through of what is rated for the whole node.
//!
//! One shard, the home of the room or the keeper of the address, has the limiter. Another asks it for some messages at
//! a time, uses them up, asks for more, and gives back what it did not need. So no more pass than the rate allows,
//! whatever the shards do.

pub mod held;

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::num::NonZeroU64;

use crate::id::PeerId;
use crate::placement::{home_shard, keeper_shard};
use crate::room::{RoomId, RoomIdHasher};
use crate::subject::SubjectId;

/// What is rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rated {
    /// The messages to a room.
    Room(RoomId),
    /// The messages that an address publishes by HTTP.
    Address(SubjectId),
}

/// A hash map by [`Rated`], whose ids are hashes already.
pub type RatedMap<V> = HashMap<Rated, V, BuildHasherDefault<RoomIdHasher>>;

/// At what rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Messages a second.
    pub per_second: NonZeroU64,
    /// Messages at once.
    pub burst: u64,
}

/// A shard wants to let messages through of what is rated for the whole node, or gives back what it did not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Of what.
    pub of: Rated,
    /// The shard.
    pub from: PeerId,
    /// The rate, as the shard goes by it.
    pub terms: Terms,
    /// How many messages it wants; with none it asks nothing.
    pub wanted: u64,
    /// How many it gives back.
    pub unused: u64,
}

/// The lender's answer to a [`LeaseRequest`] that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseGrant {
    /// Of what.
    pub of: Rated,
    /// How many messages the shard may let through.
    pub messages: u64,
    /// If that is none: for how long there is none.
    pub wait_ms: u64,
}

impl Rated {
    /// The shard that has the limiter.
    pub fn lender(self, shards: usize) -> PeerId {
        match self {
            Rated::Room(room) => home_shard(room, shards),
            Rated::Address(subject) => keeper_shard(subject, shards),
        }
    }
}
