//! What happened in each stretch of the run, of one thread.
//!
//! The hot path records latencies once, into the histogram of the present interval; at the interval's end
//! that is added to the whole and kept in the compact form of the HDR format.

use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

use crate::measure::Times;
use crate::tally::Tally;

/// Intervals that are kept; the last one takes in all that follows, until the run is over.
pub const INTERVALS_MAX: usize = 4096;
/// No interval is shorter, in nanoseconds.
const INTERVAL_NS_MIN: u64 = 1_000_000_000;
/// A run is planned to have so many.
const INTERVALS_PLANNED: u64 = 600;

/// How long the intervals of a run are that is planned to last so long, in nanoseconds: whole seconds.
pub fn interval_ns(planned_ns: u64) -> u64 {
    let seconds = planned_ns.div_ceil(INTERVALS_PLANNED * INTERVAL_NS_MIN);
    seconds.max(1) * INTERVAL_NS_MIN
}

/// One interval at one thread.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Which one: it begins this many intervals after the run.
    pub index: u64,
    /// When it ended, in the run's time.
    pub until_ns: u64,
    /// The thread's counters at its end.
    pub tally: Tally,
    /// The latencies that were recorded in it; V2 of the HDR format.
    latency: Vec<u8>,
}

impl Interval {
    /// Adds its latencies to a histogram.
    pub fn add_to(&self, times: &mut Times) {
        // What was written here is read back, and has the same bounds.
        if let Ok(latency) = Deserializer::new().deserialize::<u64, _>(&mut self.latency.as_slice())
        {
            let _ = times.add(&latency);
        }
    }
}

/// The intervals of one thread.
#[derive(Clone, Debug)]
pub struct Intervals {
    length_ns: u64,
    /// The present one.
    index: u64,
    /// The thread's last turn.
    turned_ns: u64,
    /// What is recorded in it.
    pub present: Times,
    done: Vec<Interval>,
}

impl Intervals {
    /// None yet, of this length each.
    pub fn new(length_ns: u64, present: Times) -> Self {
        Intervals {
            length_ns,
            index: 0,
            turned_ns: 0,
            present,
            done: Vec::new(),
        }
    }

    /// Ends the present interval if it is over; adds its latencies to `whole`.
    pub fn turn(&mut self, now_ns: u64, tally: &Tally, whole: &mut Times) {
        self.turned_ns = now_ns;
        let last = INTERVALS_MAX as u64 - 1;
        let index = (now_ns / self.length_ns).min(last);
        if index > self.index {
            self.end(tally, whole);
            self.index = index;
        }
    }

    /// Ends the present interval.
    pub fn end(&mut self, tally: &Tally, whole: &mut Times) {
        let mut latency = Vec::new();
        if !self.present.is_empty() {
            // Writing into memory does not fail.
            let _ = V2Serializer::new().serialize(&self.present, &mut latency);
            let _ = whole.add(&self.present);
            self.present.reset();
        }
        self.done.push(Interval {
            index: self.index,
            until_ns: self.turned_ns,
            tally: tally.clone(),
            latency,
        });
    }

    /// The ones that have ended, in order.
    pub fn into_done(self) -> Vec<Interval> {
        self.done
    }
}
