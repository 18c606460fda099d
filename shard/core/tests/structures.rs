//! The core's data structures against naive ones.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;

use bytes::Bytes;
use proptest::prelude::*;
use ringmain_core::encoded::Encoded;
use ringmain_core::limits::{GATHERED_BYTES_MAX, WRITE_BYTES_MAX, WRITE_SLICES_MAX};
use ringmain_core::members::Members;
use ringmain_core::memory::Meter;
use ringmain_core::outbox::Outbox;
use ringmain_core::table::{Key, Table};
use ringmain_proto::ws::Opcode;
use ringmain_proto::ws::encode::write_frame;

/// A peer that pings and does not read, in a room that talks: what waits is bounded in bytes and in entries, and every
/// reply is kept, in order.
#[test]
fn replies_between_dropped_publications_do_not_make_a_long_queue() {
    let meter = Meter::default();
    let mut outbox = Outbox::default();
    let mut replies = Vec::new();
    for number in 0..5_000u32 {
        outbox.push(
            Encoded::message(Opcode::Binary, &Bytes::from_static(&[0; 100]), &meter)
                .of_publication(None),
        );
        outbox.push_copied(Opcode::Pong, &number.to_le_bytes(), &meter);
        write_frame(&mut replies, Opcode::Pong, &number.to_le_bytes());
        assert_eq!(outbox.drop_oldest(0, 1), u64::from(number > 0));
    }
    let mut slices = Vec::new();
    outbox.push_slices(&mut slices);
    assert!(
        slices.len() <= 2 + replies.len() / 8_192,
        "{}",
        slices.len()
    );
    let sent: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
    let newest_at = sent.len() - 102 - 6;
    assert!(sent[..newest_at] == replies[..replies.len() - 6]);
    assert!(sent[newest_at + 102..] == replies[replies.len() - 6..]);
    assert_eq!(meter.bytes(), outbox.bytes());
}

#[derive(Clone, Debug)]
enum OutboxStep {
    Shared(usize),
    Copied(usize),
    Publication(usize),
    DropOldest(usize),
    Send { gather: bool, share: usize },
    DropUnsent,
}

fn outbox_step() -> impl Strategy<Value = OutboxStep> {
    let length = || prop_oneof![0..200usize, 4_000..4_200usize, 0..400_000usize];
    prop_oneof![
        3 => length().prop_map(OutboxStep::Shared),
        3 => (0..6_000usize).prop_map(OutboxStep::Copied),
        3 => length().prop_map(OutboxStep::Publication),
        2 => prop_oneof![Just(0), 0..500_000usize].prop_map(OutboxStep::DropOldest),
        4 => (any::<bool>(), 0..=100usize).prop_map(|(gather, share)| OutboxStep::Send { gather, share }),
        1 => Just(OutboxStep::DropUnsent),
    ]
}

/// A frame that stands in the oracle's queue, and how much of it is sent.
struct Queued {
    bytes: Vec<u8>,
    sent: usize,
    is_publication: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is pushed comes out once, in order, in pieces of any size; bytes and memory are
    /// counted to the last.
    #[test]
    fn outbox_sends_what_was_pushed(steps in prop::collection::vec(outbox_step(), 1..60)) {
        let meter = Meter::default();
        let mut outbox = Outbox::default();
        let mut oracle: VecDeque<Queued> = VecDeque::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                OutboxStep::Shared(length) => {
                    let payload = vec![number as u8; length];
                    outbox.push(Encoded::message(Opcode::Binary, &Bytes::from(payload.clone()), &meter));
                    push(&mut oracle, &payload);
                }
                OutboxStep::Copied(length) => {
                    let payload = vec![number as u8; length];
                    outbox.push_copied(Opcode::Binary, &payload, &meter);
                    push(&mut oracle, &payload);
                }
                OutboxStep::Publication(length) => {
                    let payload = vec![number as u8; length];
                    let encoded = Encoded::message(Opcode::Binary, &Bytes::from(payload.clone()), &meter);
                    outbox.push(encoded.of_publication(None));
                    push(&mut oracle, &payload);
                    oracle.back_mut().unwrap().is_publication = true;
                }
                OutboxStep::DropOldest(bytes_max) => {
                    let mut expected = 0;
                    while outbox_bytes(&oracle) > bytes_max && let Some(oldest) = oldest_droppable(&oracle) {
                        oracle.remove(oldest);
                        expected += 1;
                    }
                    prop_assert_eq!(outbox.drop_oldest(bytes_max, usize::MAX), expected);
                }
                OutboxStep::Send { gather, share } => {
                    let bytes = offered(&outbox, gather);
                    let offered = bytes.len();
                    prop_assert_eq!(offered == 0, oracle.is_empty());
                    let taken = offered * share / 100;
                    outbox.sent(taken);
                    take(&mut oracle, &bytes[..taken]);
                }
                OutboxStep::DropUnsent => {
                    let before: Vec<usize> = oracle.iter().map(|queued| queued.bytes.len()).collect();
                    let dropped = outbox.drop_unsent();
                    // Copied messages share a buffer with their neighbours, so several may stay with
                    // the one that is begun; what stays is a prefix, and not longer than that buffer.
                    let kept = before.len() - dropped as usize;
                    prop_assert!(kept == 0 || oracle[0].sent > 0 || outbox.bytes() > 0);
                    oracle.truncate(kept);
                }
            }
            let left = outbox_bytes(&oracle);
            prop_assert_eq!(outbox.bytes(), left);
            prop_assert_eq!(outbox.messages() as usize >= oracle.len(), true);
            prop_assert!(meter.bytes() >= left);
        }
        drop(outbox);
        prop_assert_eq!(meter.bytes(), 0);
    }

    #[test]
    fn table_keys_name_one_entry_for_ever(steps in prop::collection::vec((0..3u8, any::<prop::sample::Index>()), 1..2_000)) {
        let mut table: Table<u64> = Table::default();
        let mut oracle: HashMap<Key<u64>, u64> = HashMap::new();
        let mut gone: Vec<Key<u64>> = Vec::new();
        for (number, (what, which)) in steps.into_iter().enumerate() {
            if what < 2 || oracle.is_empty() {
                let key = table.insert(number as u64);
                prop_assert!(oracle.insert(key, number as u64).is_none(), "a key that is in use");
                prop_assert!(!gone.contains(&key), "a key that was in use");
            } else {
                let mut keys: Vec<_> = oracle.keys().copied().collect();
                keys.sort_by_key(|key| (key.index, key.generation));
                let key = keys[which.index(keys.len())];
                prop_assert_eq!(table.remove(key), oracle.remove(&key));
                gone.push(key);
            }
        }
        prop_assert_eq!(table.len(), oracle.len());
        prop_assert!(gone.iter().all(|&key| table.get(key).is_none()));
        prop_assert!(oracle.iter().all(|(&key, value)| table.get(key) == Some(value)));
        let mut listed: Vec<_> = table.iter().map(|(key, &value)| (key.index, value)).collect();
        listed.sort_unstable();
        let mut expected: Vec<_> = oracle.iter().map(|(key, &value)| (key.index, value)).collect();
        expected.sort_unstable();
        prop_assert_eq!(listed, expected);
    }

    /// Members join and leave at rest and while a fan-out runs; positions stay true, and a fan-out
    /// visits each member that was there when it began, and stayed, once.
    #[test]
    fn members_are_where_they_say(steps in prop::collection::vec((0..10u8, any::<prop::sample::Index>()), 1..300)) {
        let mut members = Members::default();
        let mut positions: HashMap<u32, u32> = HashMap::new();
        let mut running = false;
        for (session, (what, which)) in steps.into_iter().enumerate() {
            match what {
                0..5 => {
                    let end = members.end();
                    let position = members.join(session as u32);
                    prop_assert_eq!(position, end, "who joins lies beyond the end of what runs");
                    positions.insert(session as u32, position);
                }
                5..9 if !positions.is_empty() => {
                    let mut sessions: Vec<_> = positions.keys().copied().collect();
                    sessions.sort_unstable();
                    let leaver = sessions[which.index(sessions.len())];
                    let position = positions.remove(&leaver).unwrap();
                    if running {
                        members.leave_hole(position);
                    } else if let Some(moved) = members.leave(position) {
                        positions.insert(moved.session, moved.position);
                    }
                }
                _ => {
                    if running {
                        members.compact(|moved| { positions.insert(moved.session, moved.position); });
                    }
                    running = !running;
                }
            }
            prop_assert_eq!(members.len(), positions.len());
            prop_assert_eq!(members.is_empty(), positions.is_empty());
            for (&session, &position) in &positions {
                prop_assert_eq!(members.at(position), Some(session));
            }
            let visited = (0..members.end()).filter_map(|position| members.at(position)).count();
            prop_assert_eq!(visited, positions.len());
        }
    }
}

/// What an outbox offers, by a copy where it makes one.
fn offered(outbox: &Outbox, gather: bool) -> Vec<u8> {
    let mut gathered = b"before".to_vec();
    if gather && let Some(range) = outbox.gather(&mut gathered) {
        assert!(range.len() <= GATHERED_BYTES_MAX);
        assert_eq!((range.start, range.end), (6, gathered.len()));
        return gathered.split_off(6);
    }
    assert_eq!(gathered, b"before");
    let mut slices = vec![IoSlice::new(b"before")];
    outbox.push_slices(&mut slices);
    assert!(slices.len() <= 1 + WRITE_SLICES_MAX && slices.iter().all(|slice| !slice.is_empty()));
    let bytes = slices[1..]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect::<Vec<u8>>();
    assert!(bytes.len() <= WRITE_BYTES_MAX);
    bytes
}

fn push(oracle: &mut VecDeque<Queued>, payload: &[u8]) {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, Opcode::Binary, payload);
    oracle.push_back(Queued {
        bytes,
        sent: 0,
        is_publication: false,
    });
}

fn outbox_bytes(oracle: &VecDeque<Queued>) -> usize {
    oracle
        .iter()
        .map(|queued| queued.bytes.len() - queued.sent)
        .sum()
}

/// The oldest publication that may go: not begun, and not the newest.
fn oldest_droppable(oracle: &VecDeque<Queued>) -> Option<usize> {
    let newest = oracle.iter().rposition(|queued| queued.is_publication)?;
    let may_go = |queued: &Queued| queued.is_publication && queued.sent == 0;
    oracle.iter().position(may_go).filter(|&at| at < newest)
}

fn take(oracle: &mut VecDeque<Queued>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let front = oracle.front_mut().expect("no more comes out than went in");
        let length = bytes.len().min(front.bytes.len() - front.sent);
        assert!(
            bytes[..length] == front.bytes[front.sent..front.sent + length],
            "bytes in order"
        );
        front.sent += length;
        bytes = &bytes[length..];
        if front.sent == front.bytes.len() {
            oracle.pop_front();
        }
    }
}
