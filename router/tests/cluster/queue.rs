use bytes::Bytes;
use ringmain_router::Tick;
use ringmain_router::cluster::limits::{MESSAGE_OVERHEAD_BYTES, REPLIES_MAX};
use ringmain_router::cluster::outbound::{Outbound, OutboundLimits};
use ringmain_router::cluster::{Counters, LinkDrop, Message};

fn message(text: &str) -> Message {
    Message {
        subject: text.to_owned(),
        payload: Bytes::from(vec![b'x'; 744]),
        publications: 1,
    }
}

fn queue() -> (Outbound, Counters) {
    // Ten messages of 1,000 bytes with what lies around them.
    let limits = OutboundLimits {
        bytes_max: 10 * (744 + MESSAGE_OVERHEAD_BYTES),
        wait_ms: 500,
    };
    (Outbound::new(limits), Counters::default())
}

#[test]
fn the_oldest_make_room_and_are_counted() {
    let (mut queue, mut counters) = queue();
    for n in 0..13 {
        queue.push(message(&n.to_string()), Tick(n), &mut counters);
    }
    assert_eq!(counters.drops[LinkDrop::QueueFull as usize], 3);
    assert_eq!(queue.len(), 10);
    assert_eq!(queue.pop().unwrap().1.subject, "3");
}

#[test]
fn what_waits_for_too_long_is_dropped_and_counted() {
    let (mut queue, mut counters) = queue();
    for at in [0, 100, 200] {
        queue.push(message(&at.to_string()), Tick(at), &mut counters);
    }
    queue.expire(Tick(499), &mut counters);
    assert_eq!(queue.len(), 3);
    queue.expire(Tick(600), &mut counters);
    assert_eq!(counters.drops[LinkDrop::QueueExpired as usize], 2);
    assert_eq!(queue.pop().unwrap(), (Tick(200), message("200")));
    assert!(queue.is_empty() && queue.bytes() == 0);
}

#[test]
fn the_links_own_messages_go_first_and_replies_apart() {
    let (mut queue, mut counters) = queue();
    let own = |text| Message {
        publications: 0,
        ..message(text)
    };
    queue.push(message("publication"), Tick(0), &mut counters);
    queue.push_reply(own("reply"), Tick(1), &mut counters);
    queue.push_notice(own("announcement"), Tick(2));
    assert_eq!(queue.pop(), Some((Tick(2), own("announcement"))));
    assert_eq!(queue.pop(), Some((Tick(0), message("publication"))));
    assert!(queue.pop().is_none() && queue.is_empty());
    assert!(queue.has_replies());
    assert_eq!(queue.pop_reply(), Some((Tick(1), own("reply"))));
    assert!(queue.pop_reply().is_none() && !queue.has_replies());
}

#[test]
fn a_flood_of_replies_is_bounded_counted_and_costs_no_announcement() {
    let (mut queue, mut counters) = queue();
    queue.push_notice(message("announcement"), Tick(0));
    for n in 0..REPLIES_MAX as u64 + 7 {
        queue.push_reply(message(&n.to_string()), Tick(n), &mut counters);
    }
    assert_eq!(counters.drops[LinkDrop::QueueFull as usize], 7);
    assert_eq!(queue.pop().unwrap().1.subject, "announcement");
    assert_eq!(queue.pop_reply().unwrap().1.subject, "7");
    queue.expire(Tick(500 + 9), &mut counters);
    assert_eq!(counters.drops[LinkDrop::QueueExpired as usize], 2);
    assert_eq!(queue.pop_reply().unwrap().1.subject, "10");
}

#[test]
fn a_message_larger_than_the_queue_waits_alone() {
    let (mut queue, mut counters) = queue();
    let large = Message {
        payload: Bytes::from(vec![b'x'; 20_000]),
        ..message("large")
    };
    queue.push(large, Tick(0), &mut counters);
    assert_eq!(
        queue.pop().map(|(_, message)| message.subject),
        Some("large".to_owned())
    );
    assert_eq!(counters.drops[LinkDrop::QueueFull as usize], 0);
    assert_eq!(queue.bytes(), 0);
}
