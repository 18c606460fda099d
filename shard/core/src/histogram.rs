//! How often a span of time was how long: counted by one thread, read by another without a lock.

use crate::stats::Cell64;

/// The upper bounds of the buckets, in microseconds, each within its bucket. What is longer than the last has a
/// bucket of its own.
pub const BOUNDS_US: [u64; 20] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// A histogram of spans of time. Its one writer counts by plain loads and stores. A reader may see a span in its bucket and
/// not yet in the sum, never a number that was not there.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Cell64; BOUNDS_US.len() + 1],
    sum_us: Cell64,
}

/// A histogram as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramReading {
    /// Spans in each bucket, not in those below it; the last holds what is longer than every bound.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// All spans together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts `times` spans of the same length. Only the owning shard may.
    pub fn record(&self, span_us: u64, times: u64) {
        let bucket = BOUNDS_US.partition_point(|&bound| bound < span_us);
        self.buckets[bucket].add(times);
        self.sum_us.add(span_us.saturating_mul(times));
    }

    /// What has been counted so far.
    pub fn read(&self) -> HistogramReading {
        HistogramReading {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].get()),
            sum_us: self.sum_us.get(),
        }
    }
}

impl HistogramReading {
    /// All spans that were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

const _: () = {
    let mut index = 1;
    while index < BOUNDS_US.len() {
        assert!(BOUNDS_US[index - 1] < BOUNDS_US[index], "in order");
        index += 1;
    }
};
