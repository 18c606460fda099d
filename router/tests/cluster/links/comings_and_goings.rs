//! Nodes that leave, stand still, or lose the broker for a while.

use ringmain_router::cluster::{Bucket, Envelope};

use super::*;

#[test]
fn who_leaves_says_so_after_its_last_publication() {
    let mut world = World::new(2);
    world.join(1, 0, true);
    world.run(1_100);
    // So many that the queue is more than half full.
    for n in 0..300 {
        let cell = world.nodes[0].cells[0].clone();
        let publication = Arc::new(Publication {
            kind: PayloadKind::Text,
            payload: Bytes::from(format!("{n:>200}")),
            exclude: None,
            began: None,
        });
        let frame = ShardFrame::ToCluster { cell, publication };
        let now = world.now;
        world.nodes[0].link.handle(now, Input::Frame(frame));
    }
    let now = world.now;
    let link = &mut world.nodes[0].link;
    link.handle(now, Input::Leave);
    let messages = std::iter::from_fn(|| link.poll_message());
    let messages: Vec<_> = messages.map(|(_, message)| message).collect();
    let last = messages.last().unwrap();
    assert_eq!(last.subject, "ringmain.here.nodes");
    let publications: u64 = messages.iter().map(|it| it.publications).sum();
    assert_eq!(publications, 300);
    world.pass_on(Some(0), &last.clone(), None);
    world.run(5);
    assert_eq!(
        world.nodes[1].changes.last(),
        Some(&Change::Left("node-0".parse().unwrap()))
    );
}

#[test]
fn an_outage_is_no_part_of_the_way_between_two_nodes() {
    let mut world = World::new(2);
    world.run(2_100);
    world.nodes[0].is_cut = true;
    world.handle(0, Input::Disconnected);
    world.run(2_000);
    world.nodes[0].is_cut = false;
    let payload_bytes_max = 1_000;
    world.handle(0, Input::Connected { payload_bytes_max });
    world.run(5);
    let node = "node-0".parse().unwrap();
    let peer = &world.nodes[1].link.membership().peers()[&node];
    assert_eq!(peer.round_trip_ms, Some(6));
    let node = "node-1".parse().unwrap();
    let peer = &world.nodes[0].link.membership().peers()[&node];
    assert!(world.now.since(peer.heard) > 1_000, "nobody was heard of");
    assert!(
        !world.nodes[0]
            .changes
            .iter()
            .any(|change| matches!(change, Change::Gone(_)))
    );
}

#[test]
fn who_was_stopped_itself_does_not_take_the_others_for_gone() {
    let mut world = World::new(2);
    world.run(2_100);
    world.nodes[0].changes.clear();
    // The whole machine stood still for this node, such as for a debugger.
    world.now = world.now.plus(60_000);
    world.handle(0, Input::Turn);
    assert_eq!(world.nodes[0].changes, []);
    // From now on there would be something to hear.
    world.nodes[1].is_cut = true;
    world.run(2_800);
    assert_eq!(world.nodes[0].changes, []);
    world.run(200);
    assert_eq!(
        world.nodes[0].changes,
        [Change::Gone("node-1".parse().unwrap())]
    );
}

#[test]
fn a_tail_that_was_lost_in_an_outage_is_told_after_it() {
    let mut world = World::new(2);
    world.join(1, 0, true);
    world.run(5);
    world.publish(0, 0, "first");
    world.run(10);
    // The broker goes, and takes along what it was just given; it comes back after a long time.
    world.nodes[0].is_cut = true;
    world.publish(0, 0, "lost");
    world.handle(0, Input::Disconnected);
    world.run(20_000);
    world.nodes[0].is_cut = false;
    let payload_bytes_max = 1_000;
    world.handle(0, Input::Connected { payload_bytes_max });
    world.run(3_000);
    assert_eq!(world.missed(1), 1);
}

#[test]
fn what_comes_a_second_time_of_a_node_that_has_left_is_not_delivered_again() {
    let mut world = World::new(4);
    world.join(3, 0, true);
    world.run(1_100);
    world.publish(0, 0, "last words");
    world.run(10);
    world.handle(0, Input::Leave);
    world.run(10);
    // Others take its place in the room's table, which grows.
    world.publish(1, 0, "one");
    world.publish(2, 0, "two");
    world.run(10);
    let envelope = Envelope {
        source: world.nodes[0].link.me().clone(),
        generation: 1,
        sequence: 1,
        kind: PayloadKind::Text,
        payload: Bytes::from_static(b"last words"),
        more: Vec::new(),
    };
    let bucket = Subscription::Bucket(Bucket::of(&name("lobby")));
    let subject = world.nodes[3].link.subject(bucket).replace('*', "lobby");
    let payload = envelope.encode();
    let inbound = Inbound {
        subject,
        reply: None,
        payload,
    };
    world.handle(3, Input::Received(inbound));
    assert_eq!(world.delivered(3, 0), ["last words", "one", "two"]);
}
