//! What one core promises, under virtual time and without sockets.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod by_http;
mod cluster_users;
mod compression;
mod drain;
mod harness;
mod lifetime;
mod linked;
mod observed;
mod orders;
mod quotas;
mod rates;
mod slow;

use bytes::Bytes;
use harness::{One, Seen};
use ringmain_core::limits::{
    OUTGOING_FRAMES_MAX, REPLIES_BYTES_BEFORE_FLUSH, ROOM_PUBLICATIONS_MAX, TURN_DELIVERIES_MAX,
};
use ringmain_core::shard::Refusal;
use ringmain_core::{Access, CloseReason, DropReason, Input, Limits, Target};
use ringmain_proto::ws::Opcode;
use ringmain_router::{
    Generation, PayloadKind, PeerId, Publication, RoomKey, RoomName, ShardFrame,
};

pub(crate) const SECOND: u64 = 1_000;

#[test]
fn pipelined_messages_are_answered_in_one_write() {
    let mut one = One::new(Limits::default());
    let conn = one.echo();
    one.writes(conn);
    for n in 0..16u8 {
        one.say(conn, &[n; 64]);
    }
    one.turn();
    assert_eq!(
        one.messages(conn),
        (0..16u8).map(|n| vec![n; 64]).collect::<Vec<_>>()
    );
    assert_eq!(one.writes(conn), 1);
}

#[test]
fn large_replies_ask_to_be_written_before_the_turn_ends() {
    let mut one = One::new(Limits::default());
    let conns = [one.echo(), one.echo()];
    let half = vec![7; REPLIES_BYTES_BEFORE_FLUSH / 2];
    for _ in 0..3 {
        one.say(conns[0], &half);
        assert!(!one.core.has_large_replies());
        one.say(conns[1], &half);
        assert!(one.core.has_large_replies());
        one.turn();
        assert!(!one.core.has_large_replies(), "they are written");
        assert_eq!(one.messages(conns[0]).len(), 1);
    }
}

#[test]
fn a_publisher_hears_itself_only_if_it_asks() {
    let mut one = One::new(Limits::default());
    let quiet = one.member("a");
    let room = RoomName::new(b"a").unwrap();
    let loud = one.open(Target::Raw {
        room,
        to_self: true,
    });
    let elsewhere = one.member("b");
    one.say(quiet, b"1");
    one.say(loud, b"2");
    one.turn();
    assert_eq!(one.messages(quiet), [b"2"]);
    assert_eq!(one.messages(loud), [b"1", b"2"]);
    assert!(one.messages(elsewhere).is_empty());
}

#[test]
fn the_heartbeat_pings_the_silent_and_closes_the_dead() {
    let mut one = One::new(Limits::default());
    let (silent, alive, talking) = (one.echo(), one.echo(), one.echo());
    let mut pings = 0;
    for _ in 0..100 {
        one.say(talking, b"x");
        one.pass(SECOND);
        for seen in one.seen(alive) {
            assert_eq!(seen, Seen::Ping);
            pings += 1;
            one.frame(alive, Opcode::Pong, b"");
        }
        assert!(
            one.seen(talking).iter().all(|seen| *seen != Seen::Ping),
            "it just spoke"
        );
    }
    // Each interval is 25 s, spread by a tenth.
    assert!((3..=4).contains(&pings), "{pings} pings in 100 s");
    assert_eq!(one.seen(silent), [Seen::Ping, Seen::Shut]);
    one.end(silent);
    assert_eq!(one.closed(CloseReason::HeartbeatTimeout), 1);
}

#[test]
fn a_ping_that_could_not_be_written_yet_waits_for_no_pong() {
    let mut one = One::new(Limits::default());
    let conn = one.echo();
    // A busy shard: its turns come, but no write is this connection's for a long time.
    for _ in 0..60 {
        one.now = one.now.plus(SECOND);
        one.turn_once(0);
    }
    assert_eq!(one.seen(conn), []);
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Ping]);
    // From here on it is the peer's time.
    one.pass(9 * SECOND);
    assert_eq!(one.seen(conn), []);
    one.pass(3 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Shut]);
    // What the socket does not take is the peer's doing.
    let stuck = one.echo();
    one.sockets.get_mut(&stuck).unwrap().is_stuck = true;
    one.pass(40 * SECOND);
    assert_eq!(one.seen(stuck), [Seen::Shut]);
}

#[test]
fn an_unfinished_handshake_is_given_up() {
    let mut one = One::new(Limits::default());
    let conn = one.core.admit(one.now).unwrap();
    one.sockets.insert(conn, Default::default());
    one.pass(9 * SECOND);
    assert!(one.seen(conn).is_empty());
    one.pass(2 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Shut]);
}

#[test]
fn the_peers_close_is_answered_with_its_code_after_what_is_queued() {
    let mut one = One::new(Limits::default());
    let conn = one.echo();
    one.say(conn, b"before");
    one.frame(conn, Opcode::Close, &3_999u16.to_be_bytes());
    one.say(conn, b"after");
    one.turn();
    assert_eq!(
        one.seen(conn),
        [
            Seen::Message(b"before".to_vec()),
            Seen::Close(3_999),
            Seen::Shut
        ]
    );
}

#[test]
fn a_broken_frame_closes_its_sender_alone() {
    let mut one = One::new(Limits::default());
    let (bad, good) = (one.member("a"), one.member("a"));
    one.receive(bad, &[0x83, 0x80, 0, 0, 0, 0]);
    one.turn();
    assert_eq!(
        one.seen(bad),
        [Seen::Close(1002), Seen::HalfClosed],
        "it may read why before the end"
    );
    one.pass(6 * SECOND);
    assert_eq!(one.seen(bad), [Seen::Shut]);
    assert!(one.seen(good).is_empty());
}

#[test]
fn who_never_answers_a_close_is_shut_in_time() {
    let mut one = One::new(Limits::default());
    let conn = one.echo();
    one.core.handle(one.now, Input::Frame(ShardFrame::Stop));
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Close(1012)]);
    one.pass(4 * SECOND);
    assert!(one.seen(conn).is_empty());
    one.pass(2 * SECOND);
    assert_eq!(one.seen(conn), [Seen::Shut]);
    one.end(conn);
    assert!(one.core.is_stopped());
}

#[test]
fn a_consumer_beyond_the_hard_bound_is_closed_and_its_loss_counted() {
    let mut one = One::new(Limits::default());
    let (publisher, slow, fast) = (one.member("a"), one.member("a"), one.member("a"));
    one.sockets.get_mut(&slow).unwrap().is_stuck = true;
    let payload = vec![1; 60_000];
    for _ in 0..18 {
        one.say(publisher, &payload);
        one.turn();
    }
    assert_eq!(one.dropped(DropReason::SlowConsumer), 18, "1 MiB holds 17");
    assert_eq!(one.messages(fast).len(), 18, "nobody else is harmed");
    one.unstick(slow);
    one.turn();
    assert_eq!(one.seen(slow), [Seen::Close(1013)]);
    one.end(slow);
    assert_eq!(one.closed(CloseReason::SlowConsumer), 1);
}

#[test]
fn a_consumer_above_the_soft_bound_has_ten_seconds() {
    let mut one = One::new(Limits::default());
    let (publisher, slow, saved) = (one.member("a"), one.member("a"), one.member("a"));
    for conn in [slow, saved] {
        one.sockets.get_mut(&conn).unwrap().is_stuck = true;
    }
    for _ in 0..6 {
        one.say(publisher, &[1; 60_000]);
        one.turn();
    }
    one.pass(9 * SECOND);
    one.unstick(saved);
    one.pass(2 * SECOND);
    assert_eq!(one.messages(saved).len(), 6);
    one.unstick(slow);
    one.turn();
    assert_eq!(one.seen(slow), [Seen::Close(1013)]);
    assert_eq!(one.dropped(DropReason::SlowConsumer), 6);
}

#[test]
fn who_does_not_read_its_answers_is_not_read() {
    let mut one = One::new(Limits::default());
    let conn = one.echo();
    one.sockets.get_mut(&conn).unwrap().is_stuck = true;
    let mut sent = 0;
    while one.core.is_reading(conn) {
        one.say(conn, &[2; 1_000]);
        one.turn();
        sent += 1;
        assert!(sent < 1_000, "the outbox has a bound");
    }
    assert!(one.core.memory_bytes() < 2 * 256 * 1024);
    one.unstick(conn);
    one.turn();
    assert!(one.core.is_reading(conn));
    assert_eq!(one.messages(conn).len(), sent, "and nothing is lost");
}

#[test]
fn a_flood_into_a_large_room_pauses_the_publisher() {
    let mut one = One::new(Limits::default());
    let publisher = one.member("a");
    let members: Vec<_> = (0..1_000).map(|_| one.member("a")).collect();
    let flood: Vec<u8> = (0..300u32)
        .flat_map(|n| {
            let mut bytes = Vec::new();
            ringmain_proto::ws::encode::write_masked_frame(
                &mut bytes,
                Opcode::Binary,
                [0; 4],
                &n.to_le_bytes(),
            );
            bytes
        })
        .collect();
    one.receive(publisher, &flood);
    assert!(!one.core.is_reading(publisher));
    let begun = one.stats.messages_in.get();
    assert_eq!(begun, ROOM_PUBLICATIONS_MAX as u64, "the rest waits unread");
    one.turn_once(0);
    assert!(
        one.stats.messages_out.get() <= TURN_DELIVERIES_MAX as u64,
        "a turn has a budget"
    );
    one.turn();
    assert!(one.core.is_reading(publisher));
    let expected: Vec<_> = (0..300u32).map(|n| n.to_le_bytes().to_vec()).collect();
    for member in members {
        assert_eq!(one.messages(member), expected);
    }
}

#[test]
fn replies_do_not_wait_behind_a_large_fan_out() {
    let mut one = One::new(Limits::default());
    let publisher = one.member("a");
    let members: Vec<_> = (0..2_000).map(|_| one.member("a")).collect();
    let echo = one.echo();
    one.say(publisher, b"all");
    one.turn_once(0);
    one.say(echo, b"me");
    one.turn_once(10);
    assert_eq!(one.messages(echo), [b"me"], "ten writes are enough");
    one.turn();
    assert!(
        members
            .into_iter()
            .all(|member| one.messages(member) == [b"all"])
    );
}

#[test]
fn a_full_lane_pauses_publishers_and_after_a_second_drops_and_counts() {
    let mut one = One::among(2, Limits::default());
    let peer = PeerId::shard(1).unwrap();
    // A room whose home is the other shard.
    let publisher = loop {
        let name = format!("room-{}", one.stats.accepted.get());
        let conn = one.core.admit(one.now).unwrap();
        one.sockets.insert(conn, Default::default());
        let room = RoomName::new(name.as_bytes()).unwrap();
        one.core.handle(
            one.now,
            Input::Upgrade {
                conn,
                target: Target::Raw {
                    room,
                    to_self: false,
                },
                compression: None,
                access: Access::default(),
            },
        );
        one.turn();
        if one.sent.iter().any(|(to, _)| *to == peer) {
            break conn;
        }
    };
    one.grant_with_peer(peer);
    one.lanes_are_full = true;
    let mut sent = 0;
    while one.core.is_reading(publisher) {
        one.say(publisher, b"x");
        one.turn();
        sent += 1;
        assert!(sent < 10_000, "what waits for a lane has a bound");
    }
    assert_eq!(sent, OUTGOING_FRAMES_MAX + 1, "the last waits unread");
    one.pass(999);
    assert_eq!(one.dropped(DropReason::LaneFull), 0);
    one.lanes_are_full = false;
    one.turn();
    assert!(one.core.is_reading(publisher), "room was made in time");
    let published = |one: &One| {
        one.sent
            .iter()
            .filter(|(_, f)| matches!(f, ShardFrame::Publish { .. }))
            .count()
    };
    assert_eq!(published(&one), sent, "nothing is lost");
    one.lanes_are_full = true;
    one.say(publisher, b"lost");
    one.turn();
    one.pass(1_001);
    assert_eq!(one.dropped(DropReason::LaneFull), 1);
    assert_eq!(one.stats.room_gaps.get(), 1);
}

#[test]
fn memory_runs_out_for_the_largest_first_and_for_newcomers_before() {
    let limits = Limits {
        memory_bytes_max: 1_000_000,
        outbox_soft_bytes: 4 << 20,
        ..Limits::default()
    };
    let mut one = One::new(limits);
    let (a, b, hog) = (one.member("a"), one.member("a"), one.member("b"));
    let other = one.member("b");
    one.sockets.get_mut(&hog).unwrap().is_stuck = true;
    let mut hogged = 0;
    while one.core.admit(one.now).is_ok() {
        one.say(other, &[3; 30_000]);
        one.turn();
        hogged += 1;
        assert!(hogged < 100);
    }
    assert_eq!(
        one.core.admit(one.now),
        Err(Refusal::MemoryFull),
        "newcomers are refused at nine tenths"
    );
    assert_eq!(one.dropped(DropReason::MemoryFull), 0);
    while one.dropped(DropReason::MemoryFull) == 0 {
        one.say(other, &[3; 30_000]);
        one.turn();
        hogged += 1;
        assert!(hogged < 100);
    }
    assert_eq!(one.dropped(DropReason::MemoryFull), hogged);
    assert!(one.core.admit(one.now).is_ok());
    one.say(a, b"fine");
    one.turn();
    assert_eq!(one.messages(b), [b"fine"], "nobody else is harmed");
}

#[test]
fn a_burst_from_another_shard_arrives_whole_without_waiting_for_more() {
    for burst in [
        1,
        ROOM_PUBLICATIONS_MAX,
        ROOM_PUBLICATIONS_MAX + 1,
        3 * ROOM_PUBLICATIONS_MAX,
    ] {
        let mut one = One::new(Limits::default());
        let member = one.member("a");
        let room = RoomKey::new(harness::SECRET).id(&RoomName::new(b"a").unwrap());
        let publication = Publication {
            kind: PayloadKind::Binary,
            payload: Bytes::from_static(b"x"),
            exclude: None,
            began: None,
        };
        let publication = std::sync::Arc::new(publication);
        let generation = Generation(u64::MAX);
        let mut lane = burst;
        // Takes frames as the shell does, and sleeps when there is neither frame nor work.
        loop {
            while one.core.takes_data() && lane > 0 {
                let frame = ShardFrame::Publish {
                    room,
                    generation,
                    publication: publication.clone(),
                };
                one.core.handle(one.now, Input::Frame(frame));
                lane -= 1;
            }
            one.turn_once(usize::MAX);
            if !one.core.has_work() && lane == 0 {
                break;
            }
        }
        assert_eq!(one.messages(member).len(), burst);
    }
}
