//! What a session may do: publishing, expiry, and tokens that come as the first message.

use ringmain_core::limits::TOKEN_BYTES_MAX;
use ringmain_core::{
    Access, CloseReason, ConnId, DropReason, Expiry, Input, Limits, Pass, RefusedPublish,
    RefusedToken, Target, Tick,
};
use ringmain_proto::ws::Opcode;
use ringmain_proto::ws::encode::write_masked_frame;
use ringmain_router::RoomName;

use crate::SECOND;
use crate::harness::{One, Seen};

const WAIT: Access = Access::Awaited { wait_ms: 10_000 };

fn raw(room: &str) -> Target {
    Target::Raw {
        room: RoomName::new(room.as_bytes()).unwrap(),
        to_self: false,
    }
}

fn pass(publish: bool, expiry: Expiry) -> Pass {
    Pass { publish, expiry }
}

fn listener(one: &mut One, room: &str) -> ConnId {
    let access = Access::Granted(pass(false, Expiry::NEVER));
    one.open_with(raw(room), access)
}

fn closed_with(one: &mut One, conn: ConnId, code: u16) {
    let seen = one.seen(conn);
    assert!(seen.contains(&Seen::Close(code)), "{seen:?}");
}

fn tokens_refused(one: &One, reason: RefusedToken) -> u64 {
    one.stats.tokens_refused[reason as usize].get()
}

#[test]
fn who_may_not_publish_is_closed_and_hears_the_others_until_then() {
    let mut one = One::new(Limits::default());
    let (listener, talker) = (listener(&mut one, "hall"), one.member("hall"));
    one.say(talker, b"hello");
    one.turn();
    assert_eq!(one.messages(listener), [b"hello"]);
    one.say(listener, b"not allowed");
    one.turn();
    closed_with(&mut one, listener, 1008);
    assert!(one.messages(talker).is_empty());
    one.end(listener);
    assert_eq!(one.closed(CloseReason::PublishRefused), 1);
}

#[test]
fn who_is_closed_amid_what_it_sends_is_not_cut_off() {
    let mut one = One::new(Limits::default());
    let listener = listener(&mut one, "hall");
    let mut bytes = Vec::new();
    for _ in 0..3 {
        write_masked_frame(&mut bytes, Opcode::Binary, [0; 4], &[0xff; 100]);
    }
    let cut = bytes.len() - 50;
    one.receive(listener, &bytes[..cut]);
    one.turn();
    one.receive(listener, &bytes[cut..]);
    one.turn();
    assert_eq!(one.seen(listener), [Seen::Close(1008)]);
    one.frame(listener, Opcode::Close, &1008_u16.to_be_bytes());
    one.turn();
    assert_eq!(one.seen(listener), [Seen::Shut]);
}

#[test]
fn or_its_messages_are_dropped_and_counted() {
    let mut one = One::new(Limits {
        refused_publish: RefusedPublish::Drop,
        ..Limits::default()
    });
    let (listener, talker) = (listener(&mut one, "hall"), one.member("hall"));
    for _ in 0..3 {
        one.say(listener, b"not allowed");
    }
    one.say(talker, b"hello");
    one.turn();
    assert_eq!(one.messages(listener), [b"hello"]);
    assert!(one.messages(talker).is_empty());
    assert_eq!(one.dropped(DropReason::NotPermitted), 3);
}

#[test]
fn what_it_may_do_ends_with_its_token() {
    let mut one = One::new(Limits::default());
    let expiry = Expiry::at(one.now.plus(15 * SECOND));
    let member = one.open_with(raw("hall"), Access::Granted(pass(true, expiry)));
    let stream = Target::Events {
        room: RoomName::new(b"hall").unwrap(),
    };
    let stream = one.open_with(stream, Access::Granted(pass(false, expiry)));
    let forever = one.member("hall");
    for _ in 0..14 {
        one.say(forever, b"x");
        one.pass(SECOND);
    }
    assert_eq!(one.messages(member).len(), 14);
    one.pass(2 * SECOND);
    closed_with(&mut one, member, 3000);
    let told = one.events(stream);
    assert!(
        told.contains("token_expired") || told.contains("token has expired"),
        "{told}"
    );
    one.end(member);
    one.end(stream);
    assert_eq!(one.closed(CloseReason::TokenExpired), 2);
    one.say(forever, b"x");
    one.turn();
    assert!(one.seen(forever).iter().all(|seen| *seen != Seen::Shut));
}

#[test]
fn a_first_message_that_is_a_token_is_asked_about_and_never_relayed() {
    let mut one = One::new(Limits::default());
    let talker = one.member("hall");
    let late = one.open_with(raw("hall"), WAIT);
    one.say(talker, b"before it is a member");
    one.frame(late, Opcode::Text, b"the token");
    // What follows waits for the answer, in the same bytes and in others.
    one.say(late, b"first");
    one.turn();
    one.say(late, b"second");
    one.turn();
    assert_eq!(one.tokens, [(late, b"the token".to_vec())]);
    assert!(one.messages(talker).is_empty());
    let input = Input::Admitted {
        conn: late,
        target: raw("hall"),
        pass: Pass::default(),
    };
    one.core.handle(one.now, input);
    one.turn();
    one.say(talker, b"after");
    one.turn();
    assert_eq!(one.messages(talker), [&b"first"[..], b"second"]);
    assert_eq!(one.messages(late), [b"after"]);
    assert!(one.verdicts().is_empty());
    // The wait for the token is over.
    one.say(late, b"third");
    one.pass(15 * SECOND);
    assert_eq!(one.messages(talker), [b"third"]);
}

#[test]
fn a_token_that_is_refused_or_does_not_come_closes_the_connection() {
    let mut one = One::new(Limits::default());
    let talker = one.member("hall");
    let (refused, binary, silent) = (
        one.open_with(raw("hall"), WAIT),
        one.open_with(raw("hall"), WAIT),
        one.open_with(raw("hall"), WAIT),
    );
    one.frame(refused, Opcode::Text, b"not a token");
    one.say(refused, b"for the others");
    one.say(binary, b"no text");
    one.turn();
    closed_with(&mut one, binary, 3000);
    assert_eq!(one.tokens, [(refused, b"not a token".to_vec())]);
    let input = Input::TokenRefused {
        conn: refused,
        why: "it is malformed".to_owned(),
    };
    one.core.handle(one.now, input);
    one.turn();
    closed_with(&mut one, refused, 3000);
    one.pass(9 * SECOND);
    assert_eq!(one.seen(silent), []);
    one.pass(2 * SECOND);
    closed_with(&mut one, silent, 3008);
    assert!(one.messages(talker).is_empty());
    for conn in [refused, binary, silent] {
        one.end(conn);
    }
    assert_eq!(one.closed(CloseReason::TokenRefused), 2);
    assert_eq!(one.closed(CloseReason::TokenTimeout), 1);
    // Of the other it is known to whoever has looked at it.
    assert_eq!(tokens_refused(&one, RefusedToken::Malformed), 1);
}

#[test]
fn whoever_leaves_while_its_token_is_looked_at_is_not_missed() {
    let mut one = One::new(Limits::default());
    let gone = one.open_with(raw("hall"), WAIT);
    one.frame(gone, Opcode::Text, b"the token");
    one.turn();
    assert_eq!(one.tokens.len(), 1);
    one.end(gone);
    let input = Input::Admitted {
        conn: gone,
        target: raw("hall"),
        pass: Pass::default(),
    };
    one.core.handle(one.now, input);
    one.turn();
}

#[test]
fn an_end_is_rounded_up_to_whole_seconds() {
    assert_eq!(Expiry::at(Tick(0)).tick(), Some(Tick(0)));
    assert_eq!(Expiry::at(Tick(1)).tick(), Some(Tick(1_000)));
    assert_eq!(Expiry::at(Tick(1_000)).tick(), Some(Tick(1_000)));
    assert_eq!(Expiry::at(Tick(u64::MAX)).tick(), None);
    assert_eq!(Expiry::NEVER.tick(), None);
}

#[test]
fn what_is_too_long_for_a_token_is_not_kept() {
    let mut one = One::new(Limits::default());
    let conn = one.open_with(raw("hall"), WAIT);
    one.frame(conn, Opcode::Text, &vec![b'x'; TOKEN_BYTES_MAX + 1]);
    one.turn();
    assert!(one.tokens.is_empty());
    closed_with(&mut one, conn, 3000);
    assert_eq!(tokens_refused(&one, RefusedToken::TooLong), 1);
}
