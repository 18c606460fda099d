//! Event streams, and messages that come by HTTP.

use bytes::Bytes;
use ringmain_core::limits::{OUTGOING_FRAMES_MAX, POST_WAIT_MS, ROOM_PUBLICATIONS_MAX};
use ringmain_core::shard::Verdict;
use ringmain_core::{CloseReason, DropReason, Input, Limits};
use ringmain_router::{PeerId, ShardFrame};

use crate::SECOND;
use crate::harness::{One, Seen};

/// The events of a stream, the time to come back cut off.
fn after_retry(events: &str) -> &str {
    let rest = events.strip_prefix("retry: ").expect("a stream begins so");
    let (retry, rest) = rest.split_once("\n\n").unwrap();
    let retry: u64 = retry.parse().unwrap();
    assert!((1_000..=3_000).contains(&retry), "{retry}");
    rest
}

#[test]
fn streams_and_sockets_hear_members_and_publishers_alike() {
    let mut one = One::new(Limits::default());
    let (socket, stream, publisher) = (one.member("a"), one.stream("a"), one.publisher());
    one.say(socket, b"\x01\x02");
    one.post(publisher, "a", "two\nlines");
    one.turn();
    assert_eq!(one.verdicts(), [(publisher, Verdict::Published)]);
    assert_eq!(one.messages(socket), [b"two\nlines"]);
    assert_eq!(
        after_retry(&one.events(stream)),
        "event: ringmain.binary\ndata: AQI=\n\ndata: two\ndata: lines\n\n"
    );
    assert_eq!(one.stats.event_streams.get(), 1);
    for conn in [socket, stream, publisher] {
        one.end(conn);
    }
    one.turn();
    assert_eq!(one.core.rooms(), (0, 0));
    assert_eq!(one.core.memory_bytes(), 0);
    assert_eq!(one.stats.event_streams.get(), 0);
}

#[test]
fn a_room_without_members_is_held_while_it_is_published_to_and_no_longer() {
    let mut one = One::new(Limits::default());
    let publisher = one.publisher();
    for _ in 0..3 {
        one.post(publisher, "a", "for nobody");
        one.turn();
        assert_eq!(one.verdicts(), [(publisher, Verdict::Published)]);
        assert_eq!(one.core.rooms(), (0, 0));
    }
    // Who has been answered and is silent is let go, and it is nobody's fault.
    one.pass(61 * SECOND);
    assert_eq!(one.seen(publisher), [Seen::Shut]);
    one.end(publisher);
    assert_eq!(one.closed(CloseReason::RequestDone), 1);
}

#[test]
fn what_an_event_streams_peer_says_is_ignored_and_a_comment_keeps_it_alive() {
    let mut one = One::new(Limits::default());
    let stream = one.stream("a");
    after_retry(&one.events(stream));
    one.receive(stream, b"GET / HTTP/1.1\r\n\r\n\xff\xff\xff");
    one.pass(100 * SECOND);
    let beats = one.events(stream);
    assert!(
        [":\n\n".repeat(3), ":\n\n".repeat(4)].contains(&beats),
        "{beats:?}"
    );
    assert_eq!(one.seen(stream), []);
}

#[test]
fn a_stream_that_is_closed_is_told_why_and_when_to_come_back() {
    let mut one = One::new(Limits::default());
    let slow = one.stream("a");
    let publisher = one.publisher();
    one.events(slow);
    one.sockets.get_mut(&slow).unwrap().is_stuck = true;
    while one.dropped(DropReason::SlowConsumer) == 0 {
        one.post(publisher, "a", &"x".repeat(60_000));
        one.turn();
    }
    assert!(one.dropped(DropReason::SlowConsumer) > 10);
    one.unstick(slow);
    one.turn();
    let events = one.events(slow);
    let (event, rest) = events.split_once("\nretry: ").unwrap();
    assert_eq!(event, "event: ringmain.close");
    let (retry, data) = rest.split_once('\n').unwrap();
    assert!((5_000..=15_000).contains(&retry.parse::<u64>().unwrap()));
    assert_eq!(
        data,
        "data: {\"reason\":\"slow_consumer\",\"message\":\"reads too slowly\",\"reconnect\":\"later\"}\n\n"
    );
    assert_eq!(one.seen(slow), [Seen::HalfClosed]);
    one.end(slow);
    assert_eq!(one.closed(CloseReason::SlowConsumer), 1);
}

#[test]
fn a_message_waits_for_its_rooms_home_and_is_refused_after_a_second() {
    let mut one = One::among(2, Limits::default());
    let room = One::room_of_another(2);
    let (first, second) = (one.publisher(), one.publisher());
    one.post(first, &room, "1");
    one.turn();
    assert_eq!(one.verdicts(), []);
    one.grant_with_peer(PeerId::shard(1).unwrap());
    assert_eq!(one.verdicts(), [(first, Verdict::Published)]);
    let publish = |frame: &(PeerId, ShardFrame)| matches!(frame.1, ShardFrame::Publish { .. });
    assert_eq!(one.sent.iter().filter(|it| publish(it)).count(), 1);
    // It does not hold the room any more, so the next one asks again; this time home does not answer.
    one.post(second, &room, "2");
    one.turn();
    one.pass(POST_WAIT_MS);
    assert_eq!(one.verdicts(), [(second, Verdict::Busy)]);
    assert_eq!(one.sent.iter().filter(|it| publish(it)).count(), 1);
    one.end(first);
    one.end(second);
    one.turn();
    assert_eq!(one.core.rooms(), (0, 0));
    assert_eq!(one.core.memory_bytes(), 0);
}

#[test]
fn a_full_mesh_refuses_the_message_whole_and_takes_it_when_there_is_room() {
    let mut one = One::among(2, Limits::default());
    let room = One::room_of_another(2);
    let member = one.pending_member(&room);
    one.grant_with_peer(PeerId::shard(1).unwrap());
    one.lanes_are_full = true;
    for n in 0..OUTGOING_FRAMES_MAX {
        one.say(member, &n.to_le_bytes());
        if n % ROOM_PUBLICATIONS_MAX == 0 {
            one.turn();
        }
    }
    one.turn();
    let sent = one.sent.len();
    let (waiting, gone) = (one.publisher(), one.publisher());
    one.post(waiting, &room, "waits");
    one.post(gone, &room, "leaves");
    one.turn();
    assert_eq!(one.verdicts(), []);
    one.end(gone);
    one.lanes_are_full = false;
    one.turn();
    one.turn();
    assert_eq!(one.verdicts(), [(waiting, Verdict::Published)]);
    let late = one.sent.split_off(sent);
    assert_eq!(
        late.len(),
        OUTGOING_FRAMES_MAX + 1,
        "and nothing of the one that left"
    );
    assert_eq!(one.stats.http_publications_refused.get(), 0);
}

#[test]
fn a_request_that_does_not_come_whole_is_given_up_and_its_body_counted() {
    let mut one = One::new(Limits::default());
    let conn = one.publisher();
    one.pass(9 * SECOND);
    one.core.handle(one.now, Input::RequestBegun { conn });
    one.core
        .handle(one.now, Input::BodyReceived { conn, bytes: 5_000 });
    assert_eq!(one.core.memory_bytes(), 5_000);
    one.pass(9 * SECOND);
    assert_eq!(one.seen(conn), []);
    one.pass(2 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Shut]);
    assert_eq!(one.core.memory_bytes(), 0);
    one.end(conn);
    assert_eq!(one.closed(CloseReason::HandshakeTimeout), 1);
}

#[test]
fn bodies_are_let_go_with_the_largest_when_memory_runs_out() {
    let limits = Limits {
        memory_bytes_max: 100_000,
        ..Limits::default()
    };
    let mut one = One::new(limits);
    let (small, large) = (one.publisher(), one.publisher());
    for (conn, bytes) in [(small, 20_000), (large, 85_000)] {
        assert!(one.core.takes_bodies());
        one.core
            .handle(one.now, Input::BodyReceived { conn, bytes });
    }
    assert!(!one.core.takes_bodies());
    one.turn();
    assert_eq!(one.seen(large), [Seen::Shut]);
    assert_eq!(one.seen(small), []);
    assert_eq!(one.core.memory_bytes(), 20_000);
    one.end(large);
    assert_eq!(one.closed(CloseReason::MemoryFull), 1);
}

#[test]
fn who_asks_on_and_on_and_reads_no_answer_is_closed() {
    let mut one = One::new(Limits::default());
    let conn = one.publisher();
    one.sockets.get_mut(&conn).unwrap().is_stuck = true;
    for _ in 0..20 {
        let bytes = Bytes::from(vec![b'x'; 60_000]);
        one.core.handle(one.now, Input::Respond { conn, bytes });
        one.turn();
    }
    assert_eq!(one.seen(conn), [Seen::Shut]);
    one.end(conn);
    assert_eq!(one.closed(CloseReason::SlowConsumer), 1);
    assert_eq!(one.core.memory_bytes(), 0);
}
