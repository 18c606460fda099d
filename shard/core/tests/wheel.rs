//! The wheel against a sorted map, under any order of settings, cancellations and leaps of time.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use ringmain_core::tick::Tick;
use ringmain_core::wheel::Wheel;

#[derive(Clone, Debug)]
enum Step {
    Set { owner: u32, ahead: u64 },
    Cancel { owner: u32 },
    Advance { by: u64, fires_max: usize },
}

fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..3u64,
        0..200u64,
        0..10_000u64,
        0..10_000_000u64,
        0..200_000_000_000u64
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40u32, distance()).prop_map(|(owner, ahead)| Step::Set { owner, ahead }),
        1 => (0..40u32).prop_map(|owner| Step::Cancel { owner }),
        3 => (distance(), prop_oneof![Just(usize::MAX), 0..4usize])
            .prop_map(|(by, fires_max)| Step::Advance { by, fires_max }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn agrees_with_a_sorted_map(start in 0..5_000u64, steps in prop::collection::vec(step(), 1..80)) {
        let mut wheel = Wheel::new(Tick(start));
        let mut oracle: BTreeMap<u32, u64> = BTreeMap::new();
        let mut now = start;
        // Where time stands while fires are left over: nothing later may have fired.
        for step in steps {
            match step {
                Step::Set { owner, ahead } => {
                    wheel.set(owner, Tick(now + ahead));
                    oracle.insert(owner, now + ahead);
                }
                Step::Cancel { owner } => {
                    wheel.cancel(owner);
                    oracle.remove(&owner);
                }
                Step::Advance { by, fires_max } => {
                    now += by;
                    let mut fired = Vec::new();
                    let done = wheel.advance(Tick(now), fires_max, |owner| fired.push(owner));
                    let times: Vec<u64> = fired.iter().map(|owner| oracle.remove(owner).expect("it was set")).collect();
                    prop_assert!(times.is_sorted(), "in order of time: {times:?}");
                    prop_assert!(times.last().is_none_or(|&at| at <= now), "none fires early");
                    let due = oracle.values().filter(|&&at| at <= now).count();
                    prop_assert_eq!(done, due == 0, "{} are due", due);
                    prop_assert!(done || fired.len() == fires_max);
                }
            }
            prop_assert_eq!(wheel.len(), oracle.len());
            prop_assert_eq!(wheel.is_empty(), wheel.next().is_none());
            if let Some(&earliest) = oracle.values().min() {
                prop_assert!(wheel.next().is_some_and(|next| next.0 <= earliest), "sleeping past a deadline");
            }
            for owner in 0..40 {
                prop_assert_eq!(wheel.get(owner).is_some(), oracle.contains_key(&owner));
            }
        }
    }
}
