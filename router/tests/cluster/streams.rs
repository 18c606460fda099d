use std::collections::BTreeSet;

use proptest::prelude::*;
use ringmain_router::Tick;
use ringmain_router::cluster::Standing;
use ringmain_router::cluster::limits::{
    REPEAT_MESSAGES_MAX, REPEAT_ROOMS_MAX, REPEATS, ROOM_STREAMS_MAX, SENDING_IDLE_MS, SETTLE_MS,
};
use ringmain_router::cluster::sending::Sending;
use ringmain_router::cluster::streams::{Arrival, Streams};

use super::{SECRET, name};

proptest! {
    /// Against a set of all that has come in.
    #[test]
    fn gaps_duplicates_and_late_ones_are_told_apart(
        steps in prop::collection::vec((0u64..3, 1u64..40), 1..120)
    ) {
        let mut streams = Streams::default();
        let mut seen: BTreeSet<(u64, u64)> = BTreeSet::new();
        let mut first = None;
        let mut missed = 0;
        for (generation, sequence) in steps {
            let arrival = streams.arrive(9, generation, sequence, |_| Standing::Unknown).unwrap();
            let highest = seen.last().copied();
            let place = (generation, sequence);
            let expected = match highest {
                None => { first = Some(place); Arrival::Next { missed: 0 } }
                Some(highest) if place > highest => {
                    let base = if generation == highest.0 { highest.1 } else { 0 };
                    Arrival::Next { missed: sequence - base - 1 }
                }
                Some(_) if seen.contains(&place) && generation == highest.unwrap().0 => Arrival::Duplicate,
                Some(_) => Arrival::Late,
            };
            prop_assert_eq!(arrival, expected, "{:?} after {:?}", place, seen);
            if let Arrival::Next { missed: more } = arrival {
                missed += more;
            }
            seen.insert(place);
        }
        // Nothing that could have been is counted twice.
        let (first, last) = (first.unwrap(), *seen.last().unwrap());
        prop_assert!(missed <= (last.0 - first.0 + 1) * 40);
    }

    #[test]
    fn an_idle_room_begins_a_new_generation_and_a_busy_one_does_not(waits in prop::collection::vec(0u64..100_000, 1..60)) {
        let (mut sending, mut now) = (Sending::default(), Tick(0));
        let name = name("lobby");
        let mut last = sending.next(SECRET.id(&name), &name, now);
        for wait in waits {
            let used = now;
            // As the link does, once a second.
            for _ in 0..wait / 1_000 {
                now = now.plus(1_000);
                sending.repeat(&mut 1);
                sending.tidy(now);
            }
            let place = sending.next(SECRET.id(&name), &name, now);
            let is_new = now.since(used) >= SENDING_IDLE_MS;
            prop_assert_eq!(place.generation, last.generation + u64::from(is_new));
            prop_assert_eq!(place.sequence, if is_new { 1 } else { last.sequence + 1 });
            last = place;
        }
    }
}

#[test]
fn the_longest_unused_rooms_make_room_for_others() {
    let mut sending = Sending::new(10);
    let mut next = |room: usize| {
        let name = name(&format!("room {room}"));
        sending.next(SECRET.id(&name), &name, Tick(0))
    };
    let places: Vec<_> = (0..25).map(&mut next).collect();
    assert!(places.is_sorted() && places.iter().all(|place| place.sequence == 1));
    assert_eq!(next(24).sequence, 2);
    assert_eq!(next(0).sequence, 1);
    assert_eq!(sending.len(), 10);
}

/// A sender tells of its last place. Returns what turns out to be missing.
fn missed(
    streams: &mut Streams,
    (incarnation, generation): (u64, u64),
    sequence: u64,
    at: u64,
) -> u64 {
    let told = streams.told(incarnation, generation, sequence, Tick(at), |_| {
        Standing::Unknown
    });
    assert!(!told.is_overruled);
    told.missed
}

#[test]
fn a_tail_that_was_lost_is_seen_by_what_is_repeated() {
    let mut streams = Streams::default();
    let told = |streams: &mut Streams, sequence, at| missed(streams, (9, 1), sequence, at);
    streams.arrive(9, 1, 5, |_| Standing::Unknown);
    assert_eq!(told(&mut streams, 5, 0), 0);
    assert_eq!(told(&mut streams, 8, 1_000), 0, "they may be on their way");
    assert_eq!(told(&mut streams, 8, 2_000), 3);
    assert_eq!(told(&mut streams, 8, 3_000), 0, "counted once");
    assert_eq!(
        streams.arrive(9, 1, 9, |_| Standing::Unknown),
        Some(Arrival::Next { missed: 0 })
    );
    assert_eq!(
        streams.arrive(9, 1, 7, |_| Standing::Unknown),
        Some(Arrival::Late)
    );
    // A stream that began, and was lost, while this node listened.
    assert_eq!(missed(&mut streams, (9, 2), 4, 4_000), 0);
    assert_eq!(missed(&mut streams, (9, 2), 4, 5_000), 4);
    // One of which nothing ever came in may have begun before.
    assert_eq!(missed(&mut streams, (7, 1), 50, 4_000), 0);
    assert_eq!(missed(&mut streams, (7, 1), 50, 5_000), 0);
    assert_eq!(
        streams.arrive(7, 1, 52, |_| Standing::Unknown),
        Some(Arrival::Next { missed: 1 })
    );
}

#[test]
fn what_was_told_before_it_came_in_is_delivered_all_the_same() {
    let mut streams = Streams::default();
    assert_eq!(missed(&mut streams, (9, 1), 1, 0), 0);
    assert_eq!(
        streams.arrive(9, 1, 1, |_| Standing::Unknown),
        Some(Arrival::Next { missed: 0 })
    );
}

#[test]
fn streams_of_nodes_that_are_gone_make_room() {
    let mut streams = Streams::default();
    for incarnation in 0..ROOM_STREAMS_MAX as u64 {
        assert!(
            streams
                .arrive(incarnation, 1, 1, |_| Standing::Here)
                .is_some()
        );
    }
    assert_eq!(streams.arrive(5_000, 1, 1, |_| Standing::Here), None);
    let standing = |incarnation| match incarnation {
        ..10 => Standing::Gone,
        _ => Standing::Here,
    };
    assert!(streams.arrive(5_000, 1, 1, standing).is_some());
    assert_eq!(streams.len(), ROOM_STREAMS_MAX - 9);
    // Who never announces itself takes no place from those who do.
    for unknown in 6_000..7_000 {
        streams.arrive(unknown, 1, 1, |of| match of {
            10..=5_000 => Standing::Here,
            _ => Standing::Unknown,
        });
    }
    let known = streams.arrive(5_000, 1, 1, |_| Standing::Here);
    assert_eq!(known, Some(Arrival::Duplicate), "it is still followed");
}

#[test]
fn who_has_not_announced_itself_yet_is_followed_like_all_others() {
    let mut streams = Streams::default();
    for sequence in 1..20 {
        for incarnation in 0..20 {
            let arrival = streams.arrive(incarnation, 1, 2 * sequence, |_| Standing::Unknown);
            let missed = u64::from(sequence > 1);
            assert_eq!(arrival, Some(Arrival::Next { missed }));
        }
    }
}

#[test]
fn what_comes_in_after_it_was_given_up_is_delivered_while_it_is_in_order() {
    let mut streams = Streams::default();
    let arrive =
        |streams: &mut Streams, sequence| streams.arrive(9, 1, sequence, |_| Standing::Unknown);
    arrive(&mut streams, 1);
    assert_eq!(missed(&mut streams, (9, 1), 4, 0), 0);
    assert_eq!(missed(&mut streams, (9, 1), 4, SETTLE_MS), 3);
    let next = |missed| Some(Arrival::Next { missed });
    assert_eq!(arrive(&mut streams, 2), next(0), "it was slow, not lost");
    assert_eq!(arrive(&mut streams, 4), next(0), "counted once");
    assert_eq!(arrive(&mut streams, 3), Some(Arrival::Late));
    assert_eq!(arrive(&mut streams, 4), Some(Arrival::Duplicate));
    assert_eq!(arrive(&mut streams, 7), next(2));
}

#[test]
fn nodes_that_start_again_and_again_cost_a_room_nothing() {
    let mut streams = Streams::default();
    for incarnation in 0..1_000 {
        // Three live at a time, as in a rolling restart.
        let standing = |of: u64| match of + 3 < incarnation {
            true => Standing::Gone,
            false => Standing::Here,
        };
        assert!(streams.arrive(incarnation, 1, 1, standing).is_some());
        assert!(streams.len() <= 16, "{} after {incarnation}", streams.len());
    }
}

/// What is claimed in a sender's name: that it has come in, or is to come.
fn claims() -> impl Strategy<Value = (bool, u64, u64)> {
    let number = prop_oneof![0u64..12, any::<u64>()];
    (any::<bool>(), number.clone(), number.prop_map(|n| n.max(1)))
}

proptest! {
    /// Against a sender that goes on publishing, and tells its last place once a second.
    #[test]
    fn nobody_is_silenced_for_long_by_what_others_claim_in_its_name(
        before in 0u64..5,
        claims in prop::collection::vec((claims(), 0u64..2_000), 0..10),
        each_second in prop::collection::vec(0u64..4, 4..8),
    ) {
        let (mut streams, mut now) = (Streams::default(), Tick(0));
        let (generation, mut sequence) = (3, 0);
        for _ in 0..before {
            sequence += 1;
            streams.arrive(9, generation, sequence, |_| Standing::Unknown);
        }
        for ((has_come, generation, sequence), wait) in claims {
            now = now.plus(wait);
            if has_come {
                streams.arrive(9, generation, sequence, |_| Standing::Unknown);
            } else {
                streams.told(9, generation, sequence, now, |_| Standing::Unknown);
            }
        }
        for publications in each_second {
            sequence += publications;
            for sequence in sequence - publications + 1..=sequence {
                streams.arrive(9, generation, sequence, |_| Standing::Unknown);
            }
            now = now.plus(1_000);
            streams.told(9, generation, sequence.max(1), now, |_| Standing::Unknown);
        }
        let sequence = sequence.max(1) + 1;
        let arrival = streams.arrive(9, generation, sequence, |_| Standing::Unknown).unwrap();
        prop_assert_eq!(arrival, Arrival::Next { missed: 0 });
        prop_assert_eq!(streams.arrive(9, generation, sequence, |_| Standing::Unknown), Some(Arrival::Duplicate));
    }

    /// A sender that tells each second, over a broker that loses, and delays by less than is waited for: what counts as
    /// missing is what was lost, and no honest word is overruled.
    #[test]
    fn the_losses_of_a_stream_are_counted_to_the_last(
        steps in prop::collection::vec((any::<bool>(), 0u64..400, any::<bool>()), 1..60),
        delay in 0u64..SETTLE_MS,
    ) {
        let mut streams = Streams::default();
        // By time of arrival: a sequence, or what was told.
        let mut arriving: Vec<(u64, bool, u64)> = vec![(0, false, 1)];
        let (mut now, mut sequence, mut lost, mut told_at) = (0, 1, 0, 0);
        for (is_lost, wait, is_slow) in steps {
            now += wait;
            sequence += 1;
            lost += u64::from(is_lost);
            // The two subscriptions have no mutual order, each of its own keeps it.
            if !is_lost {
                arriving.push((now + if is_slow { 0 } else { delay / 2 }, false, sequence));
            }
            if now - told_at >= 1_000 {
                told_at = now;
                arriving.push((now + if is_slow { delay / 2 } else { 0 }, true, sequence));
            }
        }
        for n in 1..4 {
            arriving.push((now + n * 1_000, true, sequence));
        }
        let in_order = |is_told| {
            let mut at = 0;
            let of_kind = arriving.iter().filter(move |(_, told, _)| *told == is_told);
            of_kind.map(move |&(arrives, told, sequence)| {
                at = arrives.max(at);
                (at, told, sequence)
            }).collect::<Vec<_>>()
        };
        let mut arriving = [in_order(false), in_order(true)].concat();
        arriving.sort_by_key(|(at, ..)| *at);
        let mut counted = 0;
        for (at, is_told, sequence) in arriving {
            if is_told {
                counted += missed(&mut streams, (9, 1), sequence, at);
            } else {
                match streams.arrive(9, 1, sequence, |_| Standing::Unknown) {
                    Some(Arrival::Next { missed }) => counted += missed,
                    other => prop_assert!(false, "{sequence} is {other:?}"),
                }
            }
        }
        prop_assert_eq!(counted, lost);
    }

    /// However many rooms there are, and however they are used: each last place is told as often as it has to be, the
    /// rooms take turns, and what is kept is bounded.
    #[test]
    fn every_rooms_last_place_is_told_in_turn(
        rooms_max in 1usize..400,
        published in prop::collection::vec((0usize..600, 0usize..200), 1..20),
    ) {
        let mut sending = Sending::new(rooms_max);
        let mut told = std::collections::BTreeMap::new();
        let mut last = std::collections::BTreeMap::new();
        let mut round = |sending: &mut Sending| {
            let mut left = sending.untold().min(200);
            let mut told_now = BTreeSet::new();
            loop {
                let some = sending.repeat(&mut left);
                if some.is_empty() {
                    break told_now;
                }
                for place in some {
                    let room = place.room.to_string();
                    assert!(told_now.insert(room.clone()), "twice in one round");
                    *told.entry((room, place.generation, place.sequence)).or_insert(0) += 1;
                }
            }
        };
        for (first, rooms) in published {
            for room in first..first + rooms {
                let text = format!("room {room}");
                let name = name(&text);
                last.insert(text, sending.next(SECRET.id(&name), &name, Tick(0)));
            }
            prop_assert!(sending.len() <= rooms_max && sending.untold() <= 2 * rooms_max);
            round(&mut sending);
        }
        let mut rounds = 0;
        while sending.untold() > 0 {
            round(&mut sending);
            rounds += 1;
            prop_assert!(rounds <= 2 * rooms_max.div_ceil(200) * usize::from(REPEATS) + 1, "{rounds}");
        }
        let is_told = |(room, place): (&String, &ringmain_router::cluster::sending::Place)| {
            told.get(&(room.clone(), place.generation, place.sequence)) == Some(&usize::from(REPEATS))
        };
        let in_full = last.iter().filter(|it| is_told(*it)).count();
        prop_assert!(in_full >= last.len().min(sending.len()), "{in_full} of {}", last.len());
    }
}

/// More rooms are published to at once than one round holds, and again and again: none has to wait for ever.
#[test]
fn the_last_places_of_many_rooms_are_all_told_twice_in_the_time_that_rounds_take() {
    let mut sending = Sending::default();
    let a_round = REPEAT_ROOMS_MAX * REPEAT_MESSAGES_MAX;
    let rooms = 3 * a_round;
    let names: Vec<_> = (0..rooms).map(|n| name(&format!("room {n}"))).collect();
    let mut told = vec![0; rooms];
    for round in 0..6 {
        // A third of them goes on.
        for name in &names[..if round == 0 { rooms } else { rooms / 3 }] {
            sending.next(SECRET.id(name), name, Tick(round * 1_000));
        }
        let mut left = sending.untold().min(a_round);
        loop {
            let some = sending.repeat(&mut left);
            if some.is_empty() {
                break;
            }
            for place in some {
                let text = place.room.to_string();
                told[text
                    .strip_prefix("room ")
                    .unwrap()
                    .parse::<usize>()
                    .unwrap()] += 1;
            }
        }
    }
    assert!(told.iter().all(|&times| times == 2));
}
