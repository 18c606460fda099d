//! Counting connections, seen from one shard: its keeper's answers, and what comes in between.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;

use ringmain_core::blocks::{BlockList, BlockRule, OFFENDERS_MAX, Offence};
use ringmain_core::shard::{Refusal, Verdict};
use ringmain_core::{
    Access, ConnId, ConnectionRates, Input, Limits, Pass, Rate, RateAction, RateLimit, Rules,
    Target, Tick,
};
use ringmain_proto::ws::Opcode;
use ringmain_router::placement::keeper_shard;
use ringmain_router::slots::Grant;
use ringmain_router::{PeerId, RoomKey, ShardFrame, Subject, SubjectId};

use super::harness::{One, SECRET, Seen};

fn limits() -> Limits {
    Limits {
        connections_per_user: 2,
        ..Limits::default()
    }
}

/// A user whose keeper is this shard, or the other one.
fn user(keeper: usize) -> (String, SubjectId) {
    let names = (0..).map(|n| format!("user-{n}"));
    names
        .map(|name| {
            let id = RoomKey::new(SECRET).subject(Subject::User(&name));
            (name, id)
        })
        .find(|(_, id)| keeper_shard(*id, 2) == PeerId::shard(keeper).unwrap())
        .unwrap()
}

fn count(one: &mut One, name: &str) -> ConnId {
    let conn = one.publisher();
    let subject = Subject::User(name);
    one.core.handle(one.now, Input::Count { conn, subject });
    one.turn();
    conn
}

fn wishes(one: &mut One) -> Vec<u32> {
    let wanted = |(_, frame)| match frame {
        ShardFrame::Claim { wish, .. } => wish.wanted,
        other => panic!("{other:?}"),
    };
    one.sent.drain(..).map(wanted).collect()
}

fn answer(one: &mut One, subject: SubjectId, granted: u32) {
    let grant = Grant {
        granted,
        denial: None,
    };
    let frame = ShardFrame::Slots { subject, grant };
    one.core.handle(one.now, Input::Frame(frame));
    one.turn();
}

#[test]
fn its_own_subjects_are_counted_at_once() {
    let mut one = One::among(2, limits());
    let (name, _) = user(0);
    let conns = [0; 3].map(|_| count(&mut one, &name));
    let refused = Verdict::Refused {
        refusal: Refusal::UserConnections,
        retry_s: 5,
    };
    assert_eq!(
        one.verdicts(),
        [
            (conns[0], Verdict::Counted),
            (conns[1], Verdict::Counted),
            (conns[2], refused)
        ]
    );
    one.end(conns[0]);
    let next = count(&mut one, &name);
    assert_eq!(one.verdicts(), [(next, Verdict::Counted)]);
    assert!(one.sent.is_empty());
}

#[test]
fn a_keeper_elsewhere_is_asked_one_question_at_a_time() {
    let mut one = One::among(2, limits());
    let (name, subject) = user(1);
    let first = count(&mut one, &name);
    assert_eq!(wishes(&mut one), [1]);
    let second = count(&mut one, &name);
    let third = count(&mut one, &name);
    assert!(one.sent.is_empty() && one.verdicts().is_empty());
    answer(&mut one, subject, 1);
    assert_eq!(one.verdicts(), [(first, Verdict::Counted)]);
    assert_eq!(wishes(&mut one), [3]);
    // One of those who wait has gone: its slot is the next one's.
    one.end(second);
    answer(&mut one, subject, 2);
    assert_eq!(one.verdicts(), [(third, Verdict::Counted)]);
    one.end(first);
    one.end(third);
    one.turn();
    assert_eq!(wishes(&mut one), [0]);
    assert_eq!(one.core.subjects(), (0, 0));
}

#[test]
fn without_an_answer_a_connection_is_refused_and_what_comes_late_is_given_back() {
    let mut one = One::among(2, limits());
    let (name, subject) = user(1);
    let conn = count(&mut one, &name);
    assert_eq!(wishes(&mut one), [1]);
    one.pass(1_000);
    let refused = Verdict::Refused {
        refusal: Refusal::Uncounted,
        retry_s: 1,
    };
    assert_eq!(one.verdicts(), [(conn, refused)]);
    answer(&mut one, subject, 1);
    assert!(one.verdicts().is_empty());
    assert_eq!(wishes(&mut one), [0]);
    assert_eq!(one.core.subjects(), (0, 0));
}

#[test]
fn a_full_lane_delays_the_question_and_the_giving_back() {
    let mut one = One::among(2, limits());
    let (name, subject) = user(1);
    one.lanes_are_full = true;
    let conn = count(&mut one, &name);
    assert!(one.sent.is_empty());
    one.lanes_are_full = false;
    one.turn();
    assert_eq!(wishes(&mut one), [1]);
    answer(&mut one, subject, 1);
    assert_eq!(one.verdicts(), [(conn, Verdict::Counted)]);
    one.lanes_are_full = true;
    one.end(conn);
    one.turn();
    assert!(one.sent.is_empty());
    one.lanes_are_full = false;
    one.turn();
    assert_eq!(wishes(&mut one), [0]);
    one.turn();
    assert!(one.sent.is_empty(), "once");
}

#[test]
fn closing_for_a_rate_is_an_offence_that_the_keeper_is_told() {
    let mut one = One::among(
        2,
        Limits {
            connection_rates: ConnectionRates {
                messages: Some(Rate::new(NonZeroU64::new(1).unwrap(), 1)),
                bytes: None,
            },
            rate_action: RateAction::Close,
            block: Some(BlockRule {
                after: NonZeroU64::new(1).unwrap(),
                seconds: 60,
            }),
            ..Limits::default()
        },
    );
    let (name, subject) = user(1);
    let conn = count(&mut one, &name);
    wishes(&mut one);
    answer(&mut one, subject, 1);
    one.core.handle(
        one.now,
        Input::Upgrade {
            conn,
            target: ringmain_core::Target::Echo,
            compression: None,
            access: Access::default(),
        },
    );
    one.turn();
    one.say(conn, b"one");
    one.say(conn, b"two");
    one.turn();
    assert!(one.seen(conn).contains(&Seen::Close(1008)));
    let offences = one.sent.drain(..);
    let offences: Vec<_> = offences
        .map(|(to, frame)| {
            (
                to,
                matches!(frame, ShardFrame::Offence { subject: it } if it == subject),
            )
        })
        .collect();
    assert_eq!(offences, [(PeerId::shard(1).unwrap(), true)]);
}

#[test]
fn the_list_of_offenders_is_bounded_and_forgets() {
    let rule = BlockRule {
        after: NonZeroU64::new(3).unwrap(),
        seconds: 10,
    };
    let mut list = BlockList::default();
    let offender = |n: usize| SubjectId(n as u128);
    for n in 0..OFFENDERS_MAX {
        assert_eq!(list.offend(Tick(0), rule, offender(n)), Offence::Noted);
    }
    assert_eq!(
        list.offend(Tick(1), rule, offender(OFFENDERS_MAX)),
        Offence::Untold
    );
    // Those who are known are punished all the same.
    assert_eq!(list.offend(Tick(1), rule, offender(7)), Offence::Noted);
    assert_eq!(list.offend(Tick(2), rule, offender(7)), Offence::Blocked);
    assert_eq!(list.offend(Tick(3), rule, offender(7)), Offence::Known);
    assert_eq!(list.blocked_ms(Tick(5_002), offender(7)), 5_000);
    // An offence is forgiven after its time, and there is room again.
    assert_eq!(
        list.offend(Tick(4_000), rule, offender(OFFENDERS_MAX)),
        Offence::Noted
    );
    assert_eq!(list.len(), 2);
    assert_eq!(list.blocked_ms(Tick(10_002), offender(7)), 0);
}

#[test]
fn whoever_is_closed_while_it_waits_to_be_counted_is_not_kept_for_ever() {
    let mut one = One::among(2, limits());
    // Its keeper is the other shard, which does not answer.
    let (name, _) = user(1);
    let conn = one.open_with(Target::Echo, Access::Awaited { wait_ms: 60_000 });
    one.frame(conn, Opcode::Text, b"the token");
    one.turn();
    let input = Input::AdmittedAs {
        conn,
        target: Target::Echo,
        pass: Pass::default(),
        user: Subject::User(&name),
    };
    one.core.handle(one.now, input);
    one.turn();
    let drain = ShardFrame::Drain {
        duration_ms: 0,
        seed: 7,
    };
    one.core.handle(one.now, Input::Frame(drain));
    one.pass(2 * limits().close_handshake_ms);
    let seen = one.seen(conn);
    assert!(seen.contains(&Seen::Close(1012)), "{seen:?}");
    assert!(seen.contains(&Seen::Shut), "{seen:?}");
}

/// The address that the tests are about.
const ADDRESS: Subject<'static> = Subject::Address(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)));

fn blocking(after: u64, limits: Limits) -> Limits {
    let after = NonZeroU64::new(after).unwrap();
    let block = Some(BlockRule { after, seconds: 60 });
    Limits { block, ..limits }
}

/// A message by HTTP, and what came of it.
fn posted(one: &mut One, from: Subject<'_>) -> Verdict {
    let conn = one.publisher();
    one.post_from(Some(from), conn, "hall", "hello");
    one.turn();
    let verdicts = one.verdicts();
    assert_eq!(verdicts.len(), 1);
    one.end(conn);
    verdicts[0].1
}

fn is_too_fast(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::TooFast {
            limit: RateLimit::AddressMessages,
            ..
        }
    )
}

#[test]
fn a_blocked_address_publishes_nothing_by_http_as_long_as_there_are_blocks() {
    let limits = Limits {
        connections_per_address: 1,
        ..Limits::default()
    };
    let mut one = One::new(blocking(1, limits.clone()));
    assert_eq!(posted(&mut one, ADDRESS), Verdict::Published);
    for _ in 0..2 {
        let conn = one.publisher();
        one.core.handle(
            one.now,
            Input::Count {
                conn,
                subject: ADDRESS,
            },
        );
    }
    one.turn();
    assert_eq!(one.stats.blocks.get(), 1);
    one.verdicts();
    assert!(is_too_fast(posted(&mut one, ADDRESS)));
    let other = Subject::Address(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2)));
    assert_eq!(posted(&mut one, other), Verdict::Published);
    let rules = Rules {
        limits,
        ..Rules::default()
    };
    one.core.handle(one.now, Input::Configure(Box::new(rules)));
    assert_eq!(posted(&mut one, ADDRESS), Verdict::Published);
}

#[test]
fn a_block_ends_for_messages_by_http_with_the_rule_that_made_it() {
    let limits = Limits {
        address_rate: Some(Rate::new(NonZeroU64::new(1).unwrap(), 1)),
        ..Limits::default()
    };
    let mut one = One::new(blocking(1, limits.clone()));
    assert_eq!(posted(&mut one, ADDRESS), Verdict::Published);
    assert!(is_too_fast(posted(&mut one, ADDRESS)));
    one.pass(10_000);
    assert!(is_too_fast(posted(&mut one, ADDRESS)), "it is blocked");
    let rules = Rules {
        limits,
        ..Rules::default()
    };
    one.core.handle(one.now, Input::Configure(Box::new(rules)));
    one.pass(1_000);
    assert_eq!(posted(&mut one, ADDRESS), Verdict::Published);
}

#[test]
fn each_message_by_http_beyond_its_address_rate_is_an_offence() {
    let limits = Limits {
        address_rate: Some(Rate::new(NonZeroU64::new(1).unwrap(), 1)),
        ..Limits::default()
    };
    let mut one = One::new(blocking(100, limits));
    assert_eq!(posted(&mut one, ADDRESS), Verdict::Published);
    for _ in 0..99 {
        assert!(is_too_fast(posted(&mut one, ADDRESS)));
    }
    assert_eq!((one.stats.offences.get(), one.stats.blocks.get()), (99, 0));
    assert!(is_too_fast(posted(&mut one, ADDRESS)));
    assert_eq!(one.stats.blocks.get(), 1);
}
