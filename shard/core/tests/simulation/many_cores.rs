//! Several cores of one node, in any order that the seed gives.

use ringmain_core::Tick;

use crate::node::{Node, Setup, secret, settings};
use crate::{Random, each_seed};

/// Runs one seed; returns how many messages were dropped by each policy.
fn run(seed: u64) -> [u64; 2] {
    let mut random = Random(seed);
    let cores = 1 + random.below(4);
    let rooms = 1 + random.below(4);
    let steps = 100 + random.below(300);
    let (mut node, _) = Node::new(Setup {
        cores,
        rooms: (0..rooms).map(|_| settings(&mut random)).collect(),
        room_secret: secret(seed),
        first: 0,
        linked: false,
        far_may_miss: false,
        now: Tick(0),
    });
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
    node.close_all();
    node.settle(&mut random);
    node.check_empty();
    node.check_counts()
}

#[test]
fn every_member_receives_every_message_once_and_in_order_or_its_loss_is_counted() {
    let mut dropped = [0; 2];
    let is_usual = each_seed(4_000, |seed| {
        let of_seed = run(seed);
        dropped[0] += of_seed[0];
        dropped[1] += of_seed[1];
    });
    assert!(
        !is_usual || dropped.iter().all(|&dropped| dropped > 1_000),
        "the policies were tried: {dropped:?}"
    );
}
