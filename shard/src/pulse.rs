//! A shard's sign of life, for the control plane to watch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts turns. A shard that is neither idle nor counts on is stuck in a turn.
#[derive(Debug)]
pub struct Pulse {
    turns: AtomicU64,
    idle: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse {
            turns: AtomicU64::new(0),
            idle: AtomicBool::new(true),
        }
    }
}

impl Pulse {
    /// Turns begun since the start.
    pub fn turn(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Whether the shard sleeps, or is about to.
    pub fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
    }

    /// Notes that a turn ends, and whether sleep follows. Only the shard's own thread may.
    pub(crate) fn beat(&self, idle: bool) {
        // One writer: load and store need not be one operation.
        self.turns
            .store(self.turn().wrapping_add(1), Ordering::Relaxed);
        self.idle.store(idle, Ordering::Relaxed);
    }

    /// Notes that the shard is awake. Only the shard's own thread may.
    pub(crate) fn wake(&self) {
        self.idle.store(false, Ordering::Relaxed);
    }
}
