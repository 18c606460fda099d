//! What one thread measures.

use hdrhistogram::{CreationError, Histogram};

use crate::clock::Window;
use crate::failure::Failures;
use crate::intervals::Intervals;
use crate::payload::Stamp;
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
    /// From the time at which a message was to be sent to its arrival.
    pub latency: Times,
    /// Open loop: from a message's sending to its arrival.
    pub service: Times,
    /// Open loop: from the time at which a message was to be sent to its sending.
    pub lag: Times,
    /// From the time at which a connection was to begin to the end of its handshake.
    pub handshakes: Times,
    /// The same from its beginning.
    pub handshakes_service: Times,
    /// From the time at which a connection was to begin to its beginning, as far as the load generator was what kept it
    /// waiting.
    pub handshakes_lag: Times,
    /// From a storm to being open again.
    pub returns: Times,
    /// The run's stretches; they hold the latencies until they end.
    pub intervals: Intervals,
    /// What is measured.
    pub window: Window,
    /// Messages are sent by a schedule, so that one may be sent later than it should.
    pub has_schedule: bool,
}

impl Record {
    /// Nothing yet.
    ///
    /// # Errors
    /// As of [`times`].
    pub fn new(interval_ns: u64) -> Result<Record, CreationError> {
        Ok(Record {
            tally: Tally::default(),
            failures: Failures::default(),
            latency: times()?,
            service: times()?,
            lag: times()?,
            handshakes: times()?,
            handshakes_service: times()?,
            handshakes_lag: times()?,
            returns: times()?,
            intervals: Intervals::new(interval_ns, times()?),
            window: Window::NONE,
            has_schedule: false,
        })
    }

    /// A message has arrived whole and for the first time.
    #[inline]
    pub fn received(&mut self, stamp: &Stamp, bytes: usize, now_ns: u64) {
        self.tally[Count::Received] += 1;
        if self.window.measures(now_ns) {
            self.tally[Count::ReceivedMeasured] += 1;
            self.tally[Count::BytesMeasured] += bytes as u64;
        }
        if self.window.measures(stamp.time_ns) {
            let latency_ns = now_ns.saturating_sub(stamp.time_ns);
            self.intervals.present.saturating_record(latency_ns);
            if self.has_schedule {
                let service_ns = now_ns.saturating_sub(stamp.sent_ns);
                self.service.saturating_record(service_ns);
            }
        }
    }

    /// A message of an open loop that was due at `due_ns` is sent.
    #[inline]
    pub fn sent_late(&mut self, due_ns: u64, now_ns: u64) {
        if self.window.measures(now_ns) {
            self.tally[Count::SentMeasured] += 1;
        }
        if self.window.measures(due_ns) {
            self.lag.saturating_record(now_ns.saturating_sub(due_ns));
        }
    }

    /// A connection that was to begin at `due_ns`, and did at `begun_ns`, is open.
    pub fn opened(&mut self, due_ns: u64, begun_ns: u64, now_ns: u64) {
        self.handshakes
            .saturating_record(now_ns.saturating_sub(due_ns));
        self.handshakes_service
            .saturating_record(now_ns.saturating_sub(begun_ns));
    }

    /// A turn ends; so may an interval.
    pub fn turn(&mut self, now_ns: u64) {
        self.intervals.turn(now_ns, &self.tally, &mut self.latency);
    }

    /// The run is over.
    pub fn finish(&mut self) {
        self.intervals.end(&self.tally, &mut self.latency);
    }

    /// Adds another thread's, but for its intervals.
    pub fn merge(&mut self, other: &Record) {
        self.tally.add(&other.tally);
        self.failures.merge(&other.failures);
        // All histograms have the same bounds, so adding one never fails.
        for (mine, theirs) in [
            (&mut self.latency, &other.latency),
            (&mut self.service, &other.service),
            (&mut self.lag, &other.lag),
            (&mut self.handshakes, &other.handshakes),
            (&mut self.handshakes_service, &other.handshakes_service),
            (&mut self.handshakes_lag, &other.handshakes_lag),
            (&mut self.returns, &other.returns),
        ] {
            let _ = mine.add(theirs);
        }
    }
}
