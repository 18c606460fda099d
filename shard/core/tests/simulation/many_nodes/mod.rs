//! Several nodes over a made-up broker. Even seeds: nothing fails, and every member gets all once and in order. Odd seeds:
//! messages are lost and repeated, nodes die and come back, and the links' counters tell of every loss.

mod broker;
mod ledger;
mod member;
mod world;

use world::World;

use crate::{Random, each_seed};

/// What the seeds have tried, taken together.
#[derive(Debug, Default)]
struct Tried {
    received: u64,
    missed: u64,
    stale: u64,
    dropped: u64,
}

fn run(seed: u64, tried: &mut Tried) {
    let mut random = Random(seed);
    let mut world = World::new(seed, seed % 2 == 1, &mut random);
    for node in 0..world.len() {
        for _ in 0..random.below(8) {
            world.on(node, |it| it.connect(&mut random));
        }
    }
    for _ in 0..200 + random.below(300) {
        let node = random.below(world.len());
        match random.below(32) {
            0..2 => world.on(node, |it| it.connect(&mut random)),
            2 => world.on(node, |it| it.disconnect(&mut random)),
            3..12 => world.on(node, |it| it.publish(&mut random)),
            12 => world.on(node, |it| it.connect_publisher(&mut random)),
            13..23 => world.on(node, |it| it.post(&mut random)),
            23..25 => world.publish_plainly(&mut random),
            25 if random.one_in(4) => world.leave_or_come(node, &mut random),
            26..28 => world.trouble(node, &mut random),
            _ => {}
        }
        // All in all less than 3 s: until 5 s after a publication its loss is noticed.
        let milliseconds = random.below(5) as u64;
        world.pass(milliseconds, &mut random);
    }
    if random.one_in(4) {
        world.rolling_restart(&mut random);
    }
    if random.one_in(4) {
        world.slow_time(random.below(world.len()), &mut random);
    }
    world.heal(&mut random);
    world.settle(&mut random);
    world.check(tried);
    world.close(&mut random);
}

#[test]
fn every_node_gets_every_message_once_and_in_order_or_its_loss_is_counted() {
    let mut tried = Tried::default();
    let is_usual = each_seed(1_000, |seed| run(seed, &mut tried));
    let tried_each = [tried.missed, tried.stale, tried.dropped];
    assert!(
        !is_usual || tried.received > 100_000 && tried_each.iter().all(|&n| n > 1_000),
        "faults were tried: {tried:?}"
    );
}
