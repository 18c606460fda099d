//! Several cores of one node, run in one thread over lanes of four frames, in any order that the
//! seed gives: joins, leaves, publications of members and of others, blocked sockets, turns, rooms that drop for slow
//! consumers. What members receive is held against what was published, and what they miss against what was counted.
//!
//! `SEED=17 cargo test -p ringmain-core --test many_cores` runs one seed again.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod node;
mod oracle;

use node::Node;

/// A small generator, so that a seed means the same on every machine and in every year.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Any number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Runs one seed; returns how many messages were dropped by each policy.
fn run(seed: u64) -> [u64; 2] {
    let mut random = Random(seed);
    let cores = 1 + random.below(4);
    let rooms = 1 + random.below(4);
    let steps = 100 + random.below(300);
    let mut node = Node::new(cores, rooms, seed, &mut random);
    for _ in 0..steps {
        match random.below(24) {
            0..4 => node.connect(&mut random),
            4 => node.disconnect(&mut random),
            5..10 => node.publish(&mut random),
            20 => node.connect_publisher(&mut random),
            21..24 => node.post(&mut random),
            10 => node.pass_time(random.below(40) as u64),
            11 => node.toggle_socket(&mut random),
            _ => {
                let core = random.below(cores);
                node.turn(core, &mut random);
            }
        }
    }
    node.settle(&mut random);
    node.check_members();
    node.close_all(&mut random);
    node.check_empty();
    node.check_counts()
}

#[test]
fn every_member_receives_every_message_once_and_in_order_or_its_loss_is_counted() {
    if let Ok(seed) = std::env::var("SEED") {
        run(seed.parse().expect("SEED is a number"));
        return;
    }
    let mut dropped = [0; 2];
    for seed in 0..4_000 {
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(of_seed) => {
                dropped[0] += of_seed[0];
                dropped[1] += of_seed[1];
            }
            Err(_) => panic!("seed {seed} failed; run it again with SEED={seed}"),
        }
    }
    assert!(
        dropped.iter().all(|&dropped| dropped > 1_000),
        "the policies were tried: {dropped:?}"
    );
}
