//! The histogram against the spans themselves.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use ringmain_core::histogram::{BOUNDS_US, Histogram};

fn spans() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let bound = prop::sample::select(BOUNDS_US.to_vec());
    let near = (bound, 0..3u64).prop_map(|(bound, more)| bound + more - 1);
    let span = prop_oneof![0..100_000u64, near, 0..u64::from(u32::MAX)];
    prop::collection::vec((span, 1..5u64), 0..100)
}

proptest! {
    #[test]
    fn up_to_each_bound_it_counts_the_spans_that_are_no_longer(spans in spans()) {
        let histogram = Histogram::default();
        for &(span, times) in &spans {
            histogram.record(span, times);
        }
        let reading = histogram.read();
        let up_to = |bound: u64| -> u64 {
            spans.iter().filter(|(span, _)| *span <= bound).map(|(_, times)| times).sum()
        };
        let mut cumulative = 0;
        for (count, bound) in reading.buckets.iter().zip(BOUNDS_US.into_iter().chain([u64::MAX])) {
            cumulative += count;
            prop_assert_eq!(cumulative, up_to(bound));
        }
        prop_assert_eq!(reading.count(), up_to(u64::MAX));
        let sum: u64 = spans.iter().map(|(span, times)| span * times).sum();
        prop_assert_eq!(reading.sum_us, sum);
    }
}
