//! A room's rate and an address's, on several cores in virtual time: what all of them let through together.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use ringmain_core::shard::{Input, ShardConfig, Verdict};
use ringmain_core::{
    Access, ConnId, Limits, Rate, RateAction, RateLimit, RoomPolicies, RoomSettings, ShardCore,
    ShardStats, Target, Tick, WriteOutcome,
};
use ringmain_proto::ws::Opcode;
use ringmain_proto::ws::encode::write_masked_frame;
use ringmain_router::{
    Doorbell, Lane, Mesh, MeshLimits, MeshPort, PayloadKind, PeerId, Publication, RoomKey,
    RoomName, Subject,
};

struct NoBell;

impl Doorbell for NoBell {
    fn ring(&self) {}
}

struct Core {
    core: ShardCore,
    port: MeshPort,
    stats: Arc<ShardStats>,
    /// Members, and whether each has been granted.
    members: Vec<(ConnId, bool)>,
    /// Connections that publish by HTTP, and wait for nothing.
    posters: Vec<ConnId>,
}

struct Node {
    now: Tick,
    cores: Vec<Core>,
    accepted: u64,
    refused: u64,
}

fn rate(per_second: u64, burst: u64) -> Option<Rate> {
    Some(Rate::new(NonZeroU64::new(per_second).unwrap(), burst))
}

fn room() -> RoomName {
    RoomName::new(b"room").unwrap()
}

impl Node {
    fn new(cores: usize, limits: &Limits, message_rate: Option<Rate>) -> Self {
        let mesh = MeshLimits {
            data_frames_max: 4096,
            control_frames_max: 4,
            data_bytes_max: 1 << 24,
        };
        let bells = (0..cores).map(|_| Box::new(NoBell) as Box<dyn Doorbell>);
        let (ports, _) = Mesh::new(mesh, bells.collect()).into_ports();
        let rooms = RoomPolicies::new(
            Vec::new(),
            RoomSettings {
                message_rate,
                ..RoomSettings::default()
            },
        );
        let core = |(index, port)| {
            let stats = Arc::new(ShardStats::default());
            let config = ShardConfig {
                me: PeerId::shard(index).unwrap(),
                shards: cores,
                room_secret: RoomKey::new([9; 16]),
                linked: false,
                limits: limits.clone(),
                rooms: rooms.clone(),
                stats: stats.clone(),
            };
            Core {
                core: ShardCore::new(config, Tick(0)),
                port,
                stats,
                members: Vec::new(),
                posters: Vec::new(),
            }
        };
        Node {
            now: Tick(0),
            cores: ports.into_iter().enumerate().map(core).collect(),
            accepted: 0,
            refused: 0,
        }
    }

    /// So many members on each core.
    fn join(&mut self, each: usize) {
        for it in &mut self.cores {
            for _ in 0..each {
                let conn = it.core.admit(self.now).unwrap();
                it.members.push((conn, false));
                let target = Target::Raw {
                    room: room(),
                    to_self: false,
                };
                let input = Input::Upgrade {
                    conn,
                    target,
                    compression: None,
                    access: Access::default(),
                };
                it.core.handle(self.now, input);
            }
        }
        for _ in 0..20 {
            self.turn();
        }
        assert!(self.cores.iter().all(|it| it.members.iter().all(|it| it.1)));
    }

    fn turn(&mut self) {
        let now = self.now;
        for it in &mut self.cores {
            for lane in [Lane::Control, Lane::Data] {
                while lane == Lane::Control || it.core.takes_data() {
                    let Some(frame) = it.port.receive(lane) else {
                        break;
                    };
                    it.core.handle(now, Input::Frame(frame));
                }
            }
            it.core.handle(now, Input::Turn { lane_bytes: 0 });
            let port = &mut it.port;
            it.core.send_frames(now, |to, frame| port.send(to, frame));
            it.core.flush(usize::MAX, |writes, outcomes| {
                outcomes.extend(writes.iter().map(|write| {
                    WriteOutcome::Wrote(write.slices.iter().map(|slice| slice.len()).sum())
                }));
                None
            });
            while let Some((conn, verdict)) = it.core.poll_verdict() {
                match verdict {
                    Verdict::Granted => {
                        let bytes = Bytes::from_static(b"101");
                        it.core.handle(now, Input::Respond { conn, bytes });
                        it.core.handle(now, Input::Upgraded { conn });
                        let member = it.members.iter_mut().find(|(member, _)| *member == conn);
                        member.unwrap().1 = true;
                    }
                    verdict => {
                        match verdict {
                            Verdict::Published => self.accepted += 1,
                            Verdict::TooFast { retry_s, .. } => {
                                assert_eq!(retry_s, 1);
                                self.refused += 1;
                            }
                            other => panic!("{other:?}"),
                        }
                        it.core.handle(now, Input::RequestDone { conn });
                        it.posters.push(conn);
                    }
                }
            }
            while it.core.poll_close().is_some() {}
            while it.core.poll_readable().is_some() {}
        }
    }

    /// Every member says so much, in each of so many milliseconds. Returns what has passed in all.
    fn talk(&mut self, milliseconds: u64, mut says: impl FnMut(u64, usize) -> usize) -> u64 {
        let before = self.passed();
        let mut frame = Vec::new();
        write_masked_frame(&mut frame, Opcode::Text, [1, 2, 3, 4], b"hello");
        for millisecond in 0..milliseconds {
            self.now = self.now.plus(1);
            let mut number = 0;
            for it in &mut self.cores {
                for &(conn, _) in &it.members {
                    let messages = says(millisecond, number);
                    number += 1;
                    if messages > 0 && it.core.is_reading(conn) {
                        let bytes = &mut frame.repeat(messages);
                        it.core.handle(self.now, Input::Received { conn, bytes });
                    }
                }
            }
            self.turn();
            self.turn();
        }
        self.passed() - before
    }

    fn sum(&self, of: impl Fn(&ShardStats) -> u64) -> u64 {
        self.cores.iter().map(|it| of(&it.stats)).sum()
    }

    /// Messages that all members but the sender were sent: so many are members, less one.
    fn passed(&self) -> u64 {
        let members: u64 = self.cores.iter().map(|it| it.members.len() as u64).sum();
        self.sum(|stats| stats.messages_out.get()) / (members - 1)
    }

    fn post(&mut self, core: usize, address: Option<IpAddr>) {
        let it = &mut self.cores[core];
        let conn = it
            .posters
            .pop()
            .unwrap_or_else(|| it.core.admit(self.now).unwrap());
        it.core.handle(self.now, Input::RequestBegun { conn });
        let publication = Publication {
            kind: PayloadKind::Text,
            payload: Bytes::from_static(b"hello"),
            exclude: None,
            began: None,
        };
        let input = Input::Publish {
            conn,
            room: room(),
            publication: Box::new(publication),
            from: address.map(Subject::Address),
            lane_frames: 0,
        };
        it.core.handle(self.now, input);
    }
}

fn within_a_tenth(passed: u64, expected: u64) {
    let tenth = (expected / 10).max(2);
    assert!(
        (expected - tenth..=expected + tenth).contains(&passed),
        "{passed}, not {expected}"
    );
}

fn limits(rate_action: RateAction) -> Limits {
    Limits {
        rate_action,
        ..Limits::default()
    }
}

#[test]
fn all_publishers_together_get_the_rooms_rate_through() {
    for action in [RateAction::Refuse, RateAction::Drop] {
        for cores in [1, 2, 4, 7] {
            for (per_second, burst, says) in [
                (5, 5, 1),
                (100, 10, 1),
                (1_000, 100, 1),
                (20_000, 2_000, 16),
            ] {
                let mut node = Node::new(cores, &limits(action), rate(per_second, burst));
                node.join(2);
                let passed = node.talk(5_000, |_, _| says);
                within_a_tenth(passed, burst + 5 * per_second);
                let dropped = node.sum(|stats| stats.messages_over_rate.get());
                assert_eq!(dropped > 0, action == RateAction::Drop);
                let exceeded =
                    node.sum(|stats| stats.rates_exceeded[RateLimit::RoomMessages as usize].get());
                assert!(exceeded > 0);
            }
        }
    }
}

#[test]
fn below_the_rate_nothing_is_held_back_whoever_speaks_when() {
    for cores in [1, 4, 7] {
        let mut node = Node::new(cores, &limits(RateAction::Drop), rate(1_000, 100));
        node.join(2);
        // One after another, now here, now there, 900 a second in all; and silent for a while.
        let members = 2 * cores;
        let mut said = 0;
        let mut turn = |millisecond: u64, number: usize| {
            let speaks = !millisecond.is_multiple_of(10) && millisecond % 3_000 < 2_000;
            let mine = (millisecond as usize * 7 / 3) % members == number;
            said += usize::from(speaks && mine);
            usize::from(speaks && mine)
        };
        let passed = node.talk(9_000, &mut turn);
        node.talk(10, |_, _| 0);
        assert_eq!(passed, said as u64);
        assert_eq!(node.sum(|stats| stats.messages_over_rate.get()), 0);
    }
}

#[test]
fn leases_that_are_not_needed_are_given_back_and_forgotten() {
    let mut node = Node::new(4, &limits(RateAction::Refuse), rate(2_000, 500));
    node.join(3);
    node.talk(2_000, |_, _| 2);
    // What was read and waits goes first.
    node.talk(10_000, |_, _| 0);
    for it in &node.cores {
        assert_eq!(it.core.leases().0, 0);
        assert_eq!(it.core.poll_deadline().map(|at| at > node.now), Some(true));
    }
    // A whole burst is there again, wherever it is wanted.
    let mut first = true;
    let passed = node.talk(1, |_, number| {
        if number == 4 && std::mem::take(&mut first) {
            500
        } else {
            0
        }
    }) + node.talk(200, |_, _| 0);
    assert_eq!(passed, 500);
}

#[test]
fn with_close_only_those_are_closed_who_speak_when_the_rate_is_used_up() {
    let mut node = Node::new(4, &limits(RateAction::Close), rate(100, 10));
    node.join(2);
    node.talk(3, |_, number| if number < 2 { 30 } else { 0 });
    node.talk(5_000, |millisecond, number| {
        usize::from(number == 7 && millisecond % 20 == 0)
    });
    for it in &mut node.cores {
        for (conn, _) in std::mem::take(&mut it.members) {
            it.core.handle(node.now, Input::Ended { conn });
        }
    }
    let closed =
        node.sum(|stats| stats.closes[ringmain_core::CloseReason::RateExceeded as usize].get());
    assert_eq!(closed, 2);
}

#[test]
fn posts_take_from_the_rooms_rate_and_are_told_when_it_is_used_up() {
    let mut node = Node::new(4, &limits(RateAction::Refuse), rate(200, 20));
    node.join(1);
    for millisecond in 0..5_000u64 {
        node.now = node.now.plus(1);
        node.post(millisecond as usize % 4, None);
        node.turn();
        node.turn();
    }
    for _ in 0..4 {
        node.turn();
    }
    within_a_tenth(node.accepted, 20 + 5 * 200);
    assert_eq!(node.accepted + node.refused, 5_000, "each is answered");
}

#[test]
fn an_address_publishes_by_http_at_its_rate_on_whichever_core() {
    let limits = Limits {
        address_rate: rate(100, 10),
        ..Limits::default()
    };
    let mut node = Node::new(4, &limits, None);
    node.join(1);
    let address = |n: u32| Some(IpAddr::V4(Ipv4Addr::from(n)));
    for millisecond in 0..5_000u64 {
        node.now = node.now.plus(1);
        node.post(millisecond as usize % 4, address(1));
        node.turn();
        node.turn();
    }
    within_a_tenth(node.accepted, 10 + 5 * 100);
    // Others are not concerned, nor is who has no address.
    let before = node.accepted;
    for n in 0..200 {
        node.now = node.now.plus(1);
        node.post(
            n as usize % 4,
            if n % 2 == 0 { None } else { address(n + 2) },
        );
        node.turn();
        node.turn();
    }
    node.turn();
    assert_eq!(node.accepted - before, 200);
}

#[test]
fn rates_can_change_while_messages_wait() {
    let mut node = Node::new(4, &limits(RateAction::Refuse), rate(1, 1));
    node.join(1);
    node.talk(100, |_, _| 5);
    assert!(node.passed() <= 2);
    for it in &mut node.cores {
        let rules = ringmain_core::Rules {
            limits: limits(RateAction::Refuse),
            rooms: RoomPolicies::default(),
        };
        it.core.handle(node.now, Input::Configure(Box::new(rules)));
    }
    node.talk(2_000, |_, _| 0);
    assert!(node.passed() >= 20, "{}", node.passed());
    for it in &node.cores {
        for &(conn, _) in &it.members {
            assert!(it.core.is_reading(conn));
        }
    }
}
