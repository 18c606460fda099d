//! What the core tells the operator: how long deliveries take, and why connections end.

use ringmain_core::histogram::BOUNDS_US;
use ringmain_core::line_budget::LINES_PER_SECOND_MAX;
use ringmain_core::{CloseReason, Farewell, Limits, Severity};
use ringmain_router::Moment;

use crate::harness::One;

/// Deliveries that were counted with a lag within the bucket of this span.
fn counted(one: &One, span_us: u64) -> u64 {
    let bucket = BOUNDS_US.partition_point(|&bound| bound < span_us);
    one.stats.delivery_lag.read().buckets[bucket]
}

fn moment(one: &mut One, microseconds: u64) {
    one.core.set_moment(Moment::new(microseconds));
}

fn sent_at(one: &mut One, microseconds: u64) {
    one.sent_at = Some(Moment::new(microseconds));
}

fn farewells(one: &mut One) -> Vec<Farewell> {
    std::iter::from_fn(|| one.core.poll_farewell()).collect()
}

#[test]
fn every_delivery_of_a_publication_counts_with_its_own_lag() {
    let mut one = One::new(Limits::default());
    let publisher = one.member("a");
    let members: Vec<_> = (0..600).map(|_| one.member("a")).collect();
    moment(&mut one, 1_000);
    one.say(publisher, b"first");
    moment(&mut one, 1_600);
    one.say(publisher, b"second");
    sent_at(&mut one, 2_000);
    one.turn();
    // 1,000 us and 400 us.
    assert_eq!(counted(&one, 1_000), 600);
    assert_eq!(counted(&one, 400), 600);
    let reading = one.stats.delivery_lag.read();
    assert_eq!(reading.count(), 1_200);
    assert_eq!(reading.sum_us, 600 * 1_400);
    assert_eq!(one.messages(members[0]).len(), 2);
}

#[test]
fn the_lag_of_who_reads_late_is_as_long_as_it_takes() {
    let mut one = One::new(Limits::default());
    let publisher = one.member("a");
    let late = one.member("a");
    let prompt = one.member("a");
    one.sockets.get_mut(&late).unwrap().is_stuck = true;
    moment(&mut one, 100);
    one.say(publisher, b"x");
    sent_at(&mut one, 130);
    one.turn();
    assert_eq!(one.messages(prompt).len(), 1);
    assert_eq!(
        one.stats.delivery_lag.read().count(),
        1,
        "nothing of the late one yet"
    );
    one.unstick(late);
    sent_at(&mut one, 3_000_100);
    one.turn();
    assert_eq!(one.messages(late).len(), 1);
    assert_eq!(counted(&one, 3_000_000), 1);
}

#[test]
fn echoes_pings_and_what_is_dropped_have_no_lag() {
    let mut one = One::new(Limits::default());
    let echo = one.echo();
    moment(&mut one, 100);
    sent_at(&mut one, 200);
    one.say(echo, b"x");
    one.turn();
    one.pass(60_000);
    let publisher = one.member("a");
    let gone = one.member("a");
    one.sockets.get_mut(&gone).unwrap().is_stuck = true;
    one.say(publisher, b"x");
    one.turn();
    one.end(gone);
    one.turn();
    assert_eq!(one.stats.delivery_lag.read().count(), 0);
}

#[test]
fn a_fault_of_the_client_is_told_with_its_room_and_what_was_wrong() {
    let mut one = One::new(Limits::default());
    one.core.tell_farewells(Some(Severity::Info));
    let (wrong, polite) = (one.member("kitchen"), one.member("kitchen"));
    one.pass(3_500);
    // Not masked (RFC 6455, section 5.1).
    one.receive(wrong, &[0x82, 0x01, 0x00]);
    one.receive(polite, &[0x88, 0x80, 1, 2, 3, 4]);
    one.turn();
    let told = farewells(&mut one);
    let [farewell] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(farewell.conn, wrong);
    assert_eq!(farewell.reason, CloseReason::ProtocolError);
    assert!(farewell.detail.contains("mask"), "{}", farewell.detail);
    let room = farewell.room.as_ref().map(|room| room.as_str());
    assert_eq!(room, Some("kitchen"));
    assert_eq!(farewell.open_s, 3);
    one.pass(20_000);
    one.end(wrong);
    assert_eq!(farewells(&mut one), [], "told once");
}

#[test]
fn whoever_wants_all_ends_gets_all() {
    let mut one = One::new(Limits::default());
    one.core.tell_farewells(Some(Severity::Debug));
    let (polite, gone, silent) = (one.member("a"), one.echo(), one.echo());
    one.receive(polite, &[0x88, 0x80, 1, 2, 3, 4]);
    one.end(gone);
    one.pass(60_000);
    let told: Vec<_> = farewells(&mut one)
        .iter()
        .map(|farewell| (farewell.conn, farewell.reason))
        .collect();
    let expected = [
        (polite, CloseReason::PeerClosed),
        (gone, CloseReason::PeerGone),
        (silent, CloseReason::HeartbeatTimeout),
    ];
    assert_eq!(told, expected);
}

#[test]
fn nothing_is_told_to_who_does_not_ask() {
    let mut one = One::new(Limits::default());
    let wrong = one.echo();
    one.receive(wrong, &[0x82, 0x01, 0x00]);
    one.turn();
    assert_eq!(farewells(&mut one), []);
    let withheld = &one.stats.closes_withheld;
    assert!(withheld.iter().all(|cell| cell.get() == 0));
}

#[test]
fn of_a_storm_some_are_told_and_the_others_counted() {
    const STORM: u64 = 5_000;
    let mut one = One::new(Limits::default());
    one.core.tell_farewells(Some(Severity::Info));
    for _ in 0..STORM {
        let wrong = one.echo();
        one.receive(wrong, &[0x82, 0x01, 0x00]);
        one.turn();
    }
    let told = farewells(&mut one).len() as u64;
    assert_eq!(told, LINES_PER_SECOND_MAX);
    let reason = CloseReason::ProtocolError as usize;
    assert_eq!(one.stats.closes_withheld[reason].get(), STORM - told);
    assert_eq!(
        one.closed(CloseReason::ProtocolError),
        0,
        "they have not ended yet"
    );
    one.pass(1_000);
    let wrong = one.echo();
    one.receive(wrong, &[0x82, 0x01, 0x00]);
    assert_eq!(
        farewells(&mut one).len(),
        1,
        "a second later there is room again"
    );
}
