//! What one core promises of compressed connections.

use ringmain_core::compression::Compression;
use ringmain_core::limits::TURN_COMPRESSION_BYTES_MAX;
use ringmain_core::{
    CloseReason, ConnId, DropReason, Input, Limits, RoomSettings, SlowConsumer, Target,
};
use ringmain_proto::ws::deflate::{Agreement, Deflater, Rules, WindowBits, negotiate};
use ringmain_router::RoomName;

use crate::harness::{One, Seen, compressed_frame};

const KIB: usize = 1024;

fn compression(takeover: bool) -> Compression {
    Compression {
        level: 6,
        bytes_min: 100,
        rules: Rules {
            takeover,
            window: WindowBits::MAX,
        },
    }
}

fn limits(takeover: bool) -> Limits {
    Limits {
        compression: Some(compression(takeover)),
        ..Limits::default()
    }
}

/// What a client gets that offers this.
fn agreed(takeover: bool, offer: &str) -> Option<Agreement> {
    let rules = compression(takeover).rules;
    let agreement = negotiate([offer.as_bytes()], &rules).unwrap();
    assert!(agreement.is_some(), "{offer}");
    agreement
}

fn lobby() -> Target {
    Target::Raw {
        room: RoomName::new(b"lobby").unwrap(),
        to_self: false,
    }
}

fn members(one: &mut One, count: usize, agreement: Option<Agreement>) -> Vec<ConnId> {
    (0..count)
        .map(|_| one.open_compressed(lobby(), agreement))
        .collect()
}

/// Text as programs send it, `bytes` long, different for each `seed`.
fn json(seed: usize, bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    for n in seed.. {
        text += &format!(
            "{{\"id\":{n},\"symbol\":\"ABC{}\",\"price\":{}}},",
            n % 7,
            n * n % 1000
        );
        if text.len() >= bytes {
            break;
        }
    }
    text.truncate(bytes);
    text.into_bytes()
}

/// Bytes that nothing makes shorter.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(next).collect()
}

#[test]
fn a_publication_to_a_thousand_members_is_compressed_once_and_shared() {
    let mut one = One::new(limits(false));
    let publisher = one.member("lobby");
    let members = members(&mut one, 1_000, agreed(false, "permessage-deflate"));
    let message = json(0, 4 * KIB);
    one.say(publisher, &message);
    one.turn_once(0);
    assert_eq!(one.stats.deflated_messages.get(), 1);
    assert_eq!(one.stats.deflated_bytes_in.get(), message.len() as u64);
    let compressed_bytes = one.stats.deflated_bytes_out.get() as usize;
    assert!(compressed_bytes < message.len() / 2, "{compressed_bytes}");
    let held = one.core.memory_bytes();
    assert!(
        held <= compressed_bytes + 10,
        "{held} bytes: it is not shared"
    );
    one.turn();
    for &member in &members {
        assert_eq!(one.messages(member), vec![message.clone()]);
        assert_eq!(one.sockets[&member].compressed, 1);
    }
    assert_eq!(one.stats.deflated_messages.get(), 1);
    assert_eq!(one.core.memory_bytes(), 0);
}

#[test]
fn members_share_by_their_parameters() {
    let mut one = One::new(limits(false));
    let plain = members(&mut one, 20, None);
    let wide = members(&mut one, 20, agreed(false, "permessage-deflate"));
    let offer = "permessage-deflate; server_max_window_bits=10";
    let narrow = members(&mut one, 20, agreed(false, offer));
    let message = json(7, 3 * KIB);
    one.say(plain[0], &message);
    one.turn();
    assert_eq!(one.stats.deflated_messages.get(), 2);
    for (members, compressed) in [(&plain[1..], 0), (&wide[..], 1), (&narrow[..], 1)] {
        for &member in members {
            assert_eq!(one.messages(member), vec![message.clone()]);
            assert_eq!(one.sockets[&member].compressed, compressed);
        }
    }
}

#[test]
fn what_is_short_or_does_not_become_shorter_is_sent_as_it_is_and_shared() {
    let mut one = One::new(limits(false));
    let members = members(&mut one, 50, agreed(false, "permessage-deflate"));
    let plain = one.member("lobby");
    for (message, tried) in [(vec![b'x'; 99], 0), (noise(2 * KIB), 1)] {
        one.say(plain, &message);
        one.turn_once(0);
        assert_eq!(one.stats.deflated_messages.get(), tried);
        assert!(one.core.memory_bytes() <= message.len() + 10);
        one.turn();
        for &member in &members {
            assert_eq!(one.messages(member), vec![message.clone()]);
            assert_eq!(one.sockets[&member].compressed, 0);
        }
    }
}

#[test]
fn what_a_client_compresses_reaches_those_who_do_not() {
    let mut one = One::new(limits(false));
    let plain = one.member("lobby");
    let compressed = members(&mut one, 2, agreed(false, "permessage-deflate"));
    let message = json(3, 5 * KIB);
    one.say_compressed(compressed[0], &message);
    one.turn();
    assert_eq!(one.messages(plain), vec![message.clone()]);
    assert_eq!(one.messages(compressed[1]), vec![message.clone()]);
    assert_eq!(one.stats.inflated_messages.get(), 1);
    assert_eq!(one.stats.inflated_bytes_out.get(), message.len() as u64);
    assert!(one.stats.inflated_bytes_in.get() < message.len() as u64 / 2);
    // Neither way needs memory that outlasts the message.
    assert_eq!(one.core.memory_bytes(), 0);
}

#[test]
fn replies_are_compressed_in_order_with_those_that_are_not() {
    let mut one = One::new(limits(false));
    let echo = one.open_compressed(Target::Echo, agreed(false, "permessage-deflate"));
    let messages = [
        json(0, 300),
        b"short".to_vec(),
        json(1, 20 * KIB),
        noise(300),
        json(2, 300),
    ];
    for message in &messages {
        one.say(echo, message);
    }
    one.turn();
    assert_eq!(one.messages(echo), messages);
    assert_eq!(one.sockets[&echo].compressed, 3);
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let mut one = One::new(limits(false));
    let bystander = one.echo();
    let bomber = one.open_compressed(Target::Echo, agreed(false, "permessage-deflate"));
    let max = one.core.limits().message_bytes_max;
    let mut deflater = Deflater::new(9, WindowBits::MAX);
    // At the limit it is a message as any other; a byte more is not.
    let largest = compressed_frame(deflater.deflate(&vec![0; max], &[]).unwrap());
    one.receive(bomber, &largest);
    one.turn();
    assert_eq!(one.messages(bomber), [vec![0; max]]);
    let bomb = compressed_frame(deflater.deflate(&vec![0; 60 << 20], &[]).unwrap());
    assert!(bomb.len() < max, "only inflating it shows what it is");
    one.receive(bomber, &bomb);
    one.turn();
    assert_eq!(one.seen(bomber), [Seen::Close(1009), Seen::HalfClosed]);
    one.end(bomber);
    assert_eq!(one.closed(CloseReason::MessageTooBig), 1);
    assert_eq!(one.stats.inflated_bytes_out.get(), max as u64);
    one.say(bystander, b"still here");
    one.turn();
    assert_eq!(one.messages(bystander), [b"still here"]);
}

#[test]
fn what_cannot_be_inflated_closes_its_sender_with_1007() {
    let mut one = One::new(limits(false));
    let conn = one.open_compressed(Target::Echo, agreed(false, "permessage-deflate"));
    one.receive(conn, &compressed_frame(&[0xFF; 20]));
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Close(1007), Seen::HalfClosed]);
    one.end(conn);
    assert_eq!(one.closed(CloseReason::InvalidCompression), 1);
}

#[test]
fn without_an_agreement_a_compressed_message_is_a_protocol_error() {
    let mut one = One::new(limits(false));
    let conn = one.echo();
    one.receive(conn, &compressed_frame(&[0]));
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Close(1002), Seen::HalfClosed]);
}

#[test]
fn contexts_make_later_messages_short_and_are_let_go_with_the_connection() {
    let mut one = One::new(limits(true));
    let echo = one.open_compressed(Target::Echo, agreed(true, "permessage-deflate"));
    let message = json(0, 2 * KIB);
    let mut sent = Vec::new();
    for _ in 0..40 {
        let before = one.sockets[&echo].bytes;
        one.say_compressed(echo, &message);
        one.turn();
        assert_eq!(one.messages(echo), vec![message.clone()]);
        sent.push(one.sockets[&echo].bytes - before);
    }
    assert!(sent[1] < sent[0] / 5, "{sent:?}");
    let held = one.core.memory_bytes();
    assert_eq!(held, 2 * WindowBits::MAX.bytes(), "one window each way");
    assert_eq!(one.stats.compression_context_bytes.get(), held as u64);
    one.end(echo);
    one.turn();
    assert_eq!(one.core.memory_bytes(), 0);
    assert_eq!(one.stats.compression_context_bytes.get(), 0);
}

#[test]
fn members_with_contexts_hear_everything_in_order_beside_those_without() {
    let mut one = One::new(limits(true));
    let publisher = one.open_compressed(lobby(), agreed(true, "permessage-deflate"));
    let own = members(&mut one, 10, agreed(true, "permessage-deflate"));
    let offer = "permessage-deflate; server_no_context_takeover";
    let shared = members(&mut one, 10, agreed(true, offer));
    let messages: Vec<_> = (0..30).map(|n| json(n, 50 + 40 * n)).collect();
    for message in &messages {
        one.say_compressed(publisher, message);
    }
    one.turn();
    for &member in own.iter().chain(&shared) {
        assert_eq!(one.messages(member), messages);
    }
    assert!(one.sockets[&own[0]].bytes < one.sockets[&shared[0]].bytes / 2);
}

/// Only the newest waits for who does not read.
const KEEP_LATEST: RoomSettings = RoomSettings {
    slow_consumer: SlowConsumer::KeepLatest,
    queue_bytes_max: 10_000,
    queue_messages_max: 8,
    message_rate: None,
};

#[test]
fn where_publications_may_be_dropped_none_refers_to_another() {
    let mut one = One::new(limits(true));
    one.set_rooms(KEEP_LATEST);
    let publisher = one.member("lobby");
    let slow = one.open_compressed(lobby(), agreed(true, "permessage-deflate"));
    let messages: Vec<_> = (0..20).map(|n| json(n, KIB)).collect();
    one.say(publisher, &messages[0]);
    one.turn();
    one.sockets.get_mut(&slow).unwrap().is_stuck = true;
    for message in &messages[1..] {
        one.say(publisher, message);
        one.turn();
    }
    one.unstick(slow);
    one.turn();
    // All of them would be garbage if the newest referred to one that was dropped.
    assert_eq!(
        one.messages(slow),
        [messages[0].clone(), messages[19].clone()]
    );
    assert_eq!(one.dropped(DropReason::KeepLatest), 18);
    assert_eq!(one.sockets[&slow].compressed, 2);
}

#[test]
fn what_refers_to_messages_before_it_is_not_dropped_when_the_policy_changes() {
    let mut one = One::new(limits(true));
    let publisher = one.member("lobby");
    let slow = one.open_compressed(lobby(), agreed(true, "permessage-deflate"));
    one.sockets.get_mut(&slow).unwrap().is_stuck = true;
    let messages: Vec<_> = (0..20).map(|n| json(n, KIB)).collect();
    for message in &messages[..10] {
        one.say(publisher, message);
        one.turn();
    }
    one.set_rooms(KEEP_LATEST);
    for message in &messages[10..] {
        one.say(publisher, message);
        one.turn();
    }
    one.unstick(slow);
    one.turn();
    let expected = [&messages[..10], &messages[19..]].concat();
    assert_eq!(one.messages(slow), expected);
    // Nor does any later one refer to what may have been dropped, should the policy be the old one again.
    one.set_rooms(RoomSettings::default());
    one.say(publisher, &messages[12]);
    one.say(publisher, &messages[12]);
    one.turn();
    assert_eq!(one.messages(slow), vec![messages[12].clone(); 2]);
}

#[test]
fn contexts_take_a_quarter_of_the_memory_and_further_connections_none() {
    let mut one = One::new(Limits {
        memory_bytes_max: 2 << 20,
        ..limits(true)
    });
    let wanted = agreed(true, "permessage-deflate").unwrap();
    let first: Vec<_> = (0..8)
        .map(|_| one.open_compressed(Target::Echo, Some(wanted)))
        .collect();
    assert_eq!(one.core.affordable(wanted), wanted.without_takeover());
    let late = one.open_compressed(Target::Echo, Some(wanted));
    one.say_compressed(late, &json(0, KIB));
    one.say_compressed(late, &json(0, KIB));
    one.turn();
    assert_eq!(one.messages(late), vec![json(0, KIB); 2]);
    assert_eq!(one.core.memory_bytes(), 0);
    one.end(first[0]);
    assert_eq!(one.core.affordable(wanted), wanted);
}

#[test]
fn a_turn_inflates_no_more_than_its_budget() {
    let mut one = One::new(limits(false));
    let hog = one.open_compressed(Target::Echo, agreed(false, "permessage-deflate"));
    let other = one.open_compressed(Target::Echo, agreed(false, "permessage-deflate"));
    let max = one.core.limits().message_bytes_max;
    let message = one.sockets.get_mut(&hog).unwrap().compress(&vec![0; max]);
    one.receive(hog, &message.repeat(200));
    // What is inflated is compressed again for the reply.
    let a_turn = TURN_COMPRESSION_BYTES_MAX / max / 2;
    assert_eq!(one.stats.messages_in.get(), a_turn as u64);
    one.say(other, &json(0, 300));
    one.turn_once(usize::MAX);
    assert_eq!(one.stats.messages_in.get(), 2 * a_turn as u64);
    assert!(
        one.core.has_work(),
        "the rest comes in the turns that follow"
    );
    one.turn_once(usize::MAX);
    one.turn();
    assert_eq!(
        one.messages(other),
        [json(0, 300)],
        "it has its turn among them"
    );
    assert_eq!(one.messages(hog), vec![vec![0; max]; 200]);
    assert!(one.core.is_reading(hog));
}

#[test]
fn a_turn_compresses_no_more_than_its_budget_and_all_is_delivered() {
    let mut one = One::new(limits(true));
    let publisher = one.member("lobby");
    let members = members(&mut one, 100, agreed(true, "permessage-deflate"));
    let messages = [json(0, 60 * KIB), json(1, 60 * KIB)];
    for message in &messages {
        one.say(publisher, message);
    }
    one.turn_once(usize::MAX);
    let first = one.stats.deflated_bytes_in.get() as usize;
    assert!(first < TURN_COMPRESSION_BYTES_MAX + 60 * KIB, "{first}");
    assert!(one.core.has_work());
    one.turn();
    for member in members {
        assert_eq!(one.messages(member), messages);
    }
}

#[test]
fn compression_can_be_turned_off_under_open_connections() {
    let mut one = One::new(limits(true));
    let echo = one.open_compressed(Target::Echo, agreed(true, "permessage-deflate"));
    let message = json(0, KIB);
    one.say_compressed(echo, &message);
    one.turn();
    one.core.handle(one.now, Input::Configure(Box::default()));
    one.say_compressed(echo, &message);
    one.turn();
    assert_eq!(one.messages(echo), [message.clone(), message]);
    assert_eq!(one.sockets[&echo].compressed, 1);
}

#[test]
fn a_closing_connection_reads_compressed_messages_up_to_the_close() {
    let mut one = One::new(limits(false));
    let conn = one.open_compressed(Target::Echo, agreed(false, "permessage-deflate"));
    one.core
        .handle(one.now, Input::Frame(ringmain_router::ShardFrame::Stop));
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Close(1012)]);
    one.say_compressed(conn, &json(0, KIB));
    one.frame(conn, ringmain_proto::ws::Opcode::Close, &[]);
    one.turn();
    assert_eq!(one.seen(conn), [Seen::Shut]);
}

#[test]
fn what_was_agreed_on_has_no_memory_of_its_own() {
    // A connection and its session keep their size: both ways fit in what was padding.
    assert_eq!(
        size_of::<Option<ringmain_proto::ws::deflate::Direction>>(),
        2
    );
}
