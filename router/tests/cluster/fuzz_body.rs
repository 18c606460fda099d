//! What the fuzzer of the cluster's protocol runs, and what the tests replay over its corpus.

use std::sync::Arc;

use bytes::Bytes;
use ringmain_router::cluster::limits::{
    BUNDLE_PARTS_MAX, NODES_MAX, REPEAT_ROOMS_MAX, ROOM_STREAMS_MAX, TEXT_BYTES_MAX,
    USERS_IN_NOTICE_MAX,
};
use ringmain_router::cluster::notice::Notice;
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::plain::{NoRates, PlainLimits};
use ringmain_router::cluster::subject::{Address, TOKEN_BYTES_MAX, room_of, token};
use ringmain_router::cluster::{
    Bucket, ClusterLink, Envelope, Inbound, Input, LinkConfig, Output, Subjects,
};
use ringmain_router::{PayloadKind, RoomName, ShardFrame, Subject, Tick};

use crate::fixture::{SECRET, cell, name};

/// The first byte chooses what the rest is.
pub fn run(data: &[u8]) {
    let Some((&what, rest)) = data.split_first() else {
        return;
    };
    match what % 4 {
        0 => envelope(Bytes::copy_from_slice(rest)),
        1 => notice(&Bytes::copy_from_slice(rest)),
        2 => subject(rest),
        _ => link(rest),
    }
}

fn envelope(bytes: Bytes) {
    let naive = naive_envelope(&bytes);
    match Envelope::decode(&bytes) {
        Ok(envelope) => {
            assert_eq!(envelope.encode(), bytes, "one form for each envelope");
            let mut parts = vec![(envelope.kind, envelope.payload)];
            parts.extend(envelope.more);
            assert!(parts.len() <= BUNDLE_PARTS_MAX);
            let within = bytes.as_ptr_range();
            for (_, payload) in &parts {
                let is_part = within.contains(&payload.as_ptr());
                assert!(payload.is_empty() || is_part, "a payload is no copy");
            }
            let parts: Vec<_> = parts
                .iter()
                .map(|(kind, part)| (*kind, &part[..]))
                .collect();
            assert_eq!(naive, Some(parts));
        }
        Err(error) => assert_eq!(naive, None, "refused: {error}"),
    }
}

/// What the documentation's table says, read by places: the payloads.
fn naive_envelope(bytes: &[u8]) -> Option<Vec<(PayloadKind, &[u8])>> {
    let (&[version, kind, length], rest) = bytes.split_first_chunk::<3>()?;
    let (node, rest) = rest.split_at_checked(length.into())?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    if version != 1 || !(1..=32).contains(&length) || !node.iter().all(is_plain) {
        return None;
    }
    let (_, mut rest) = rest.split_at_checked(8)?;
    let (_, sequence) = (naive_number(&mut rest)?, naive_number(&mut rest)?);
    let mut parts = Vec::new();
    if kind == 3 {
        while parts.len() < 2 || !rest.is_empty() {
            let (kind, behind) = rest.split_first()?;
            rest = behind;
            let length = naive_number(&mut rest)?;
            let (part, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = behind;
            parts.push((*kind, part));
        }
    } else {
        parts.push((kind, rest));
    }
    let is_last = sequence.checked_add(parts.len() as u64 - 1);
    if sequence == 0 || is_last.is_none() || parts.len() > BUNDLE_PARTS_MAX {
        return None;
    }
    let checked = |(kind, part): (u8, _)| match kind {
        1 => std::str::from_utf8(part)
            .is_ok()
            .then_some((PayloadKind::Text, part)),
        2 => Some((PayloadKind::Binary, part)),
        _ => None,
    };
    parts.into_iter().map(checked).collect()
}

/// A number of seven bits a byte, in its shortest form.
fn naive_number(rest: &mut &[u8]) -> Option<u64> {
    let digits = rest.iter().position(|byte| *byte < 0x80)? + 1;
    let (number, behind) = rest.split_at(digits);
    *rest = behind;
    if digits > 10 || (digits > 1 && number.last() == Some(&0)) {
        return None;
    }
    let places = number.iter().enumerate();
    let number: u128 = places
        .map(|(place, byte)| u128::from(byte & 0x7F) << (7 * place))
        .sum();
    number.try_into().ok()
}

fn notice(bytes: &Bytes) {
    let Ok((source, notice)) = Notice::decode(bytes) else {
        return;
    };
    assert_eq!(notice.encode(&source), bytes, "one form for each notice");
    match notice {
        Notice::Announcement(told) => {
            assert!(told.heard.len() <= NODES_MAX);
            assert!(told.address.len().max(told.version.len()) <= TEXT_BYTES_MAX);
        }
        Notice::Leave | Notice::Close(_) => {}
        Notice::Users(told) => assert!(told.users.len() <= USERS_IN_NOTICE_MAX),
        Notice::Last(rooms) => assert!(rooms.len() <= REPEAT_ROOMS_MAX),
    }
}

fn subject(bytes: &[u8]) {
    let subjects = Subjects::new(&"here".parse().unwrap());
    if let Ok(text) = std::str::from_utf8(bytes) {
        match subjects.address(&format!("ringmain.here.{text}")) {
            Some(Ok(Address::Room(room) | Address::Publish(room))) => {
                room_travels(&subjects, &room)
            }
            Some(Ok(Address::Nodes)) => assert_eq!(text, "nodes"),
            Some(Ok(Address::Last)) => assert_eq!(text, "last"),
            Some(Err(_)) => assert!(text.starts_with("room.") || text.starts_with("publish.")),
            None => {}
        }
        if let Ok(room) = room_of(text) {
            room_travels(&subjects, &room);
        }
    }
    if let Ok(room) = RoomName::new(bytes) {
        room_travels(&subjects, &room);
    }
}

/// Whatever its name, a room's subject has no meaning to the broker, and leads back to it.
fn room_travels(subjects: &Subjects, room: &RoomName) {
    let token = token(room);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    assert!(token.bytes().all(is_plain) && token.len() <= TOKEN_BYTES_MAX);
    assert_eq!(room_of(&token).as_ref(), Ok(room));
    let bucket = Bucket::of(room);
    let subject = subjects.room(bucket, room);
    assert_eq!(
        subject.replace(&token, "*"),
        subjects.bucket(bucket).replace(&token, "*")
    );
    let address = subjects.address(&subject);
    assert_eq!(address, Some(Ok(Address::Room(room.clone()))));
    let address = subjects.address(&subjects.publish(room));
    assert_eq!(address, Some(Ok(Address::Publish(room.clone()))));
}

/// What the link of one node is sent: each step is a byte that says what, one with a length, and so many bytes.
fn link(bytes: &[u8]) {
    let outbound = OutboundLimits {
        bytes_max: 20_000,
        wait_ms: 500,
    };
    let mut now = Tick(1_000);
    let config = LinkConfig {
        cluster: "here".parse().unwrap(),
        node: "me".parse().unwrap(),
        incarnation: 7,
        address: "10.0.0.1:80".to_owned(),
        version: "1".to_owned(),
        room_secret: SECRET,
        outbound,
        plain: PlainLimits {
            message_bytes_max: 100,
            rate: None,
            rooms: Arc::new(NoRates),
        },
        shards: 1,
    };
    let mut link = ClusterLink::new(config, now);
    let payload_bytes_max = 200;
    link.handle(now, Input::Connected { payload_bytes_max });
    let cell = cell("a");
    let members = |are_there| {
        Input::Frame(ShardFrame::Members {
            cell: cell.clone(),
            are_there,
        })
    };
    link.handle(now, members(true));
    let subjects = Subjects::new(&"here".parse().unwrap());
    let room = subjects.room(Bucket::of(&name("a")), &name("a"));
    let mut rest = bytes;
    while let [what, length, more @ ..] = rest {
        let (payload, more) = more.split_at(more.len().min((*length).into()));
        rest = more;
        let received = |subject: String| {
            Input::Received(Inbound {
                subject,
                reply: (what & 0x80 != 0).then(|| "inbox".to_owned()),
                payload: Bytes::copy_from_slice(payload),
            })
        };
        let input = match what & 0x7F {
            0 => received(room.clone()),
            1 => received(subjects.nodes()),
            2 => received(subjects.last()),
            3 => received(subjects.publish(&name("a"))),
            4 => received(format!(
                "ringmain.here.{}",
                String::from_utf8_lossy(payload)
            )),
            5 => Input::Disconnected,
            6 => Input::Connected { payload_bytes_max },
            7 => members(payload.is_empty()),
            8 => Input::Leave,
            10 => Input::Frame(ShardFrame::UserHere {
                user: SECRET.subject(Subject::User(&String::from_utf8_lossy(payload))),
                connections: (*what >> 7).into(),
            }),
            // A jump of up to about eighteen hours.
            _ => {
                let jump = payload.iter().take(2);
                now = now.plus(jump.fold(0, |ms, byte| ms << 8 | u64::from(*byte)) << (what & 10));
                Input::Turn
            }
        };
        link.handle(now, input);
        check(&mut link, now, what & 0x10 == 0);
    }
}

fn check(link: &mut ClusterLink, now: Tick, is_read: bool) {
    let mut changes = 0;
    while let Some(output) = link.poll_output() {
        changes += usize::from(matches!(output, Output::Changed(_)));
    }
    assert!(changes <= NODES_MAX + 1);
    assert!(link.membership().peers().len() <= NODES_MAX);
    assert!(link.rooms().subscribed() <= 1);
    if let Some(room) = link.rooms().get(SECRET.id(&name("a"))) {
        assert!(room.streams.len() <= ROOM_STREAMS_MAX);
    }
    assert!(link.outbound().bytes() <= 20_000 + 1_000);
    let orders = std::iter::from_fn(|| link.poll_order());
    assert!(orders.count() <= 1, "no step gives more");
    if is_read {
        while link.poll_message().is_some() {}
        while link.poll_answer().is_some() {}
        link.send_frames(now, |_, _| Ok(()));
    }
}
