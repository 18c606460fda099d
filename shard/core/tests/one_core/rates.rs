//! Connections that send more than their rates allow, under each action.

use std::num::NonZeroU64;

use ringmain_core::{
    CloseReason, ConnId, ConnectionRates, Input, Limits, Rate, RateAction, RateLimit, RoomSettings,
};
use ringmain_proto::ws::Opcode;
use ringmain_proto::ws::encode::write_masked_frame;

use ringmain_router::ShardFrame;

use super::harness::{One, Seen};

fn rate(per_second: u64, burst: u64) -> Option<Rate> {
    Some(Rate::new(NonZeroU64::new(per_second).unwrap(), burst))
}

fn limits(messages: Option<Rate>, bytes: Option<Rate>, action: RateAction) -> Limits {
    Limits {
        connection_rates: ConnectionRates { messages, bytes },
        rate_action: action,
        ..Limits::default()
    }
}

/// So many messages, with their numbers, in one read.
fn say_many(one: &mut One, conn: ConnId, numbers: std::ops::Range<u32>) {
    let mut bytes = Vec::new();
    for number in numbers {
        write_masked_frame(
            &mut bytes,
            Opcode::Binary,
            [1, 2, 3, 4],
            &number.to_le_bytes(),
        );
    }
    one.receive(conn, &bytes);
}

fn numbers(messages: Vec<Vec<u8>>) -> Vec<u32> {
    let number = |payload: &Vec<u8>| u32::from_le_bytes(payload[..].try_into().unwrap());
    messages.iter().map(number).collect()
}

fn exceeded(one: &One, limit: RateLimit) -> u64 {
    one.stats.rates_exceeded[limit as usize].get()
}

#[test]
fn with_refuse_all_messages_come_at_the_rate_and_in_order() {
    let mut one = One::new(limits(rate(100, 10), None, RateAction::Refuse));
    let conn = one.echo();
    say_many(&mut one, conn, 0..500);
    one.turn();
    let mut heard = numbers(one.messages(conn));
    assert_eq!(heard, (0..10).collect::<Vec<_>>());
    assert!(
        !one.core.is_reading(conn),
        "what it sends now waits at its end"
    );
    for second in 1..=4 {
        one.pass(1_000);
        heard.extend(numbers(one.messages(conn)));
        assert_eq!(heard, (0..10 + second * 100).collect::<Vec<_>>());
    }
    one.pass(1_000);
    heard.extend(numbers(one.messages(conn)));
    assert_eq!(heard, (0..500).collect::<Vec<_>>());
    one.pass(100);
    assert!(one.core.is_reading(conn));
    assert_eq!(one.stats.messages_over_rate.get(), 0);
    assert!(exceeded(&one, RateLimit::ConnectionMessages) > 0);
    assert_eq!(one.core.memory_bytes(), 0);
}

#[test]
fn with_drop_what_is_beyond_the_rate_is_dropped_and_counted() {
    let mut one = One::new(limits(rate(100, 10), None, RateAction::Drop));
    let conn = one.echo();
    say_many(&mut one, conn, 0..50);
    one.turn();
    assert_eq!(numbers(one.messages(conn)), (0..10).collect::<Vec<_>>());
    assert_eq!(one.stats.messages_over_rate.get(), 40);
    assert_eq!(exceeded(&one, RateLimit::ConnectionMessages), 40);
    // Whoever goes on too fast still gets its rate through.
    let mut passed = 0;
    for _ in 0..100 {
        one.pass(10);
        say_many(&mut one, conn, 0..5);
        one.turn();
        passed += one.messages(conn).len();
    }
    assert_eq!(passed, 100);
}

#[test]
fn with_close_the_first_message_beyond_the_rate_closes_with_1008() {
    let mut one = One::new(limits(rate(100, 10), None, RateAction::Close));
    let (conn, other) = (one.echo(), one.echo());
    say_many(&mut one, conn, 0..11);
    say_many(&mut one, other, 0..10);
    one.turn();
    let seen = one.seen(conn);
    assert_eq!(seen.len(), 12);
    assert_eq!(seen[10..], [Seen::Close(1008), Seen::HalfClosed]);
    assert_eq!(one.messages(other).len(), 10);
    one.end(conn);
    assert_eq!(one.closed(CloseReason::RateExceeded), 1);
}

#[test]
fn bytes_are_held_to_their_rate_whatever_they_are() {
    // Pings, and fragments of a message that never ends.
    for (first, bytes) in [(0x89, 100), (0x00, 0), (0x00, 100)] {
        let mut frame = Vec::new();
        write_masked_frame(&mut frame, Opcode::Ping, [1, 2, 3, 4], &vec![0; bytes]);
        frame[0] = first;
        let mut one = One::new(Limits {
            message_bytes_max: 1_000_000,
            ..limits(None, rate(10_000, 10_000), RateAction::Refuse)
        });
        let conn = one.echo();
        let mut sent = 0;
        if first == 0 {
            let mut begin = Vec::new();
            write_masked_frame(&mut begin, Opcode::Binary, [1, 2, 3, 4], b"a");
            begin[0] = 0x02;
            one.receive(conn, &begin);
        }
        for _ in 0..10_000 {
            one.pass(1);
            if one.core.is_reading(conn) {
                one.receive(conn, &frame.repeat(1 + 2_000 / frame.len()));
                sent += frame.len() * (1 + 2_000 / frame.len());
            }
        }
        assert!((95_000..125_000).contains(&sent), "{first:x}: {sent}");
    }
}

#[test]
fn with_refuse_a_large_message_passes_and_is_owed() {
    let mut one = One::new(limits(None, rate(10_000, 1_000), RateAction::Refuse));
    let conn = one.echo();
    one.say(conn, &[7; 50_000]);
    one.turn();
    assert_eq!(one.messages(conn).len(), 1);
    assert!(!one.core.is_reading(conn));
    one.pass(4_800);
    assert!(!one.core.is_reading(conn));
    one.pass(200);
    assert!(one.core.is_reading(conn));
}

#[test]
fn fragments_without_end_are_closed() {
    let mut one = One::new(limits(None, rate(1_000, 1_000), RateAction::Close));
    let conn = one.echo();
    let mut empty = Vec::new();
    write_masked_frame(&mut empty, Opcode::Binary, [1, 2, 3, 4], b"");
    empty[0] = 0x02;
    one.receive(conn, &empty);
    empty[0] = 0x00;
    for _ in 0..1_000 {
        one.receive(conn, &empty.repeat(100));
    }
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Close(1008), Seen::HalfClosed]);
}

#[test]
fn rates_can_change_while_connections_are_open_and_while_they_wait() {
    let mut one = One::new(Limits::default());
    let conn = one.echo();
    say_many(&mut one, conn, 0..100);
    one.turn();
    assert_eq!(one.messages(conn).len(), 100);
    let configure = |one: &mut One, limits: Limits| {
        let rules = ringmain_core::Rules {
            limits,
            ..Default::default()
        };
        one.core.handle(one.now, Input::Configure(Box::new(rules)));
    };
    configure(&mut one, limits(rate(1, 1), None, RateAction::Refuse));
    say_many(&mut one, conn, 0..100);
    one.turn();
    assert_eq!(one.messages(conn).len(), 1);
    configure(&mut one, Limits::default());
    one.pass(1_000);
    assert_eq!(one.messages(conn).len(), 99);
    assert!(one.core.is_reading(conn));
}

#[test]
fn whoever_waits_for_its_rate_is_not_taken_for_dead_and_can_end() {
    let mut one = One::new(limits(rate(1, 1), None, RateAction::Refuse));
    let conn = one.echo();
    say_many(&mut one, conn, 0..100);
    one.pass(90_000);
    assert!(!one.seen(conn).contains(&Seen::Shut));
    one.end(conn);
    assert_eq!(one.core.memory_bytes(), 0);
    one.pass(2_000);
    assert_eq!(one.core.connections(), 0);
}

#[test]
fn a_room_that_is_always_beyond_its_rate_sets_no_more_alarms_as_time_passes() {
    let mut one = One::with_rooms(RoomSettings {
        message_rate: rate(200, 1),
        ..RoomSettings::default()
    });
    let (talker, listener) = (one.member("hall"), one.member("hall"));
    let mut heard = 0;
    for _ in 0..2_000 {
        say_many(&mut one, talker, 0..10);
        one.pass(10);
        heard += one.messages(listener).len();
        // Those that an earlier one has overtaken stay until their time.
        assert!(one.core.alarms() <= 40, "{} alarms", one.core.alarms());
    }
    assert!((3_500..=4_500).contains(&heard), "{heard} in 20 s");
}

/// A room whose rate is used up by one of its members, and so many others who do not talk.
fn used_up(per_second: u64, others: usize) -> (One, ConnId, Vec<ConnId>) {
    let mut one = One::with_rooms(RoomSettings {
        message_rate: rate(per_second, 1),
        ..RoomSettings::default()
    });
    let talker = one.member("hall");
    let others = (0..others).map(|_| one.member("hall")).collect();
    one.say(talker, b"first");
    one.turn();
    (one, talker, others)
}

#[test]
fn pongs_and_closes_do_not_wait_for_their_rooms_rate() {
    let (mut one, talker, listeners) = used_up(10, 200);
    for listener in &listeners[1..] {
        one.frame(*listener, Opcode::Pong, b"");
    }
    one.say(talker, b"second");
    one.frame(listeners[1], Opcode::Close, &1000_u16.to_be_bytes());
    one.turn();
    assert!(one.seen(listeners[1]).contains(&Seen::Close(1000)));
    one.pass(200);
    assert_eq!(one.messages(listeners[0]).len(), 2);
    assert_eq!(exceeded(&one, RateLimit::RoomMessages), 1);
}

#[test]
fn a_ping_amid_a_message_does_not_wait_for_the_rooms_rate() {
    let (mut one, talker, _) = used_up(1, 1);
    one.pass(1_000);
    let mut bytes = Vec::new();
    write_masked_frame(&mut bytes, Opcode::Text, [1, 2, 3, 4], b"a");
    bytes[0] = 0x01;
    one.receive(talker, &bytes);
    one.say(
        one.sockets
            .keys()
            .copied()
            .find(|conn| *conn != talker)
            .unwrap(),
        b"mine",
    );
    one.turn();
    one.frame(talker, Opcode::Ping, b"there?");
    one.turn();
    assert!(one.seen(talker).contains(&Seen::Pong(b"there?".to_vec())));
}

#[test]
fn whoever_ends_while_it_waits_for_a_rooms_rate_is_in_nobodys_way() {
    let (mut one, honest, others) = used_up(10, 201);
    for conn in &others[1..] {
        one.say(*conn, b"mine");
    }
    for conn in &others[1..] {
        one.end(*conn);
    }
    assert!(
        one.core.waiting_at_gates() <= 1,
        "{}",
        one.core.waiting_at_gates()
    );
    one.say(honest, b"mine");
    one.pass(500);
    assert_eq!(one.messages(others[0]).len(), 2);
}

#[test]
fn whoever_has_no_message_when_its_turn_comes_passes_it_on() {
    let (mut one, honest, others) = used_up(10, 100);
    // Each has begun a message, and does not go on.
    for conn in &others[1..] {
        let mut bytes = Vec::new();
        write_masked_frame(&mut bytes, Opcode::Binary, [1, 2, 3, 4], b"never all of it");
        one.receive(*conn, &bytes[..bytes.len() - 1]);
    }
    one.say(honest, b"mine");
    one.pass(500);
    assert_eq!(one.messages(others[0]).len(), 2);
}

#[test]
fn whoever_keeps_to_its_rate_is_not_counted_as_beyond_it() {
    let mut one = One::new(limits(rate(1, 1), None, RateAction::Refuse));
    let conn = one.echo();
    for _ in 0..5 {
        one.say(conn, b"calm");
        one.pass(10_000);
    }
    assert_eq!(one.messages(conn).len(), 5);
    assert_eq!(exceeded(&one, RateLimit::ConnectionMessages), 0);
    assert_eq!(one.stats.publishers_paused.get(), 0);
}

/// Closes all connections for the end of the node.
fn drain(one: &mut One) {
    let drain = ShardFrame::Drain {
        duration_ms: 0,
        seed: 3,
    };
    one.core.handle(one.now, Input::Frame(drain));
    one.turn();
}

#[test]
fn whoever_waits_amid_a_frame_is_closed_like_all_others() {
    let mut one = One::new(limits(rate(1, 1), None, RateAction::Refuse));
    let conn = one.echo();
    let mut bytes = Vec::new();
    for _ in 0..5 {
        write_masked_frame(&mut bytes, Opcode::Binary, [0; 4], &[0xff; 100]);
    }
    let cut = bytes.len() - 3;
    one.receive(conn, &bytes[..cut]);
    one.turn();
    assert!(!one.core.is_reading(conn));
    drain(&mut one);
    one.receive(conn, &bytes[cut..]);
    one.turn();
    let seen = one.seen(conn);
    assert_eq!(seen[1..], [Seen::Close(1012)]);
    one.frame(conn, Opcode::Close, &1012_u16.to_be_bytes());
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Shut]);
    one.end(conn);
    assert_eq!(one.core.memory_bytes(), 0);
}

#[test]
fn an_answer_that_was_unread_when_a_connection_is_closed_is_found() {
    let mut one = One::new(limits(rate(1, 1), None, RateAction::Refuse));
    let conn = one.echo();
    let mut bytes = Vec::new();
    for (opcode, payload) in [
        (Opcode::Binary, &b"1"[..]),
        (Opcode::Binary, b"2"),
        (Opcode::Close, &[3, 232]),
    ] {
        write_masked_frame(&mut bytes, opcode, [0; 4], payload);
    }
    one.receive(conn, &bytes);
    one.turn();
    drain(&mut one);
    let seen = one.seen(conn);
    assert_eq!(seen[1..], [Seen::Close(1012), Seen::Shut]);
}
