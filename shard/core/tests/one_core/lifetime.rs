//! How long a connection may live.

use std::collections::BTreeSet;

use ringmain_core::close::Reconnect;
use ringmain_core::{CloseReason, Input, Limits, RoomPolicies, Rules};
use ringmain_proto::ws::Opcode;

use super::harness::{One, Seen};

const SECOND: u64 = 1_000;

fn limits(lifetime_ms: u64) -> Limits {
    Limits {
        lifetime_ms,
        ..Limits::default()
    }
}

#[test]
fn connections_end_within_the_last_tenth_of_their_lifetime_each_at_its_own_time() {
    let mut one = One::new(limits(1_000 * SECOND));
    let conns: Vec<_> = (0..200).map(|_| one.echo()).collect();
    let mut ends = BTreeSet::new();
    for second in 1..=1_001 {
        one.pass(SECOND);
        for &conn in &conns {
            // They speak, so the lifetime is not found out by a heartbeat that was due anyway.
            match one.sockets.get(&conn).map(|socket| socket.seen.clone()) {
                Some(seen) if seen.contains(&Seen::Close(1001)) => {
                    ends.insert(second);
                    one.end(conn);
                }
                Some(_) => one.frame(conn, Opcode::Pong, b""),
                None => {}
            }
        }
    }
    assert!(one.sockets.is_empty(), "nobody lives longer");
    assert!(*ends.first().unwrap() >= 900, "{ends:?}");
    assert!(ends.len() > 60, "they go at {} different times", ends.len());
    assert_eq!(one.closed(CloseReason::LifetimeOver), 200);
    assert_eq!(CloseReason::LifetimeOver.entry().reconnect, Reconnect::Now);
}

#[test]
fn what_is_queued_is_sent_before_the_end() {
    let mut one = One::new(limits(20 * SECOND));
    let (publisher, member) = (one.member("a"), one.member("a"));
    one.sockets.get_mut(&member).unwrap().is_stuck = true;
    one.say(publisher, b"before");
    one.turn();
    one.pass(20 * SECOND);
    one.unstick(member);
    one.turn();
    assert_eq!(
        one.seen(member),
        [Seen::Message(b"before".to_vec()), Seen::Close(1001)]
    );
}

#[test]
fn a_new_lifetime_holds_for_those_that_are_connected() {
    let mut one = One::new(limits(0));
    let conn = one.echo();
    one.pass(10 * SECOND);
    let rules = Rules {
        limits: limits(60 * SECOND),
        rooms: RoomPolicies::default(),
    };
    one.core.handle(one.now, Input::Configure(Box::new(rules)));
    for _ in 0..43 {
        one.pass(SECOND);
        one.frame(conn, Opcode::Pong, b"");
    }
    assert!(!one.seen(conn).contains(&Seen::Close(1001)));
    for _ in 0..8 {
        one.pass(SECOND);
        one.frame(conn, Opcode::Pong, b"");
    }
    assert!(one.seen(conn).contains(&Seen::Close(1001)));
}
