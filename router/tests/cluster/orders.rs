//! Orders to close connections, between links: at most once, from nodes that are known alone, and bounded.

use bytes::Bytes;
use ringmain_router::PeerId;
use ringmain_router::cluster::limits::ORDERS_MAX;
use ringmain_router::cluster::notice::Notice;
use ringmain_router::cluster::orders::Order;
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{
    ClusterLink, Inbound, Input, LinkConfig, LinkDrop, Message, Source,
};
use ringmain_router::order::{CloseRequest, ConnectionName, Whom, Words, start_of};
use ringmain_router::tick::Tick;

use super::SECRET;

const NOW: Tick = Tick(5_000);

fn link(node: &str, incarnation: u64) -> ClusterLink {
    let config = LinkConfig {
        cluster: "here".parse().unwrap(),
        node: node.parse().unwrap(),
        incarnation,
        address: "10.0.0.1:80".to_owned(),
        version: "1".to_owned(),
        room_secret: SECRET,
        outbound: OutboundLimits {
            bytes_max: 100_000,
            wait_ms: 2_000,
        },
        plain: super::plain_limits(100),
        shards: 2,
    };
    let mut link = ClusterLink::new(config, Tick(1_000));
    let payload_bytes_max = 1_000;
    link.handle(Tick(1_000), Input::Connected { payload_bytes_max });
    link
}

fn messages(link: &mut ClusterLink) -> Vec<Message> {
    std::iter::from_fn(|| link.poll_message())
        .map(|(_, message)| message)
        .collect()
}

fn receive(link: &mut ClusterLink, message: &Message) {
    let inbound = Inbound {
        subject: message.subject.clone(),
        reply: None,
        payload: message.payload.clone(),
    };
    link.handle(NOW, Input::Received(inbound));
}

/// Two links that know each other.
fn two() -> [ClusterLink; 2] {
    let mut links = [link("one", 1 << 40 | 7), link("two", 2 << 40 | 9)];
    for (from, to) in [(0, 1), (1, 0)] {
        for message in messages(&mut links[from]) {
            receive(&mut links[to], &message);
        }
    }
    links
}

fn close(whom: Whom) -> CloseRequest {
    let words = Words::new(4_001, "until tomorrow".to_owned()).unwrap();
    CloseRequest { whom, words }
}

fn user(name: &str) -> CloseRequest {
    close(Whom::User(name.to_owned()))
}

fn of(node: &Source, index: u32) -> CloseRequest {
    close(Whom::Connection(ConnectionName {
        node: node.node.clone(),
        start: start_of(node.incarnation),
        shard: PeerId::shard(3).unwrap(),
        index,
        generation: 2,
    }))
}

fn give(link: &mut ClusterLink, request: &CloseRequest) -> Vec<Message> {
    link.handle(NOW, Input::Close(request.clone()));
    messages(link)
}

fn orders(link: &mut ClusterLink) -> Vec<CloseRequest> {
    std::iter::from_fn(|| link.poll_order()).collect()
}

#[test]
fn an_order_arrives_as_it_was_given_and_a_repetition_is_none() {
    let [mut one, mut two] = two();
    let requests = [user("ann"), user("b o\n*>"), of(two.me(), 70_000)];
    for request in &requests {
        assert_eq!(one.reaches(&request.whom), 1);
        let sent = give(&mut one, request);
        assert_eq!(sent.len(), 1);
        for _ in 0..2 {
            receive(&mut two, &sent[0]);
        }
        assert_eq!(orders(&mut two), std::slice::from_ref(request));
    }
    assert_eq!(one.counters().orders_sent, 3);
    assert_eq!(two.counters().orders_received, 3);
    assert_eq!(two.counters().drops[LinkDrop::Order as usize], 3);
}

#[test]
fn a_connections_order_is_for_its_node_and_for_no_other_start_of_it() {
    let [mut one, mut two] = two();
    let mut three = link("three", 3 << 40);
    for message in messages(&mut three) {
        receive(&mut two, &message);
    }
    let sent = give(&mut two, &of(one.me(), 1));
    receive(&mut three, &sent[0]);
    assert!(orders(&mut three).is_empty());
    receive(&mut one, &sent[0]);
    assert_eq!(orders(&mut one).len(), 1);
    let earlier = Source {
        node: one.me().node.clone(),
        incarnation: one.me().incarnation + 1,
    };
    let request = of(&earlier, 1);
    assert_eq!(two.reaches(&request.whom), 0);
    assert!(give(&mut two, &request).is_empty());
}

#[test]
fn an_order_of_a_node_that_is_not_known_is_refused_and_counted() {
    let [mut one, mut two] = two();
    let mut stranger = link("three", 3 << 40);
    for message in messages(&mut one) {
        receive(&mut stranger, &message);
    }
    one.handle(NOW, Input::Turn);
    for message in messages(&mut one) {
        receive(&mut stranger, &message);
    }
    let sent = give(&mut stranger, &user("ann"));
    assert_eq!(sent.len(), 2, "its announcement, and the order");
    receive(&mut two, &sent[1]);
    assert!(orders(&mut two).is_empty());
    assert_eq!(two.counters().drops[LinkDrop::Order as usize], 1);
    receive(&mut two, &sent[0]);
    receive(&mut two, &sent[1]);
    assert_eq!(orders(&mut two), [user("ann")]);
}

#[test]
fn more_orders_than_may_wait_are_dropped_and_counted() {
    let [mut one, mut two] = two();
    for n in 0..ORDERS_MAX + 5 {
        for message in give(&mut one, &user(&format!("user {n}"))) {
            receive(&mut two, &message);
        }
    }
    let taken = orders(&mut two);
    assert_eq!(taken.len(), ORDERS_MAX);
    assert_eq!(taken[0], user("user 0"));
    assert_eq!(two.counters().drops[LinkDrop::Order as usize], 5);
}

#[test]
fn without_the_broker_an_order_goes_nowhere_and_is_not_sent_later() {
    let [mut one, _] = two();
    one.handle(NOW, Input::Disconnected);
    assert_eq!(one.reaches(&user("ann").whom), 0);
    assert!(give(&mut one, &user("ann")).is_empty());
    let payload_bytes_max = 1_000;
    one.handle(NOW, Input::Connected { payload_bytes_max });
    assert_eq!(messages(&mut one).len(), 1, "the announcement alone");
    assert_eq!(one.counters().orders_sent, 0);
}

#[test]
fn what_is_no_order_is_unreadable() {
    let [mut one, mut two] = two();
    let good = give(&mut one, &user("ann")).remove(0);
    for cut in 1..good.payload.len() {
        let payload = good.payload.slice(..cut);
        receive(
            &mut two,
            &Message {
                payload,
                ..good.clone()
            },
        );
    }
    let mut longer = good.payload.to_vec();
    longer.push(0);
    let payload = Bytes::from(longer);
    receive(
        &mut two,
        &Message {
            payload,
            ..good.clone()
        },
    );
    assert!(orders(&mut two).is_empty());
    let unreadable = two.counters().drops[LinkDrop::Unreadable as usize];
    assert_eq!(unreadable, good.payload.len() as u64);
}

#[test]
fn a_number_that_is_claimed_in_a_nodes_name_does_not_silence_it() {
    let [one, mut two] = two();
    let order = |number| {
        let words = Words::new(1_008, String::new()).unwrap();
        let whom = Whom::User(format!("user {number}"));
        let request = CloseRequest { whom, words };
        Message {
            subject: "ringmain.here.nodes".to_owned(),
            payload: Notice::Close(Order { number, request }).encode(one.me()),
            publications: 0,
        }
    };
    receive(&mut two, &order(u64::MAX));
    assert!(two.poll_order().is_some());
    for number in 1..200 {
        receive(&mut two, &order(number));
        assert!(two.poll_order().is_some(), "order {number}");
        receive(&mut two, &order(number));
        assert!(two.poll_order().is_none(), "order {number} a second time");
    }
}
