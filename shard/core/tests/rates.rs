//! The limiter against a bucket of tokens that is kept in fractions and never rounded.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroU64;

use proptest::prelude::*;
use ringmain_core::Tick;
use ringmain_core::gcra::{Gcra, Rate};

/// Counts in parts of which so many make one.
struct Bucket {
    amount: u128,
    parts_in_one: u128,
    burst: u128,
    level: u128,
    at: u128,
}

impl Bucket {
    fn new(amount: u64, seconds: u64, burst: u64) -> Self {
        let parts_in_one = u128::from(seconds) * 1_000_000_000;
        let burst = u128::from(burst) * parts_in_one;
        Bucket {
            amount: amount.into(),
            parts_in_one,
            burst,
            level: burst,
            at: 0,
        }
    }

    /// Fills up to this moment, and says how many parts there are.
    fn fill(&mut self, now: Tick) -> u128 {
        let now = u128::from(now.0) * 1_000_000;
        self.level = (self.level + (now - self.at) * self.amount).min(self.burst);
        self.at = now;
        self.level
    }
}

fn rates() -> impl Strategy<Value = (u64, u64, u64)> {
    let amount = prop_oneof![1..10u64, 10..10_000u64, 10_000..10_000_000u64];
    (amount, 1..70u64, prop_oneof![1..5u64, 1..100_000u64])
}

proptest! {
    #[test]
    fn it_lets_through_what_a_bucket_does((amount, seconds, burst) in rates(),
        steps in prop::collection::vec((0..2_000u64, 1..40u64, any::<bool>()), 1..200)) {
        let rate = Rate::over(NonZeroU64::new(amount).unwrap(), seconds, burst);
        let (mut gcra, mut bucket) = (Gcra::default(), Bucket::new(amount, seconds, burst));
        let mut now = Tick(0);
        // Each amount is rounded up to a nanosecond: so many may the limiter be behind.
        let mut slack = 0;
        for (milliseconds, wanted, all_or_nothing) in steps {
            now = now.plus(milliseconds);
            let wanted = wanted.min(burst);
            let there = bucket.fill(now);
            let needed = u128::from(wanted) * bucket.parts_in_one;
            slack += u128::from(amount) * 2;
            let wait = gcra.wait_ms(now, rate, wanted);
            let taken = if all_or_nothing {
                let passed = gcra.take(now, rate, wanted);
                prop_assert_eq!(passed, wait == 0);
                u64::from(passed) * wanted
            } else {
                slack += u128::from(amount) * u128::from(wanted);
                gcra.take_up_to(now, rate, wanted)
            };
            let parts = u128::from(taken) * bucket.parts_in_one;
            prop_assert!(parts <= there + slack, "more than there was: {taken} of {wanted}");
            if all_or_nothing && taken == 0 {
                prop_assert!(needed + slack > there, "{wanted} were refused and were there");
            }
            bucket.level = there.saturating_sub(parts);
        }
    }

    #[test]
    fn after_the_time_that_it_says_it_lets_through_and_not_before((amount, seconds, burst) in rates(),
        taken in prop::collection::vec(1..200_000u64, 1..20)) {
        let rate = Rate::over(NonZeroU64::new(amount).unwrap(), seconds, burst);
        let mut gcra = Gcra::default();
        for amount in taken {
            let now = Tick(1_000);
            gcra.charge(now, rate, amount);
            let wait = gcra.wait_ms(now, rate, amount);
            prop_assert!(gcra.clone().take(now.plus(wait), rate, amount));
            if wait > 0 {
                prop_assert!(!gcra.clone().take(now.plus(wait - 1), rate, amount));
            }
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again((amount, seconds, burst) in rates(), part in 1..1_000u64) {
        let rate = Rate::over(NonZeroU64::new(amount).unwrap(), seconds, burst);
        let part = part.min(burst);
        let mut gcra = Gcra::default();
        let now = Tick(5);
        prop_assert!(gcra.take(now, rate, part));
        gcra.give_back(rate, part);
        prop_assert!(gcra.is_full(now));
        prop_assert!(gcra.take(now, rate, burst));
    }

    #[test]
    fn the_parts_of_a_rate_are_the_whole((amount, seconds, burst) in rates(), parts in 1..63usize) {
        let rate = Rate::over(NonZeroU64::new(amount).unwrap(), seconds, burst);
        let all: Vec<Rate> = (0..parts).map(|index| rate.part(index, parts)).collect();
        let bursts: u64 = all.iter().map(|part| part.burst()).sum();
        prop_assert_eq!(bursts, burst.max(parts as u64));
        // In a hundred times the period each part lets through what the whole does, less what is rounded.
        let ms = seconds * 100_000 * parts as u64;
        let passed: u64 = all.iter().map(|part| part.in_ms(ms)).sum();
        prop_assert!(passed <= rate.in_ms(ms) && passed + parts as u64 >= rate.in_ms(ms));
    }
}

#[test]
fn what_is_larger_than_a_burst_needs_a_whole_one_and_is_owed() {
    let rate = Rate::new(NonZeroU64::new(1_000).unwrap(), 100);
    let mut gcra = Gcra::default();
    assert!(gcra.take(Tick(0), rate, 500));
    assert_eq!(gcra.wait_ms(Tick(0), rate, 1), 401);
    assert!(!gcra.take(Tick(400), rate, 1));
    assert!(gcra.take(Tick(401), rate, 1));
    assert!(!gcra.take(Tick(499), rate, 500));
    assert!(gcra.take(Tick(501), rate, 500));
}
