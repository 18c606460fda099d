//! Waking a sleeping peer, and only a sleeping one.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes the thread that sleeps behind it. Ringing one that is awake does no harm and costs a
/// system call, which is what [`SleepWord`] saves.
pub trait Doorbell: Send + Sync {
    /// Wakes the sleeper.
    fn ring(&self);
}

/// Says whether one peer sleeps, so that the others know whether they have to ring.
///
/// Arm and recheck: the sleeper arms the word, looks at its lanes once more, and sleeps only if they
/// are empty. A producer pushes, then looks at the word. The fences order push before look and arm
/// before look again, so at least one of the two sees the other: no frame waits beside a sleeper.
#[derive(Debug)]
pub struct SleepWord {
    armed: AtomicBool,
}

impl Default for SleepWord {
    fn default() -> Self {
        SleepWord {
            armed: AtomicBool::new(false),
        }
    }
}

impl SleepWord {
    /// The sleeper is about to sleep if `is_empty` still says so. Returns whether it may.
    pub fn arm(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.armed.store(true, Ordering::Relaxed);
        // Arm before look: pairs with the fence in `must_ring`.
        fence(Ordering::SeqCst);
        if is_empty() {
            return true;
        }
        self.disarm();
        false
    }

    /// The sleeper is awake again.
    pub fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Whether a producer that has just pushed has to ring. Says so to one producer a sleep.
    pub fn must_ring(&self) -> bool {
        // Push before look: pairs with the fence in `arm`.
        fence(Ordering::SeqCst);
        self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::Relaxed)
    }
}
