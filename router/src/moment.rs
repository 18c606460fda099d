//! Time for measuring: finer than what decisions are made by, the same for all shards of a node.

use std::num::NonZeroU64;

/// Microseconds since the node started. Handed in, as all time is; no decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

impl Moment {
    /// So many microseconds after the node's start.
    pub const fn new(microseconds: u64) -> Self {
        // One more, so that "none" needs no memory of its own.
        Moment(NonZeroU64::MIN.saturating_add(microseconds))
    }

    /// Microseconds since `earlier`; zero if that lies ahead.
    pub const fn since(self, earlier: Moment) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}
