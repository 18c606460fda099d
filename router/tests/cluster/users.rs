//! Connections of users on several nodes, over a made-up broker that loses, repeats and delays, by seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringmain_router::cluster::limits::{SILENCE_MS, USERS_FRAMES_MAX, USERS_ROUND_MS};
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{ClusterLink, Inbound, Input, LinkConfig, Message};
use ringmain_router::placement::keeper_shard;
use ringmain_router::{PayloadKind, Publication, ShardFrame, Subject, SubjectId, Tick};

use super::{SECRET, cell};

const SHARDS: usize = 3;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

fn user(number: u64) -> SubjectId {
    SECRET.subject_among(Subject::User(&format!("user {number}")), true)
}

struct Node {
    link: ClusterLink,
    /// What its users have here.
    here: BTreeMap<SubjectId, u32>,
    /// What its shards were told that users have elsewhere.
    elsewhere: BTreeMap<SubjectId, u32>,
    arriving: Vec<(Tick, Message)>,
    is_dead: bool,
    is_cut: bool,
    /// It always has much to send.
    is_busy: bool,
}

struct World {
    nodes: Vec<Node>,
    now: Tick,
    random: Random,
    /// Of so many messages the broker loses one; none if 0.
    loses_one_in: u64,
    starts: u64,
}

impl World {
    fn new(nodes: usize, seed: u64) -> Self {
        let mut world = World {
            nodes: Vec::new(),
            now: Tick(1_000),
            random: Random(seed),
            loses_one_in: 0,
            starts: 0,
        };
        for place in 0..nodes {
            let node = world.node(place);
            world.nodes.push(node);
        }
        world
    }

    fn node(&mut self, place: usize) -> Node {
        self.starts += 1;
        let config = LinkConfig {
            cluster: "here".parse().unwrap(),
            node: format!("node-{place}").parse().unwrap(),
            incarnation: self.starts,
            address: String::new(),
            version: String::new(),
            room_secret: SECRET,
            outbound: OutboundLimits {
                bytes_max: 1_000_000,
                wait_ms: 2_000,
            },
            plain: super::plain_limits(100),
            shards: SHARDS,
        };
        let mut link = ClusterLink::new(config, self.now);
        let payload_bytes_max = 100_000;
        link.handle(self.now, Input::Connected { payload_bytes_max });
        Node {
            link,
            here: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            arriving: Vec::new(),
            is_dead: false,
            is_cut: false,
            is_busy: false,
        }
    }

    fn set(&mut self, place: usize, user: SubjectId, connections: u32) {
        let node = &mut self.nodes[place];
        match connections {
            0 => node.here.remove(&user),
            _ => node.here.insert(user, connections),
        };
        let frame = ShardFrame::UserHere { user, connections };
        node.link.handle(self.now, Input::Frame(frame));
    }

    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 10 {
            self.now = self.now.plus(10);
            for place in 0..self.nodes.len() {
                if !self.nodes[place].is_dead {
                    self.step(place);
                }
            }
        }
    }

    fn step(&mut self, place: usize) {
        let now = self.now;
        let node = &mut self.nodes[place];
        let (due, later) = node.arriving.drain(..).partition(|(at, _)| *at <= now);
        node.arriving = later;
        let due: Vec<(Tick, Message)> = due;
        for (_, message) in due {
            let inbound = Inbound {
                subject: message.subject,
                reply: None,
                payload: message.payload,
            };
            node.link.handle(now, Input::Received(inbound));
        }
        if node.is_busy && now.0.is_multiple_of(50) {
            for _ in 0..6 {
                let publication = Arc::new(Publication {
                    kind: PayloadKind::Binary,
                    payload: vec![0; 90_000].into(),
                    exclude: None,
                    began: None,
                });
                let cell = cell("a");
                let frame = ShardFrame::ToCluster { cell, publication };
                node.link.handle(now, Input::Frame(frame));
            }
        }
        if now.0.is_multiple_of(50) {
            node.link.handle(now, Input::Turn);
        }
        while node.link.poll_output().is_some() {}
        let elsewhere = &mut node.elsewhere;
        node.link.send_frames(now, |to, frame| {
            let ShardFrame::UserElsewhere { user, connections } = frame else {
                panic!("{frame:?}");
            };
            assert_eq!(to, keeper_shard(user, SHARDS));
            match connections {
                0 => elsewhere.remove(&user),
                _ => elsewhere.insert(user, connections),
            };
            Ok(())
        });
        while let Some((_, message)) = self.nodes[place].link.poll_message() {
            self.pass_on(place, &message);
        }
    }

    fn pass_on(&mut self, from: usize, message: &Message) {
        if self.nodes[from].is_cut || !message.subject.ends_with(".nodes") {
            return;
        }
        for to in 0..self.nodes.len() {
            if to == from || self.nodes[to].is_dead || self.nodes[to].is_cut {
                continue;
            }
            let is_lost = self.loses_one_in > 0 && self.random.below(self.loses_one_in) == 0;
            let copies = match self.random.below(20) {
                _ if is_lost => 0,
                0 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                // What one node sends arrives in its order.
                let at = self.now.plus(10);
                self.nodes[to].arriving.push((at, message.clone()));
            }
        }
    }

    /// What all others have, as somebody who sees everything knows.
    fn truth(&self, place: usize) -> BTreeMap<SubjectId, u32> {
        let mut all = BTreeMap::new();
        for (other, node) in self.nodes.iter().enumerate() {
            if other != place && !node.is_dead && !node.is_cut {
                for (&user, connections) in &node.here {
                    *all.entry(user).or_default() += connections;
                }
            }
        }
        all
    }

    fn is_known(&self) -> bool {
        let living = (0..self.nodes.len()).filter(|&place| !self.nodes[place].is_dead);
        living
            .filter(|&place| !self.nodes[place].is_cut)
            .all(|place| self.nodes[place].elsewhere == self.truth(place))
    }
}

#[test]
fn what_changes_is_known_elsewhere_within_a_tenth_of_a_second() {
    let mut world = World::new(3, 1);
    world.run(1_200);
    world.set(0, user(1), 2);
    world.set(1, user(1), 3);
    world.run(100);
    assert!(world.is_known());
    assert_eq!(world.nodes[2].elsewhere[&user(1)], 5);
    assert_eq!(world.nodes[2].link.elsewhere(user(1)), 5);
    world.set(0, user(1), 0);
    world.run(100);
    assert_eq!(world.nodes[2].elsewhere[&user(1)], 3);
    assert!(!world.nodes[1].elsewhere.contains_key(&user(1)));
}

#[test]
fn who_comes_later_is_told_all_and_who_is_gone_holds_nobodys_place() {
    let mut world = World::new(2, 2);
    world.run(1_200);
    for number in 0..5_000 {
        world.set(0, user(number), 1);
    }
    let late = world.node(2);
    world.nodes.push(late);
    world.run(3_000);
    assert!(world.is_known());
    assert_eq!(world.nodes[2].elsewhere.len(), 5_000);
    world.nodes[0].is_dead = true;
    world.run(SILENCE_MS + 200);
    assert!(world.nodes[2].elsewhere.is_empty() && world.is_known());
    // It starts anew, and knows nobody.
    world.nodes[0] = world.node(0);
    world.set(1, user(1), 4);
    world.set(0, user(2), 1);
    world.run(3_000);
    assert!(world.is_known());
    assert_eq!(world.nodes[0].elsewhere[&user(1)], 4);
}

#[test]
fn without_the_broker_a_node_counts_its_own_alone_and_learns_all_again() {
    let mut world = World::new(2, 3);
    world.run(1_200);
    world.set(0, user(1), 2);
    world.set(1, user(1), 3);
    world.run(100);
    world.nodes[0].is_cut = true;
    let now = world.now;
    world.nodes[0].link.handle(now, Input::Disconnected);
    world.run(1_000);
    assert_eq!(
        world.nodes[0].elsewhere[&user(1)],
        3,
        "for a while it holds"
    );
    world.set(1, user(2), 1);
    world.run(SILENCE_MS);
    assert!(world.nodes[0].elsewhere.is_empty() && world.nodes[1].elsewhere.is_empty());
    world.nodes[0].is_cut = false;
    let (now, payload_bytes_max) = (world.now, 100_000);
    world.nodes[0]
        .link
        .handle(now, Input::Connected { payload_bytes_max });
    world.run(2_500);
    assert!(world.is_known());
    assert_eq!(world.nodes[0].elsewhere.len(), 2);
}

/// However nodes come and go and whatever is lost or repeated: some rounds after it has become quiet, all know all.
#[test]
fn what_was_lost_is_mended_by_the_rounds() {
    for seed in 0..200 {
        let mut world = World::new(3, seed);
        world.run(1_200);
        world.loses_one_in = 2 + seed % 8;
        for _ in 0..60 {
            let place = world.random.below(3) as usize;
            let (name, connections) = (user(world.random.below(12)), world.random.below(4) as u32);
            match world.random.below(12) {
                0 if !world.nodes[place].is_dead => world.nodes[place].is_dead = true,
                1 | 2 if world.nodes[place].is_dead => world.nodes[place] = world.node(place),
                _ if !world.nodes[place].is_dead => world.set(place, name, connections),
                _ => {}
            }
            let wait = 10 + world.random.below(400);
            world.run(wait);
        }
        world.loses_one_in = 0;
        world.run(3 * (USERS_ROUND_MS + 1_000) + SILENCE_MS);
        assert!(world.is_known(), "seed {seed}");
    }
}

/// Somebody who is refused tries again at once, and so may many.
#[test]
fn other_nodes_are_told_what_has_changed_and_not_that_nothing_has() {
    let mut world = World::new(1, 4);
    world.run(1_200);
    world.set(0, user(1), 2);
    let told = |world: &mut World| {
        world.now = world.now.plus(50);
        let (link, now) = (&mut world.nodes[0].link, world.now);
        link.handle(now, Input::Turn);
        std::iter::from_fn(|| link.poll_message()).count()
    };
    assert_eq!(told(&mut world), 1);
    world.set(0, user(1), 2);
    assert_eq!(told(&mut world), 0);
    world.set(0, user(1), 1);
    assert_eq!(told(&mut world), 1);
}

#[test]
fn one_turn_looks_at_a_bounded_number_of_users_whatever_the_lanes_take() {
    const USERS: u64 = 3 * USERS_FRAMES_MAX as u64 / 2;
    let mut world = World::new(2, 5);
    world.run(1_200);
    for number in 0..USERS {
        world.set(0, user(number), 1);
    }
    world.run(1_000);
    assert_eq!(world.nodes[1].elsewhere.len() as u64, USERS);
    world.nodes[0].is_dead = true;
    let (link, mut now) = (&mut world.nodes[1].link, world.now);
    while link.users().1 > 0 {
        now = now.plus(50);
        link.handle(now, Input::Turn);
    }
    // All of them have changed at once, and no lane has room.
    let mut looks = 0;
    link.send_frames(now, |_, frame| {
        looks += 1;
        Err(frame)
    });
    assert_eq!(looks, USERS_FRAMES_MAX);
    let mut told = BTreeSet::new();
    for _ in 0..2 {
        link.send_frames(now, |_, frame| {
            let ShardFrame::UserElsewhere { user, .. } = frame else {
                panic!("{frame:?}");
            };
            told.insert(user);
            Ok(())
        });
    }
    assert_eq!(told.len() as u64, USERS, "each is told in its time");
}

#[test]
fn who_is_not_told_of_because_the_node_has_much_to_send_is_not_forgotten() {
    const USERS: usize = 1_500;
    let mut world = World::new(2, 6);
    world.run(1_200);
    for number in 0..USERS as u64 {
        world.set(0, user(number), 1);
    }
    world.run(1_000);
    world.nodes[0].is_busy = true;
    world.run(4 * USERS_ROUND_MS);
    world.nodes[0].is_busy = false;
    for _ in 0..200 {
        assert_eq!(world.nodes[1].elsewhere.len(), USERS);
        world.run(10);
    }
}

/// The last word of a node about its last user is lost, and it has nobody left to tell of.
#[test]
fn a_lease_ends_though_the_node_that_gave_it_has_no_users_any_more() {
    let mut world = World::new(2, 7);
    world.run(1_200);
    world.set(0, user(1), 1);
    world.run(100);
    world.loses_one_in = 1;
    world.set(0, user(1), 0);
    world.run(100);
    world.loses_one_in = 0;
    assert_eq!(world.nodes[1].elsewhere.len(), 1, "it does not know yet");
    world.run(4 * (USERS_ROUND_MS + 1_000));
    assert!(world.is_known());
}

/// Most clusters do not count users.
#[test]
fn a_node_that_never_had_a_user_tells_of_none() {
    let mut world = World::new(1, 8);
    let link = &mut world.nodes[0].link;
    let mut told = Vec::new();
    for now in (1_000..5 * USERS_ROUND_MS).step_by(50) {
        link.handle(Tick(now), Input::Turn);
        told.extend(std::iter::from_fn(|| link.poll_message()));
    }
    let is_announcement =
        |(_, message): &(Tick, Message)| message.payload.get(1).copied() == Some(1);
    assert!(
        !told.is_empty() && told.iter().all(is_announcement),
        "{told:?}"
    );
}
