//! Orders to close a connection, or all of a user.

use std::sync::Arc;

use ringmain_core::limits::{ORDERS_WAITING_MAX, TURN_ORDER_CLOSES_MAX, TURN_ORDER_PLACES_MAX};
use ringmain_core::{CloseReason, ConnId, Input, Limits};
use ringmain_proto::ws::Opcode;
use ringmain_router::order::{Closing, Words};
use ringmain_router::{CloseOrder, RoomKey, ShardFrame, Subject};

use super::harness::{One, SECRET, Seen};

fn order(closing: Closing) -> Arc<CloseOrder> {
    let words = Words::new(4_001, "until tomorrow".to_owned()).unwrap();
    Arc::new(CloseOrder::new(closing, words, 1))
}

fn user(name: &str) -> Closing {
    Closing::User(RoomKey::new(SECRET).subject(Subject::User(name)))
}

fn give(one: &mut One, closing: Closing) -> Arc<CloseOrder> {
    let order = order(closing);
    let frame = ShardFrame::Close(order.clone());
    one.core.handle(one.now, Input::Frame(frame));
    order
}

fn own(one: &mut One, conn: ConnId, name: &str) {
    let user = Subject::User(name);
    one.core.handle(one.now, Input::Owned { conn, user });
}

fn owned(one: &mut One, name: &str) -> ConnId {
    let conn = one.echo();
    own(one, conn, name);
    conn
}

#[test]
fn a_connection_is_closed_with_the_words_of_the_order_and_once() {
    let mut one = One::new(Limits::default());
    let (conn, other) = (one.member("lobby"), one.member("lobby"));
    let (index, generation) = (conn.index, conn.generation);
    let first = give(&mut one, Closing::Connection { index, generation });
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Close(4_001)]);
    assert_eq!((first.outcome().closed, first.outcome().is_done), (1, true));
    // It is on its way out already.
    let again = give(&mut one, Closing::Connection { index, generation });
    assert_eq!((again.outcome().closed, again.outcome().is_done), (0, true));
    one.frame(conn, Opcode::Close, &4_001u16.to_be_bytes());
    one.end(conn);
    assert_eq!(one.closed(CloseReason::ClosedByOperator), 1);
    // The next connection in its place is another one.
    let next = one.echo();
    assert_eq!(next.index, index);
    let late = give(&mut one, Closing::Connection { index, generation });
    one.turn();
    assert_eq!(late.outcome().closed, 0);
    assert!(one.seen(next).is_empty() && one.seen(other).is_empty());
}

#[test]
fn all_of_a_user_are_closed_and_nobody_elses() {
    let mut one = One::new(Limits::default());
    let hers = [0; 3].map(|_| owned(&mut one, "ann"));
    let stream = one.stream("lobby");
    own(&mut one, stream, "ann");
    let (his, nobodys) = (owned(&mut one, "bob"), one.echo());
    one.events(stream);
    let order = give(&mut one, user("ann"));
    one.turn();
    for conn in hers {
        assert_eq!(one.seen(conn), [Seen::Close(4_001)]);
    }
    assert!(one.events(stream).contains("\"closed_by_operator\""));
    assert!(one.seen(his).is_empty() && one.seen(nobodys).is_empty());
    assert_eq!((order.outcome().closed, order.outcome().is_done), (4, true));
    let order = give(&mut one, user("nobody"));
    one.turn();
    assert_eq!((order.outcome().closed, order.outcome().is_done), (0, true));
}

#[test]
fn an_order_is_carried_out_over_several_turns_and_the_next_waits() {
    let mut one = One::new(Limits::default());
    let many = TURN_ORDER_CLOSES_MAX as usize + 10;
    for _ in 0..many {
        owned(&mut one, "ann");
    }
    let last = owned(&mut one, "bob");
    let (hers, his) = (give(&mut one, user("ann")), give(&mut one, user("bob")));
    one.turn_once(usize::MAX);
    assert!(!hers.outcome().is_done && one.core.has_work());
    assert!(one.seen(last).is_empty());
    one.turn();
    assert_eq!(
        (hers.outcome().closed, hers.outcome().is_done),
        (many as u64, true)
    );
    assert_eq!((his.outcome().closed, his.outcome().is_done), (1, true));
    assert!(!one.core.has_work());
}

#[test]
fn a_turn_looks_at_a_part_of_the_table() {
    let mut one = One::new(Limits::default());
    for _ in 0..=TURN_ORDER_PLACES_MAX {
        one.echo();
    }
    let order = give(&mut one, user("ann"));
    one.turn_once(usize::MAX);
    assert!(!order.outcome().is_done);
    // Who comes meanwhile is not waited for.
    owned(&mut one, "ann");
    one.turn_once(usize::MAX);
    assert_eq!((order.outcome().closed, order.outcome().is_done), (0, true));
}

#[test]
fn too_many_orders_are_refused_by_name() {
    let mut one = One::new(Limits::default());
    owned(&mut one, "ann");
    for _ in 0..ORDERS_WAITING_MAX {
        assert!(!give(&mut one, user("bob")).outcome().was_refused);
    }
    let refused = give(&mut one, user("ann")).outcome();
    assert!(refused.was_refused && refused.is_done && refused.closed == 0);
    assert_eq!(one.stats.orders_refused.get(), 1);
    one.turn();
    assert!(!give(&mut one, user("ann")).outcome().was_refused);
}

#[test]
fn a_connection_that_still_speaks_http_is_shut() {
    let mut one = One::new(Limits::default());
    let conn = one.publisher();
    own(&mut one, conn, "ann");
    let order = give(&mut one, user("ann"));
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Shut]);
    assert_eq!(order.outcome().closed, 1);
}
