use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ringmain_router::Tick;
use ringmain_router::cluster::Bucket;
use ringmain_router::cluster::interest::RoomsHere;
use ringmain_router::cluster::limits::LINGER_MS;

use super::cell;

proptest! {
    /// Against plain sets: a bucket is subscribed to from its first room on, until it has been empty for the linger.
    #[test]
    fn buckets_follow_their_rooms(steps in prop::collection::vec((0usize..6, any::<bool>(), 0u64..4_000), 1..80)) {
        let cells: Vec<_> = (0..6).map(|n| cell(&format!("room {n}"))).collect();
        let bucket = |room: usize| Bucket::of(cells[room].name());
        let (mut here, mut now) = (RoomsHere::default(), Tick(0));
        let mut rooms = BTreeSet::new();
        let mut empty_since: BTreeMap<Bucket, Tick> = BTreeMap::new();
        let mut subscribed = BTreeSet::new();
        for (room, comes, wait) in steps {
            now = now.plus(wait);
            while let Some(bucket) = here.poll_abandoned(now) {
                prop_assert!(now.since(empty_since[&bucket]) >= LINGER_MS);
                prop_assert!(subscribed.remove(&bucket));
                empty_since.remove(&bucket);
            }
            prop_assert!(empty_since.values().all(|&since| now.since(since) < LINGER_MS), "one lingers for too long");
            if comes {
                let must = here.add(cells[room].clone());
                prop_assert_eq!(must.is_some(), subscribed.insert(bucket(room)));
                rooms.insert(room);
                empty_since.remove(&bucket(room));
            } else {
                here.remove(cells[room].room(), now);
                if rooms.remove(&room) && !rooms.iter().any(|&other| bucket(other) == bucket(room)) {
                    empty_since.insert(bucket(room), now);
                }
            }
            prop_assert_eq!(here.len(), rooms.len());
            prop_assert_eq!(here.subscribed(), subscribed.len());
        }
    }
}

#[test]
fn a_bucket_that_was_in_use_again_waits_behind_none_that_became_empty_later() {
    let (first, second) = (cell("room 4"), cell("room 2"));
    let mut here = RoomsHere::default();
    here.add(first.clone());
    here.remove(first.room(), Tick(0));
    here.add(first.clone());
    here.add(second.clone());
    here.remove(first.room(), Tick(1_518));
    here.remove(second.room(), Tick(2_879));
    assert_eq!(here.poll_abandoned(Tick(LINGER_MS)), None);
    let first_end = Tick(1_518 + LINGER_MS);
    assert_eq!(
        here.poll_abandoned(first_end),
        Some(Bucket::of(first.name()))
    );
    assert_eq!(here.poll_abandoned(first_end), None);
    let second_end = Tick(2_879 + LINGER_MS);
    assert_eq!(
        here.poll_abandoned(second_end),
        Some(Bucket::of(second.name()))
    );
}
