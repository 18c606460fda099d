//! Members that do not read, under each policy.

use ringmain_core::{CloseReason, DropReason, Input, Limits, RoomSettings, SlowConsumer};
use ringmain_proto::ws::Opcode;

use super::harness::{One, Seen};

const SECOND: u64 = 1_000;

fn settings(slow_consumer: SlowConsumer) -> RoomSettings {
    RoomSettings {
        slow_consumer,
        queue_bytes_max: 10_000,
        queue_messages_max: 8,
        message_rate: None,
    }
}

/// Its number, then filling.
fn numbered(number: u32, bytes: usize) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(bytes, 0);
    payload
}

fn numbers(messages: Vec<Vec<u8>>) -> Vec<u32> {
    let number = |payload: &Vec<u8>| u32::from_le_bytes(payload[..4].try_into().unwrap());
    messages.iter().map(number).collect()
}

fn stick(one: &mut One, conn: ringmain_core::ConnId, takes: usize) {
    let socket = one.sockets.get_mut(&conn).unwrap();
    socket.is_stuck = true;
    socket.takes = takes;
}

#[test]
fn the_oldest_make_room_for_the_newest_by_bytes_and_by_messages() {
    for (bytes, kept) in [(1_000, 8), (3_000, 3), (20_000, 1)] {
        let mut one = One::with_rooms(settings(SlowConsumer::DropOldest));
        let (publisher, slow, good) = (one.member("a"), one.member("a"), one.member("a"));
        stick(&mut one, slow, 0);
        for number in 0..100 {
            one.say(publisher, &numbered(number, bytes));
            one.turn();
        }
        assert_eq!(numbers(one.messages(good)), (0..100).collect::<Vec<_>>());
        assert_eq!(one.dropped(DropReason::DropOldest), 100 - kept);
        one.unstick(slow);
        one.turn();
        let newest: Vec<u32> = (100 - kept as u32..100).collect();
        assert_eq!(numbers(one.messages(slow)), newest);
        assert_eq!(one.core.memory_bytes(), 0);
    }
}

#[test]
fn only_the_newest_waits_for_a_member_that_does_not_read() {
    let mut one = One::with_rooms(settings(SlowConsumer::KeepLatest));
    let (publisher, slow, good) = (one.member("a"), one.member("a"), one.member("a"));
    // In one turn, so that all are queued when the socket turns out to take none of them.
    stick(&mut one, slow, 0);
    for number in 0..50 {
        one.say(publisher, &numbered(number, 1_000));
    }
    one.turn();
    for number in 50..100 {
        one.say(publisher, &numbered(number, 1_000));
        one.turn();
    }
    assert_eq!(one.dropped(DropReason::KeepLatest), 99);
    one.unstick(slow);
    one.turn();
    assert_eq!(numbers(one.messages(slow)), [99]);
    // Who reads has all of them, however many come in one turn.
    assert_eq!(numbers(one.messages(good)), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_message_that_is_begun_is_sent_to_its_end() {
    for policy in [SlowConsumer::DropOldest, SlowConsumer::KeepLatest] {
        let mut one = One::with_rooms(RoomSettings {
            queue_messages_max: 2,
            ..settings(policy)
        });
        let (publisher, slow) = (one.member("a"), one.member("a"));
        stick(&mut one, slow, 1_500);
        for number in 0..20 {
            one.say(publisher, &numbered(number, 1_000));
            one.turn();
        }
        one.unstick(slow);
        one.turn();
        // The first whole, the second begun: the harness parses what it reads.
        assert_eq!(numbers(one.messages(slow)), [0, 1, 19]);
    }
}

#[test]
fn replies_and_control_frames_are_never_dropped() {
    let mut one = One::with_rooms(settings(SlowConsumer::KeepLatest));
    let (publisher, slow) = (one.member("a"), one.member("a"));
    stick(&mut one, slow, 0);
    for number in 0..40 {
        one.say(publisher, &numbered(number, 1_000));
        one.turn();
        one.frame(slow, Opcode::Ping, &[number as u8; 100]);
    }
    one.frame(slow, Opcode::Close, &3_999u16.to_be_bytes());
    one.unstick(slow);
    one.turn();
    let seen = one.seen(slow);
    let pongs = seen.iter().filter(|seen| matches!(seen, Seen::Pong(_)));
    let expected: Vec<Seen> = (0..40).map(|n| Seen::Pong(vec![n; 100])).collect();
    assert_eq!(pongs.cloned().collect::<Vec<_>>(), expected);
    assert!(seen.contains(&Seen::Message(numbered(39, 1_000))));
    assert_eq!(seen[41..], [Seen::Close(3_999), Seen::Shut]);
    assert_eq!(one.dropped(DropReason::KeepLatest), 39);
}

#[test]
fn a_member_in_a_room_that_drops_is_not_closed_for_being_slow_and_is_read_on() {
    let mut one = One::with_rooms(RoomSettings {
        queue_bytes_max: 256 * 1024,
        queue_messages_max: 1_000,
        ..settings(SlowConsumer::DropOldest)
    });
    let (publisher, slow) = (one.member("a"), one.member("a"));
    stick(&mut one, slow, 0);
    // Reads 2 KB of 60 KB a second, and speaks: its queue is always full.
    for number in 0..200u32 {
        one.say(publisher, &numbered(number, 60_000));
        one.pass(SECOND);
        one.unstick(slow);
        stick(&mut one, slow, 2_000);
        one.turn();
        one.say(slow, b"I am here");
        one.say(publisher, b"    ");
        one.turn();
    }
    assert_eq!(one.closed(CloseReason::SlowConsumer), 0);
    assert!(one.dropped(DropReason::DropOldest) > 150);
    assert!(one.core.is_reading(slow));
    let heard = one.messages(publisher);
    assert_eq!(heard.len(), 200, "what it says is heard");
}

#[test]
fn who_reads_slowly_is_no_dead_peer_and_who_reads_nothing_is() {
    for policy in [SlowConsumer::DropOldest, SlowConsumer::KeepLatest] {
        let mut one = One::with_rooms(settings(policy));
        let (publisher, slow, dead) = (one.member("a"), one.member("a"), one.member("a"));
        stick(&mut one, slow, 0);
        stick(&mut one, dead, 0);
        // Its pings wait behind more than it reads in 10 s, and it says nothing.
        for number in 0..60u32 {
            one.say(publisher, &numbered(number, 9_000));
            one.unstick(slow);
            stick(&mut one, slow, 100);
            one.pass(SECOND);
        }
        assert!(!one.seen(slow).contains(&Seen::Shut), "it reads");
        assert_eq!(one.seen(dead), [Seen::Shut]);
        one.end(dead);
        assert_eq!(one.closed(CloseReason::HeartbeatTimeout), 1);
    }
}

#[test]
fn who_is_not_read_for_its_full_outbox_and_takes_nothing_is_given_up() {
    let mut one = One::new(Limits::default());
    let conn = one.echo();
    one.sockets.get_mut(&conn).unwrap().is_stuck = true;
    while one.core.is_reading(conn) {
        one.say(conn, &[2; 1_000]);
        one.turn();
    }
    // It reads a little, so that it is not above the soft bound any more but still not read, and then no more.
    one.unstick(conn);
    stick(&mut one, conn, 50_000);
    one.turn();
    assert!(!one.core.is_reading(conn));
    one.pass(60 * SECOND);
    assert_eq!(one.seen(conn).last(), Some(&Seen::Shut));
}

#[test]
fn rooms_that_there_are_take_new_settings() {
    let mut one = One::new(Limits::default());
    let (publisher, slow) = (one.member("a"), one.member("a"));
    let others: Vec<_> = (0..300).map(|n| one.member(&format!("r{n}"))).collect();
    stick(&mut one, slow, 0);
    for number in 0..6 {
        one.say(publisher, &numbered(number, 60_000));
        one.turn();
    }
    one.pass(5 * SECOND);
    one.set_rooms(settings(SlowConsumer::KeepLatest));
    // It was above the soft bound under the old policy; under the new one that is nothing to be closed for.
    one.pass(15 * SECOND);
    one.say(publisher, &numbered(6, 60_000));
    one.turn();
    one.unstick(slow);
    one.turn();
    assert_eq!(numbers(one.messages(slow)), [6]);
    assert_eq!(one.dropped(DropReason::KeepLatest), 6);
    // Those of many rooms too, some a turn.
    let mates: Vec<_> = (0..300).map(|n| one.member(&format!("r{n}"))).collect();
    for (&member, &mate) in others.iter().zip(&mates) {
        stick(&mut one, member, 0);
        one.say(mate, b"    ");
        one.turn();
        one.say(mate, b"    ");
        one.turn();
    }
    assert_eq!(one.dropped(DropReason::KeepLatest), 306);
}

#[test]
fn settings_that_disconnect_again_hold_for_those_that_are_slow() {
    let mut one = One::with_rooms(RoomSettings {
        queue_bytes_max: 256 * 1024,
        ..settings(SlowConsumer::DropOldest)
    });
    let (publisher, slow) = (one.member("a"), one.member("a"));
    stick(&mut one, slow, 0);
    let mut input = 0;
    let mut speak = |one: &mut One| {
        one.say(publisher, &numbered(input, 60_000));
        one.turn();
        input += 1;
    };
    (0..20).for_each(|_| speak(&mut one));
    one.core.handle(one.now, Input::Turn { lane_bytes: 0 });
    one.set_rooms(RoomSettings::default());
    (0..20).for_each(|_| speak(&mut one));
    one.end(slow);
    assert_eq!(one.closed(CloseReason::SlowConsumer), 1);
}
