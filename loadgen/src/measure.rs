//! What one thread measures.

use hdrhistogram::{CreationError, Histogram};

use crate::clock::Window;
use crate::failure::Failures;
use crate::tally::{Count, Tally};

/// The shortest time that is told from zero, in nanoseconds.
const TIME_NS_MIN: u64 = 64;
/// The longest time that is recorded, in nanoseconds; longer ones count as this: ten minutes.
const TIME_NS_MAX: u64 = 600 * 1_000_000_000;
const DIGITS: u8 = 3;

/// A histogram of times in nanoseconds, exact to one in a thousand.
pub type Times = Histogram<u64>;

/// An empty histogram.
///
/// # Errors
/// Never with these bounds; the library checks them at run time.
pub fn times() -> Result<Times, CreationError> {
    Histogram::new_with_bounds(TIME_NS_MIN, TIME_NS_MAX, DIGITS)
}

/// Everything that a thread counts and measures.
#[derive(Clone, Debug)]
pub struct Record {
    /// Counters.
    pub tally: Tally,
    /// How connections failed.
    pub failures: Failures,
    /// From a message's time to its arrival.
    pub latency: Times,
    /// Open loop: from a message's time to its sending.
    pub lag: Times,
    /// From the beginning to connect to the end of the handshake.
    pub handshakes: Times,
    /// What is measured.
    pub window: Window,
}

impl Record {
    /// Nothing yet.
    ///
    /// # Errors
    /// As of [`times`].
    pub fn new() -> Result<Record, CreationError> {
        Ok(Record {
            tally: Tally::default(),
            failures: Failures::default(),
            latency: times()?,
            lag: times()?,
            handshakes: times()?,
            window: Window::NONE,
        })
    }

    /// A message that was sent, or due, at `sent_ns` has arrived whole and for the first time.
    #[inline]
    pub fn received(&mut self, sent_ns: u64, now_ns: u64) {
        self.tally[Count::Received] += 1;
        if self.window.measures(now_ns) {
            self.tally[Count::ReceivedMeasured] += 1;
        }
        if self.window.measures(sent_ns) {
            self.latency
                .saturating_record(now_ns.saturating_sub(sent_ns));
        }
    }

    /// A message of an open loop that was due at `due_ns` is sent.
    #[inline]
    pub fn sent_late(&mut self, due_ns: u64, now_ns: u64) {
        if self.window.measures(due_ns) {
            self.lag.saturating_record(now_ns.saturating_sub(due_ns));
        }
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: Record) {
        self.tally.add(&other.tally);
        self.failures.merge(other.failures);
        // All histograms have the same bounds, so adding one never fails.
        for (mine, theirs) in [
            (&mut self.latency, other.latency),
            (&mut self.lag, other.lag),
            (&mut self.handshakes, other.handshakes),
        ] {
            let _ = mine.add(theirs);
        }
    }
}
