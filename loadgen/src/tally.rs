//! Counters of a run: plain ones of each thread, and their copies that other threads may read.

use std::ops::{Index, IndexMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::failure::Failures;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Connections whose handshake has begun and not ended.
    Connecting,
    /// Connections that were opened.
    Connected,
    /// Connections that are open now.
    Open,
    /// Connections that the other side refused: the port or the HTTP status said no.
    Refused,
    /// Connections that never opened for another reason.
    Failed,
    /// Connections that are open again after a storm.
    Returned,
    /// Attempts of these that failed, and were made again.
    Retried,
    /// Visits that began.
    Visits,
    /// Visits that did not begin in time, since the visitor was still there.
    VisitsSkipped,
    /// Slow members that the server has closed.
    SlowClosed,
    /// Messages that visitors and slow members received.
    ReceivedAside,
    /// Of those, the ones that arrived while measuring.
    ReceivedAsideMeasured,
    /// Messages that a visitor missed between two that it received.
    MissedByVisitors,
    /// Messages that a slow member missed between two that it received.
    MissedBySlow,
    /// Connections that were open and ended before the load generator closed them.
    Dropped,
    /// Messages sent.
    Sent,
    /// Of those of an open loop, the ones that were sent while measuring.
    SentMeasured,
    /// Messages of an open loop whose time came but which the socket had no room for.
    Unsent,
    /// Messages that should arrive: one for each message sent and each receiver of it.
    Expected,
    /// Messages that arrived whole, each counted once.
    Received,
    /// Of those, the ones that arrived while measuring.
    ReceivedMeasured,
    /// Payload of these, in bytes.
    BytesMeasured,
    /// Messages that arrived again.
    Duplicated,
    /// Messages that arrived after a later one of the same publisher.
    Reordered,
    /// Messages that arrived changed.
    Corrupt,
    /// Messages that arrived at somebody who should not get them.
    Unexpected,
    /// Times that a closed loop went on although a message had not reached everyone for too long.
    Stalled,
    /// Pings that were answered.
    Pings,
}

const COUNTS: usize = Count::Pings as usize + 1;

/// The counters of one thread, or their sum.
#[derive(Clone, Debug, Default)]
pub struct Tally([u64; COUNTS]);

impl Tally {
    /// Adds another thread's.
    pub fn add(&mut self, other: &Tally) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl Index<Count> for Tally {
    type Output = u64;

    #[inline]
    fn index(&self, count: Count) -> &u64 {
        &self.0[count as usize]
    }
}

impl IndexMut<Count> for Tally {
    #[inline]
    fn index_mut(&mut self, count: Count) -> &mut u64 {
        &mut self.0[count as usize]
    }
}

/// What one thread shows to the others. It alone writes; a cache line pair of its own keeps the
/// threads from slowing each other.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Board {
    counts: [AtomicU64; COUNTS],
    failures: Mutex<Failures>,
    /// How many failures the lock holds, so that it is taken only for a new one.
    failures_shown: AtomicU64,
    settled: AtomicBool,
    quiet: AtomicBool,
}

impl Board {
    /// Shows the counters as they are now.
    #[inline]
    pub fn publish(&self, tally: &Tally) {
        for (shown, count) in self.counts.iter().zip(tally.0) {
            shown.store(count, Ordering::Relaxed);
        }
    }

    /// Shows the failures as they are now.
    #[inline]
    pub fn publish_failures(&self, failures: &Failures) {
        let count = failures.count();
        if count != self.failures_shown.load(Ordering::Relaxed) {
            self.failures_shown.store(count, Ordering::Relaxed);
            self.failures().clone_from(failures);
        }
    }

    /// The failures that were shown last.
    pub fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters that were shown last.
    pub fn read(&self) -> Tally {
        Tally(std::array::from_fn(|index| {
            self.counts[index].load(Ordering::Relaxed)
        }))
    }

    /// Every connection of the thread has been opened or has failed. Call after [`publish`](Self::publish).
    pub fn set_settled(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Whether [`set_settled`](Self::set_settled) was called; what was written before it is visible then.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// The thread will send no more messages. Call after [`publish`](Self::publish).
    pub fn set_quiet(&self) {
        self.quiet.store(true, Ordering::Release);
    }

    /// Whether [`set_quiet`](Self::set_quiet) was called; what was published before it is visible then.
    pub fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }
}
