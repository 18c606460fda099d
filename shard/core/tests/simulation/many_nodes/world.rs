//! The nodes, the broker between them, and what befalls them.

use ringmain_core::{RoomSettings, Tick};
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{Address, Envelope, Input, LinkDrop, Message, Subjects};

use super::Tried;
use super::broker::{Broker, Listener};
use super::ledger::{Ledger, Life};
use super::member::Member;
use crate::Random;
use crate::node::{Node, Publisher, Setup, room_name, secret};
use crate::oracle::{CLIENTS_MAX, Client};

/// The number of the first plain message: no client of a node has it, and with it no payload is text.
const PLAIN: usize = 0xFF_0000;

pub struct World {
    seed: u64,
    is_faulty: bool,
    now: Tick,
    rooms: usize,
    cores: usize,
    members: Vec<Option<Member>>,
    lives: Life,
    broker: Broker,
    subjects: Subjects,
    ledger: Ledger,
    /// Those who publish one plain message each.
    plain: Vec<Publisher>,
    /// What cores of nodes that are gone dropped for full lanes.
    lane_full: u64,
}

impl World {
    pub fn new(seed: u64, is_faulty: bool, random: &mut Random) -> Self {
        let nodes = 2 + random.below(3);
        let mut world = World {
            seed,
            is_faulty,
            now: Tick(1_000),
            rooms: 1 + random.below(4),
            cores: 1 + random.below(3),
            members: (0..nodes).map(|_| None).collect(),
            lives: 0,
            broker: Broker::new([1, 5, 40][random.below(3)]),
            subjects: Subjects::new(&"simulated".parse().expect("valid")),
            ledger: Ledger::default(),
            plain: Vec::new(),
            lane_full: 0,
        };
        for node in 0..nodes {
            world.come(node, random);
        }
        world
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    fn living(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    /// Clients of a node do something, if it is there.
    pub fn on(&mut self, node: usize, act: impl FnOnce(&mut Node)) {
        if let Some(member) = &mut self.members[node] {
            act(&mut member.node);
        }
    }

    fn come(&mut self, name: usize, random: &mut Random) {
        self.lives += 1;
        let cores = 1 + random.below(self.cores);
        let (node, port) = Node::new(Setup {
            cores,
            rooms: vec![RoomSettings::default(); self.rooms],
            room_secret: secret(self.seed),
            first: self.lives as usize * CLIENTS_MAX,
            linked: true,
            far_may_miss: self.is_faulty,
            now: self.now,
        });
        let small = OutboundLimits {
            bytes_max: [20_000, 200_000][random.below(2)],
            wait_ms: [200, 3_000][random.below(2)],
        };
        let large = OutboundLimits {
            bytes_max: 10_000_000,
            wait_ms: 5_000,
        };
        let limits = if self.is_faulty { small } else { large };
        let made = (node, port.expect("linked"), cores);
        let who = (self.lives, name);
        let mut member = Member::new(who, made, secret(self.seed), limits, self.now);
        member.notice(true, self.now);
        self.members[name] = Some(member);
    }

    /// A node ends in order, or, where things fail, dies; one that is gone comes back as a new one.
    pub fn leave_or_come(&mut self, node: usize, random: &mut Random) {
        if self.members[node].is_none() {
            return self.come(node, random);
        }
        match self.is_faulty && random.one_in(2) {
            true => self.die(node),
            false => self.leave(node, random),
        }
    }

    fn die(&mut self, node: usize) {
        let gone = self.members[node].take().expect("there");
        self.lane_full += gone.node.lane_full();
    }

    /// A node ends as it does when it is told to: its cores end, then its link, when it has sent all.
    fn leave(&mut self, node: usize, random: &mut Random) {
        self.on(node, Node::stop);
        let is_stopped = |world: &Self| {
            let member = world.members[node].as_ref();
            member.is_some_and(|member| member.node.is_stopped())
        };
        for _ in 0..2_000 {
            // None of the other nodes waits for it.
            let milliseconds = u64::from(random.one_in(4));
            self.pass(milliseconds, random);
            if is_stopped(self) {
                break;
            }
        }
        let (seed, now) = (self.seed, self.now);
        assert!(is_stopped(self), "seed {seed}: it does not end");
        let mut leaver = self.members[node].take().expect("there");
        let messages = leaver.leave(now, &mut self.ledger);
        let [least, most] = leaver.node.published();
        let handed_over = leaver.handed_over;
        assert!(
            (least..=most).contains(&handed_over),
            "{handed_over} handed over of {least} to {most} that were published"
        );
        self.lane_full += leaver.node.lane_full();
        if !leaver.is_cut {
            if !self.is_faulty {
                self.ledger.left(leaver.life);
            }
            self.pass_on((leaver.life, leaver.side), &messages, random);
        }
    }

    /// Each node ends and has a successor, one after another, while all publish.
    pub fn rolling_restart(&mut self, random: &mut Random) {
        self.heal(random);
        for node in 0..self.len() {
            if self.members[node].is_some() {
                self.talk(random);
                self.leave(node, random);
            }
            self.talk(random);
            if self.members[node].is_none() {
                self.come(node, random);
            }
            for _ in 0..random.below(4) {
                self.on(node, |it| it.connect(random));
            }
        }
        self.talk(random);
    }

    fn talk(&mut self, random: &mut Random) {
        for _ in 0..random.below(30) {
            let node = random.below(self.len());
            match random.below(4) {
                0 => self.on(node, |it| it.post(random)),
                1 => self.publish_plainly(random),
                _ => self.on(node, |it| it.publish(random)),
            }
            self.pass(random.below(3) as u64, random);
        }
    }

    /// A client of the broker publishes; one node takes it.
    pub fn publish_plainly(&mut self, random: &mut Random) {
        let reached: Vec<Life> = self
            .living()
            .filter(|member| !member.is_cut && !member.subscriptions.is_empty())
            .map(|member| member.life)
            .collect();
        if reached.is_empty() {
            return;
        }
        let room = random.below(self.rooms);
        let number = PLAIN + self.plain.len();
        self.plain.push(Publisher {
            number,
            room,
            begun: 1,
        });
        let message = Message {
            subject: self.subjects.publish(&room_name(room)),
            payload: Client::payload(room, number, 0).into(),
            publications: 0,
        };
        let to = reached[random.below(reached.len())];
        self.broker.send(to, &message, self.now);
    }

    /// Something begins to fail, or ends to.
    pub fn trouble(&mut self, node: usize, random: &mut Random) {
        if !self.is_faulty {
            return;
        }
        let now = self.now;
        match (random.below(6), &mut self.members[node]) {
            (0, _) => self.broker.loses_one_in = random.below(10),
            (1, _) => self.broker.repeats_one_in = random.below(10),
            (2, _) => self.broker.is_split = !self.broker.is_split,
            (3, Some(member)) => member.takes_one_in = [0, 1, 20, 1_000_000][random.below(4)],
            (4, Some(member)) => {
                member.is_cut = true;
                // It may not notice.
                if random.one_in(2) {
                    member.notice(false, now);
                }
            }
            (_, Some(member)) => {
                member.is_cut = false;
                member.notice(true, now);
            }
            (_, None) => {}
        }
    }

    /// For longer than a sequence that was told is waited for, the broker takes little of what a node has to say.
    pub fn slow_time(&mut self, node: usize, random: &mut Random) {
        let Some(member) = self.members[node].as_mut().filter(|_| self.is_faulty) else {
            return;
        };
        member.takes_one_in = 8;
        for _ in 0..30 {
            self.on(node, |it| it.publish(random));
            self.pass(1, random);
        }
        for _ in 0..300 {
            self.pass(5, random);
        }
    }

    /// All works again, and all are there.
    pub fn heal(&mut self, random: &mut Random) {
        (self.broker.loses_one_in, self.broker.repeats_one_in) = (0, 0);
        self.broker.is_split = false;
        for node in 0..self.len() {
            match &mut self.members[node] {
                Some(member) => {
                    member.is_cut = false;
                    member.takes_one_in = 0;
                    member.notice(true, self.now);
                }
                None => self.come(node, random),
            }
        }
    }

    /// Time passes.
    pub fn pass(&mut self, milliseconds: u64, random: &mut Random) {
        self.now = self.now.plus(milliseconds);
        while let Some(parcel) = self.broker.poll(self.now) {
            let is_for = |member: &&mut Member| member.life == parcel.to && !member.is_cut;
            let Some(member) = self.members.iter_mut().flatten().find(is_for) else {
                continue;
            };
            match self.subjects.address(&parcel.inbound.subject) {
                Some(Ok(Address::Room(room))) => {
                    let envelope = Envelope::decode(&parcel.inbound.payload).expect("of a node");
                    let from = envelope.source.incarnation;
                    let ledger = &mut self.ledger;
                    for behind in 0..=envelope.more.len() as u64 {
                        let sequence = envelope.sequence + behind;
                        ledger.arrived(parcel.to, room.as_str(), from, sequence);
                    }
                }
                Some(Ok(Address::Publish(room))) => self.ledger.sent(parcel.to, room.as_str()),
                _ => {}
            }
            member
                .link
                .handle(self.now, Input::Received(parcel.inbound));
        }
        for node in 0..self.len() {
            if let Some(member) = &mut self.members[node] {
                member.node.pass_time(milliseconds);
            }
            self.step(node, random);
        }
        self.note_far();
    }

    fn step(&mut self, node: usize, random: &mut Random) {
        let Some(member) = &mut self.members[node] else {
            return;
        };
        let messages = member.step(self.now, &mut self.ledger, random);
        if member.is_cut {
            // It has not noticed: what it writes is lost.
            return;
        }
        let from = (member.life, member.side);
        self.pass_on(from, &messages, random);
    }

    /// The broker has taken messages of a node.
    fn pass_on(&mut self, from: (Life, bool), messages: &[Message], random: &mut Random) {
        let reached = self.members.iter().flatten().filter(|to| !to.is_cut);
        let listeners: Vec<_> = reached
            .map(|to| Listener {
                life: to.life,
                side: to.side,
                subscriptions: &to.subscriptions,
            })
            .collect();
        for message in messages {
            let (broker, now) = (&mut self.broker, self.now);
            broker.pass_on(from, message, &listeners, now, random);
        }
    }

    /// Those who publish on other nodes, and those who publish plainly.
    fn far_of(&self, life: Life) -> Vec<Publisher> {
        let others = self.living().filter(|other| other.life != life);
        let far = others.flat_map(|other| other.node.publishers());
        far.chain(self.plain.iter().copied()).collect()
    }

    fn note_far(&mut self) {
        for node in 0..self.len() {
            let Some(mut member) = self.members[node].take() else {
                continue;
            };
            member.node.note_far(|| self.far_of(member.life));
            self.members[node] = Some(member);
        }
    }

    /// Until all has arrived, and what was lost has been noticed.
    pub fn settle(&mut self, random: &mut Random) {
        for _ in 0..if self.is_faulty { 450 } else { 130 } {
            self.pass(10, random);
        }
    }

    /// What has to hold when all is at rest.
    pub fn check(&self, tried: &mut Tried) {
        let living: Vec<Life> = self.living().map(|member| member.life).collect();
        let lane_full = self.lane_full + self.living().map(|it| it.node.lane_full()).sum::<u64>();
        let dropped = |member: &Member, why: LinkDrop| member.link.counters().drops[why as usize];
        for member in self.living() {
            let (life, counters) = (member.life, member.link.counters());
            let streams = counters.streams[0];
            let peers = member.link.membership().peers().len();
            assert_eq!(peers, living.len() - 1, "all know each other");
            assert_eq!(dropped(member, LinkDrop::Unreadable), 0);
            let stale = streams.duplicates + streams.reordered;
            assert_eq!(stale, self.ledger.stale(life), "what came again");
            let [least, most] = self.ledger.missed(life, &living);
            let missed = streams.missed;
            assert!(
                (least..=most).contains(&missed),
                "node {life} counts {missed} missed: {least} to {most} are"
            );
            let counted = missed + dropped(member, LinkDrop::LaneFull) + lane_full;
            let gaps = member.node.far_gaps();
            assert!(gaps <= counted, "{gaps} missing, {counted} counted");
            if !self.is_faulty {
                assert_eq!(least, 0, "all that was sent arrives");
                assert_eq!(member.gone, 0, "nobody fell silent");
                assert_eq!((missed, stale, lane_full), (0, 0, 0), "nothing failed");
                assert_eq!(counters.drops.iter().sum::<u64>(), 0, "nothing failed");
                member.node.check_far(&self.far_of(life));
                member.node.check_members();
            }
            tried.received += counters.received;
            tried.missed += missed;
            tried.stale += stale;
            tried.dropped += dropped(member, LinkDrop::QueueFull);
            tried.dropped += dropped(member, LinkDrop::QueueExpired);
        }
    }

    /// All clients go, and leave nothing behind.
    pub fn close(&mut self, random: &mut Random) {
        for member in self.members.iter_mut().flatten() {
            member.node.close_all();
        }
        for _ in 0..60 {
            self.pass(10, random);
        }
        for member in self.living() {
            member.node.check_empty();
            member.node.check_counts();
            assert!(member.link.rooms().is_empty(), "rooms without members");
        }
    }
}
