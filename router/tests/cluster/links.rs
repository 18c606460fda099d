//! Several links over a made-up broker, in virtual time.

mod bundles;
mod comings_and_goings;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use ringmain_router::cluster::envelope::ENVELOPE_BYTES_MAX;
use ringmain_router::cluster::limits::LINGER_MS;
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{
    Change, ClusterLink, Inbound, Input, LinkConfig, LinkDrop, Message, Output, Subscription,
};
use ringmain_router::{PayloadKind, Publication, RoomCell, ShardFrame, Tick};

use super::{SECRET, cell, name, plain_limits};

const ROOMS: [&str; 3] = ["lobby", "a.b *>", "käse"];

/// A node: its link, and what its broker's client would keep.
struct Node {
    link: ClusterLink,
    cells: Vec<Arc<RoomCell>>,
    subscriptions: Vec<String>,
    changes: Vec<Change>,
    /// What is on its way here, each with its arrival.
    arriving: VecDeque<(Tick, Inbound)>,
    /// What members here were sent, by room.
    delivered: BTreeMap<String, Vec<String>>,
    is_cut: bool,
}

struct World {
    nodes: Vec<Node>,
    now: Tick,
    /// The broker loses each n-th publication on its way to a node.
    loses_each: Option<u64>,
    /// It takes one message from each node in so many milliseconds, or all at once.
    takes_each_ms: Option<u64>,
    passed: u64,
    lost: u64,
}

fn link(node: usize, incarnation: u64, now: Tick) -> ClusterLink {
    let config = LinkConfig {
        cluster: "here".parse().unwrap(),
        node: format!("node-{node}").parse().unwrap(),
        incarnation,
        address: format!("10.0.0.{node}:80"),
        version: "1".to_owned(),
        room_secret: SECRET,
        outbound: OutboundLimits {
            bytes_max: 100_000,
            wait_ms: 2_000,
        },
        plain: plain_limits(100),
        shards: 2,
    };
    let mut link = ClusterLink::new(config, now);
    let payload_bytes_max = 1_000;
    link.handle(now, Input::Connected { payload_bytes_max });
    link
}

fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(p), Some(s)) if p == "*" || p == s => {}
            _ => return false,
        }
    }
}

impl World {
    fn new(nodes: usize) -> Self {
        let now = Tick(1_000);
        let node = |n| Node {
            link: link(n, 100 + n as u64, now),
            cells: ROOMS.map(cell).into(),
            subscriptions: Vec::new(),
            changes: Vec::new(),
            arriving: VecDeque::new(),
            delivered: BTreeMap::new(),
            is_cut: false,
        };
        World {
            nodes: (0..nodes).map(node).collect(),
            now,
            loses_each: None,
            takes_each_ms: None,
            passed: 0,
            lost: 0,
        }
    }

    fn handle(&mut self, node: usize, input: Input) {
        self.nodes[node].link.handle(self.now, input);
        self.settle(node);
    }

    fn settle(&mut self, index: usize) {
        let (now, node) = (self.now, &mut self.nodes[index]);
        while let Some(output) = node.link.poll_output() {
            match output {
                Output::Subscribe(what) => {
                    let subject = node.link.subject(what);
                    assert!(!node.subscriptions.contains(&subject), "twice: {subject}");
                    node.subscriptions.push(subject);
                }
                Output::Unsubscribe(what) => {
                    let subject = node.link.subject(what);
                    node.subscriptions.retain(|known| *known != subject);
                }
                Output::Changed(change) => node.changes.push(change),
            }
        }
        let delivered = &mut node.delivered;
        node.link.send_frames(now, |_, frame| {
            let ShardFrame::Publish {
                room, publication, ..
            } = frame
            else {
                panic!("{frame:?}");
            };
            let name = ROOMS
                .iter()
                .find(|text| SECRET.id(&name(text)) == room)
                .unwrap();
            let text = String::from_utf8(publication.payload.to_vec()).unwrap();
            delivered.entry((*name).to_owned()).or_default().push(text);
            Ok(())
        });
        let messages_max = match self.takes_each_ms {
            None => usize::MAX,
            Some(each) => usize::from(now.0.is_multiple_of(each)),
        };
        let link = &mut node.link;
        let messages = std::iter::from_fn(|| Some(link.poll_message()?.1));
        let messages: Vec<_> = messages.take(messages_max).collect();
        if node.is_cut {
            return;
        }
        for message in messages {
            self.pass_on(Some(index), &message, None);
        }
    }

    /// What the broker does with a message. It does not give it back to its sender.
    fn pass_on(&mut self, from: Option<usize>, message: &Message, reply: Option<&str>) {
        let is_plain = message.subject.contains(".publish.");
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let mut subscriptions = node.subscriptions.iter();
            let wants = subscriptions.any(|pattern| matches(pattern, &message.subject));
            if from == Some(index) || node.is_cut || !wants {
                continue;
            }
            if message.publications > 0 {
                self.passed += 1;
                if self
                    .loses_each
                    .is_some_and(|each| self.passed.is_multiple_of(each))
                {
                    self.lost += 1;
                    continue;
                }
            }
            let inbound = Inbound {
                subject: message.subject.clone(),
                reply: reply.map(str::to_owned),
                payload: message.payload.clone(),
            };
            // Each subscription has a queue of its own in the client: what is not about the same room may overtake.
            let delay = if message.publications > 0 { 7 } else { 3 };
            node.arriving.push_back((self.now.plus(delay), inbound));
            if is_plain {
                return;
            }
        }
    }

    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now = self.now.plus(1);
            for index in 0..self.nodes.len() {
                while let Some(at) = self.nodes[index]
                    .arriving
                    .iter()
                    .position(|(at, _)| *at <= self.now)
                {
                    let (_, inbound) = self.nodes[index].arriving.remove(at).unwrap();
                    self.handle(index, Input::Received(inbound));
                }
                if self.now.0.is_multiple_of(10) {
                    self.handle(index, Input::Turn);
                }
            }
        }
    }

    fn join(&mut self, node: usize, room: usize, are_there: bool) {
        let cell = self.nodes[node].cells[room].clone();
        self.handle(node, Input::Frame(ShardFrame::Members { cell, are_there }));
    }

    fn publish(&mut self, node: usize, room: usize, text: &str) {
        let cell = self.nodes[node].cells[room].clone();
        let publication = Arc::new(Publication {
            kind: PayloadKind::Text,
            payload: Bytes::copy_from_slice(text.as_bytes()),
            exclude: None,
            began: None,
        });
        let frame = ShardFrame::ToCluster { cell, publication };
        self.handle(node, Input::Frame(frame));
    }

    fn delivered(&self, node: usize, room: usize) -> &[String] {
        self.nodes[node]
            .delivered
            .get(ROOMS[room])
            .map_or(&[], Vec::as_slice)
    }

    fn missed(&self, node: usize) -> u64 {
        self.nodes[node].link.counters().streams[0].missed
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    /// What is delivered is what was sent, in each publisher's order, without what the broker has lost; and what it has
    /// lost is counted to the last one, the tails too.
    #[test]
    fn each_member_node_gets_each_publication_once_or_counts_it(
        loses_each in prop::option::of(2u64..20),
        steps in prop::collection::vec((0usize..3, 0usize..3, 0u64..50), 1..150)
    ) {
        let mut world = World::new(3);
        for (node, room) in [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (0, 2)] {
            world.join(node, room, true);
        }
        world.run(20);
        // Streams are followed from their first publication on.
        let mut sent = vec![vec![Vec::new(); 3]; 3];
        for node in 0..3 {
            for (room, sent) in sent[node].iter_mut().enumerate() {
                world.publish(node, room, &format!("{node} first"));
                sent.push(format!("{node} first"));
            }
        }
        world.run(20);
        world.loses_each = loses_each;
        for (index, (node, room, wait)) in steps.iter().enumerate() {
            let text = format!("{node} {index}");
            world.publish(*node, *room, &text);
            sent[*node][*room].push(text);
            world.run(*wait);
        }
        world.run(4_000);
        let mut missing = 0;
        for (node, room) in [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (0, 2)] {
            for from in (0..3).filter(|&from| from != node) {
                let mark = format!("{from} ");
                let got: Vec<_> = world.delivered(node, room).iter().filter(|text| text.starts_with(&mark)).collect();
                let mut expected = sent[from][room].iter();
                prop_assert!(got.iter().all(|text| expected.any(|sent| sent == *text)), "twice or out of order");
                missing += (sent[from][room].len() - got.len()) as u64;
            }
        }
        prop_assert_eq!(missing, world.lost);
        prop_assert_eq!((0..3).map(|node| world.missed(node)).sum::<u64>(), world.lost);
    }
}

#[test]
fn nodes_without_members_get_nothing_and_a_bucket_lingers() {
    let mut world = World::new(3);
    world.join(1, 0, true);
    world.run(5);
    world.publish(0, 0, "one");
    world.run(10);
    assert_eq!(world.delivered(1, 0), ["one"]);
    assert_eq!(world.passed, 1, "one copy, for the one node with members");
    world.join(1, 0, false);
    world.run(LINGER_MS - 100);
    world.publish(0, 0, "two");
    world.run(10);
    assert_eq!(world.passed, 2, "still subscribed");
    assert_eq!(world.nodes[1].link.counters().not_for_us, 1);
    world.run(200);
    world.publish(0, 0, "three");
    world.run(10);
    assert_eq!((world.passed, world.delivered(1, 0).len()), (2, 1));
}

#[test]
fn a_node_that_is_silent_is_gone_within_three_seconds_and_a_leaver_at_once() {
    let mut world = World::new(3);
    world.run(1_100);
    let known: Vec<_> = world.nodes[0]
        .link
        .membership()
        .peers()
        .keys()
        .map(|n| n.as_str())
        .collect();
    assert_eq!(known, ["node-1", "node-2"]);
    world.nodes[0].changes.clear();
    world.handle(1, Input::Leave);
    world.run(5);
    assert_eq!(
        world.nodes[0].changes,
        [Change::Left("node-1".parse().unwrap())]
    );
    world.run(2_000);
    assert_eq!(
        world.nodes[0].changes.len(),
        1,
        "who leaves does not announce itself again"
    );
    world.nodes[2].is_cut = true;
    world.run(1_800);
    assert_eq!(world.nodes[0].changes.len(), 1, "one or two may be lost");
    world.run(1_200);
    assert_eq!(
        world.nodes[0].changes[1],
        Change::Gone("node-2".parse().unwrap())
    );
}

#[test]
fn a_restarted_node_is_told_from_the_one_before_it() {
    let mut world = World::new(2);
    world.join(1, 0, true);
    world.run(5);
    world.publish(0, 0, "one");
    world.publish(0, 0, "two");
    world.run(1_100);
    world.nodes[0].link = link(0, 900, world.now);
    world.nodes[0].subscriptions.clear();
    world.settle(0);
    world.publish(0, 0, "three");
    world.run(1_100);
    assert_eq!(world.delivered(1, 0), ["one", "two", "three"]);
    assert_eq!(world.missed(1), 0);
    let restarted = Change::Restarted("node-0".parse().unwrap());
    assert!(world.nodes[1].changes.contains(&restarted));
    let (_, peer) = world.nodes[1]
        .link
        .membership()
        .peers()
        .iter()
        .next()
        .unwrap();
    assert_eq!(peer.round_trip_ms, Some(6), "three milliseconds each way");
}

#[test]
fn a_plain_message_reaches_members_everywhere_once_and_is_answered() {
    let mut world = World::new(3);
    for node in 0..3 {
        world.join(node, 1, true);
    }
    world.run(5);
    let publish = |world: &mut World, token: &str, payload: &[u8]| {
        let message = Message {
            subject: format!("ringmain.here.publish.{token}"),
            payload: Bytes::copy_from_slice(payload),
            publications: 0,
        };
        // Whatever node has it, the answers stay in its queue until they are looked at.
        world.nodes[0].is_cut = true;
        world.nodes[2].is_cut = true;
        world.pass_on(None, &message, Some("inbox"));
        world.nodes[0].is_cut = false;
        world.nodes[2].is_cut = false;
        world.now = world.now.plus(3);
        let (_, inbound) = world.nodes[1].arriving.pop_front().unwrap();
        let now = world.now;
        world.nodes[1].link.handle(now, Input::Received(inbound));
        let (_, answer) = world.nodes[1].link.poll_answer().unwrap();
        assert_eq!(answer.subject, "inbox");
        while let Some((_, message)) = world.nodes[1].link.poll_message() {
            world.pass_on(Some(1), &message, None);
        }
        world.run(10);
        String::from_utf8(answer.payload.to_vec()).unwrap()
    };
    assert_eq!(
        publish(&mut world, "a=2Eb=20=2A=3E", b"hello"),
        r#"{"ok":true}"#
    );
    for node in 0..3 {
        assert_eq!(world.delivered(node, 1), ["hello"], "node {node}");
    }
    let refusal = publish(&mut world, "lobby", &[b'x'; 101]);
    assert_eq!(
        refusal,
        r#"{"ok":false,"error":"the message has 101 bytes; at most 100 are allowed"}"#
    );
    // The broker takes payloads of 1,000 bytes, and an envelope around this one is larger.
    world.handle(1, Input::Limit(plain_limits(10_000)));
    let refusal = publish(&mut world, "a=2Eb=20=2A=3E", &[b'x'; 990]);
    assert_eq!(
        refusal,
        format!(
            r#"{{"ok":false,"error":"the message has 990 bytes; at most {} are allowed"}}"#,
            1_000 - ENVELOPE_BYTES_MAX
        )
    );
    for node in 0..3 {
        assert_eq!(world.delivered(node, 1), ["hello"], "node {node}");
    }
    let refusal = publish(&mut world, "a=zz", b"x");
    assert!(refusal.contains("two hexadecimal digits"), "{refusal}");
    assert_eq!(
        world.nodes[1].link.counters().drops[LinkDrop::Refused as usize],
        3
    );
}

#[test]
fn while_the_broker_is_gone_the_queue_is_bounded_and_what_is_lost_is_named() {
    let mut world = World::new(2);
    world.join(1, 0, true);
    world.run(5);
    world.publish(0, 0, "first");
    world.handle(0, Input::Disconnected);
    for n in 0..1_000 {
        world.publish(0, 0, &format!("{n:>300}"));
    }
    let counters = world.nodes[0].link.counters().clone();
    let full = counters.drops[LinkDrop::QueueFull as usize];
    assert!(full > 500 && full < 1_000, "{full}");
    assert_eq!(counters.interruptions, 1);
    world.run(1_000);
    let payload_bytes_max = 1_000;
    world.handle(0, Input::Connected { payload_bytes_max });
    world.run(10);
    assert_eq!(
        world.delivered(1, 0).len() as u64,
        1 + 1_000 - full,
        "within its time, the rest goes out"
    );
    assert_eq!(world.missed(1), full, "and the others know what they miss");
    world.handle(0, Input::Disconnected);
    world.publish(0, 0, "late");
    world.run(2_100);
    assert_eq!(
        world.nodes[0].link.counters().drops[LinkDrop::QueueExpired as usize],
        1
    );
    let gone = |change: &Change| matches!(change, Change::Gone(_));
    assert!(
        !world.nodes[0].changes.iter().any(gone),
        "without a broker nobody can be heard"
    );
}

#[test]
fn what_other_versions_and_echoes_bring_is_counted_and_not_delivered() {
    let mut world = World::new(2);
    world.join(1, 0, true);
    world.run(5);
    let subject = {
        let bucket = Subscription::Bucket(ringmain_router::cluster::Bucket::of(&name("lobby")));
        world.nodes[1].link.subject(bucket).replace('*', "lobby")
    };
    let mut receive = |payload: &'static [u8]| {
        let inbound = Inbound {
            subject: subject.clone(),
            reply: None,
            payload: Bytes::from_static(payload),
        };
        world.handle(1, Input::Received(inbound));
    };
    receive(b"\x02a later version");
    receive(b"\x01\x01\x06node-1\x00\x00\x00\x00\x00\x00\x00\x65\x01\x01own");
    let counters = world.nodes[1].link.counters();
    assert_eq!((counters.other_versions, counters.echoes), (1, 1));
    assert_eq!(world.delivered(1, 0).len(), 0);
}

#[test]
fn what_waits_for_a_slow_broker_is_not_missed() {
    let mut world = World::new(2);
    world.join(1, 0, true);
    world.run(5);
    world.publish(0, 0, "first");
    world.run(900);
    world.takes_each_ms = Some(40);
    // Each too long for two to be one message.
    for n in 0..40 {
        world.publish(0, 0, &format!("{n:>600}"));
    }
    world.run(4_000);
    assert_eq!(world.missed(1), 0, "nothing was lost");
    assert_eq!(world.delivered(1, 0).len(), 41);
}
