//! Properties of all streams, right and wrong.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{drive, oracle, strategies};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_stream_is_read_as_the_oracle_reads_it(
        (settings, stream) in strategies::settings().prop_flat_map(|settings| {
            (Just(settings), strategies::any_stream(settings))
        })
    ) {
        prop_assert_eq!(drive::parse(&settings, &stream), oracle::decode(&settings, &stream));
    }

    #[test]
    fn any_split_gives_the_same_events(
        (settings, stream) in strategies::settings().prop_flat_map(|settings| {
            (Just(settings), strategies::any_stream(settings))
        }),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|index| index.index(stream.len() + 1)).collect();
        cuts.sort();
        let whole = drive::parse(&settings, &stream);
        prop_assert_eq!(&drive::parse_split(&settings, &stream, cuts), &whole);
        prop_assert_eq!(&drive::parse_bytewise(&settings, &stream), &whole);
    }
}
