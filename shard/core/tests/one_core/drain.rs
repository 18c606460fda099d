//! The drain of one shard.

use ringmain_core::{Access, CloseReason, Input, Limits, Target};
use ringmain_router::ShardFrame;

use crate::SECOND;
use crate::harness::{One, Seen};

fn drain(one: &mut One, duration_ms: u64) {
    let drain = ShardFrame::Drain {
        duration_ms,
        seed: 3,
    };
    one.core.handle(one.now, Input::Frame(drain));
    one.turn();
}

/// Ends whoever was shut, answers the closes, and returns how many were sent one.
fn closed(one: &mut One) -> usize {
    let conns: Vec<_> = one.sockets.keys().copied().collect();
    let mut closed = 0;
    for conn in conns {
        let seen = one.seen(conn);
        if seen.contains(&Seen::Close(1012)) {
            closed += 1;
            one.end(conn);
        }
    }
    closed
}

#[test]
fn a_drain_closes_a_fifth_in_each_fifth_of_its_time() {
    let mut one = One::new(Limits::default());
    for _ in 0..1_000 {
        one.echo();
    }
    drain(&mut one, 10 * SECOND);
    let mut all = closed(&mut one);
    for fifth in 1..=5 {
        one.pass(2 * SECOND);
        all += closed(&mut one);
        assert!(all.abs_diff(fifth * 200) <= 3, "{all} after {fifth} fifths");
    }
    assert_eq!(all, 1_000);
    assert!(!one.core.is_stopped(), "others may need it still");
    one.core.handle(one.now, Input::Frame(ShardFrame::Stop));
    one.turn();
    assert!(one.core.is_stopped());
}

#[test]
fn newcomers_of_a_drain_are_served_and_closed_in_their_turn() {
    let mut one = One::new(Limits::default());
    let early: Vec<_> = (0..10).map(|_| one.member("a")).collect();
    drain(&mut one, 10 * SECOND);
    let late = one.member("a");
    let hears = early
        .into_iter()
        .find(|conn| !one.seen(*conn).contains(&Seen::Close(1012)));
    one.say(late, b"here I am");
    one.turn();
    assert_eq!(one.messages(hears.unwrap()), [b"here I am".to_vec()]);
    one.pass(11 * SECOND);
    assert!(one.seen(late).contains(&Seen::Close(1012)));
    assert!(closed(&mut one) > 0);
}

#[test]
fn who_is_not_yet_open_at_its_time_is_closed_as_soon_as_it_is() {
    let mut one = One::new(Limits::default());
    let conn = one.core.admit(one.now).unwrap();
    one.sockets.insert(conn, Default::default());
    drain(&mut one, 0);
    assert_eq!(one.seen(conn), [Seen::Finishing]);
    let target = Target::Echo;
    one.core.handle(
        one.now,
        Input::Upgrade {
            conn,
            target,
            compression: None,
            access: Access::default(),
        },
    );
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Close(1012)]);
}

#[test]
fn who_never_asks_for_anything_has_the_time_of_a_closing_handshake() {
    let mut one = One::new(Limits::default());
    let conn = one.core.admit(one.now).unwrap();
    one.sockets.insert(conn, Default::default());
    drain(&mut one, 0);
    one.pass(4 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Finishing]);
    one.pass(2 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Shut]);
    one.end(conn);
    assert_eq!(one.closed(CloseReason::Stopping), 1);
}

#[test]
fn a_request_under_way_has_its_time_however_old_its_connection_is() {
    let mut one = One::new(Limits::default());
    let conn = one.core.admit(one.now).unwrap();
    one.sockets.insert(conn, Default::default());
    one.core.handle(one.now, Input::RequestBegun { conn });
    one.core.handle(one.now, Input::RequestDone { conn });
    one.pass(20 * SECOND);
    one.core.handle(one.now, Input::RequestBegun { conn });
    drain(&mut one, 0);
    one.pass(4 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Finishing]);
    one.pass(2 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Shut]);
    one.end(conn);
    assert_eq!(one.closed(CloseReason::Stopping), 1);
}

#[test]
fn a_stop_cuts_a_drain_short() {
    let mut one = One::new(Limits::default());
    for _ in 0..2_000 {
        one.echo();
    }
    drain(&mut one, 3_600 * SECOND);
    one.core.handle(one.now, Input::Frame(ShardFrame::Stop));
    one.turn();
    assert_eq!(closed(&mut one), 2_000);
    assert!(one.core.is_stopped());
}
