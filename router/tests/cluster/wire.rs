use bytes::Bytes;
use proptest::prelude::*;
use ringmain_router::cluster::limits::BUNDLE_PARTS_MAX;
use ringmain_router::cluster::notice::{Announcement, Heard, LastSequence, Notice};
use ringmain_router::cluster::orders::Order;
use ringmain_router::cluster::users::UsersTold;
use ringmain_router::cluster::{Envelope, Source, WireError};
use ringmain_router::order::{CloseRequest, ConnectionName, Whom, Words};
use ringmain_router::{PayloadKind, PeerId, SubjectId};

use super::name;

fn sources() -> impl Strategy<Value = Source> {
    ("[a-zA-Z0-9_-]{1,32}", any::<u64>()).prop_map(|(node, incarnation)| Source {
        node: node.parse().unwrap(),
        incarnation,
    })
}

/// Short and long numbers alike.
fn numbers() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let text = "\\PC{0,50}".prop_map(|text: String| (PayloadKind::Text, Bytes::from(text)));
    let binary = prop::collection::vec(any::<u8>(), 0..100)
        .prop_map(|bytes| (PayloadKind::Binary, Bytes::from(bytes)));
    let payload = prop_oneof![text, binary];
    let more = prop::collection::vec(payload.clone(), 0..4);
    (sources(), numbers(), numbers(), payload, more).prop_map(
        |(source, generation, sequence, (kind, payload), more)| Envelope {
            source,
            generation,
            sequence: sequence.clamp(1, u64::MAX - 4),
            kind,
            payload,
            more,
        },
    )
}

fn orders() -> impl Strategy<Value = Order> {
    let user = "\\PC{1,60}".prop_map(Whom::User);
    let numbers_of_it = (any::<u32>(), 0usize..62, any::<u32>(), any::<u32>());
    let connection =
        ("[a-z]{1,32}", numbers_of_it).prop_map(|(node, (start, shard, index, generation))| {
            Whom::Connection(ConnectionName {
                node: node.parse().unwrap(),
                start,
                shard: PeerId::shard(shard).unwrap(),
                index,
                generation,
            })
        });
    let words =
        (3_000u64..5_000, "\\PC{0,30}").prop_map(|(code, text)| Words::new(code, text).unwrap());
    let whom = prop_oneof![user, connection];
    (numbers(), whom, words).prop_map(|(number, whom, words)| Order {
        number,
        request: CloseRequest { whom, words },
    })
}

fn users() -> impl Strategy<Value = UsersTold> {
    let user = (any::<u128>(), any::<u32>()).prop_map(|(id, count)| (SubjectId(id), count));
    (numbers(), prop::collection::vec(user, 0..30))
        .prop_map(|(round, users)| UsersTold { round, users })
}

fn notices() -> impl Strategy<Value = Notice> {
    let heard =
        (any::<u64>(), numbers(), numbers()).prop_map(|(incarnation, time_ms, ago_ms)| Heard {
            incarnation,
            time_ms,
            ago_ms,
        });
    let announcement = (
        "\\PC{0,30}",
        "[0-9.]{0,10}",
        [numbers(), numbers(), numbers()],
        prop::collection::vec(heard, 0..20),
    )
        .prop_map(|(address, version, [connections, rooms, time_ms], heard)| {
            Notice::Announcement(Announcement {
                address,
                version,
                connections,
                rooms,
                time_ms,
                heard,
            })
        });
    let last = ("[a-z:ä ]{1,30}", numbers(), numbers()).prop_map(|(room, generation, sequence)| {
        LastSequence {
            room: name(&room),
            generation,
            sequence: sequence.max(1),
        }
    });
    prop_oneof![
        announcement,
        Just(Notice::Leave),
        orders().prop_map(Notice::Close),
        users().prop_map(Notice::Users),
        prop::collection::vec(last, 0..20).prop_map(Notice::Last)
    ]
}

proptest! {
    #[test]
    fn an_envelope_comes_back_as_it_was(envelope in envelopes()) {
        prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }

    #[test]
    fn a_notice_comes_back_as_it_was(source in sources(), notice in notices()) {
        let bytes = notice.encode(&source);
        prop_assert_eq!(Notice::decode(&bytes), Ok((source.clone(), notice.clone())));
        for end in 0..bytes.len() {
            prop_assert!(Notice::decode(&bytes.slice(..end)).is_err(), "cut at {end}");
        }
        let longer: Bytes = [&bytes[..], &[0]].concat().into();
        prop_assert_eq!(Notice::decode(&longer), Err(WireError::Trailing));
    }

    #[test]
    fn any_bytes_are_read_in_one_way_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), known: bool) {
        let mut bytes = bytes;
        if known && bytes.len() > 2 {
            (bytes[0], bytes[1], bytes[2]) = (1, bytes[1] % 4, bytes[2] % 8);
        }
        let bytes = Bytes::from(bytes);
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert_eq!(envelope.encode(), bytes.clone());
        }
        if let Ok((source, notice)) = Notice::decode(&bytes) {
            prop_assert_eq!(notice.encode(&source), bytes);
        }
    }
}

/// As the table in the documentation has it: other implementations go by that.
#[test]
fn an_envelope_is_these_bytes() {
    let envelope = Envelope {
        source: Source {
            node: "eu-1".parse().unwrap(),
            incarnation: 0x0102_0304_0506_0708,
        },
        generation: 1,
        sequence: 300,
        kind: PayloadKind::Text,
        payload: Bytes::from_static(b"hi"),
        more: Vec::new(),
    };
    let bytes = b"\x01\x01\x04eu-1\x01\x02\x03\x04\x05\x06\x07\x08\x01\xAC\x02hi";
    assert_eq!(&envelope.encode()[..], bytes);
    let several = Envelope {
        more: vec![(PayloadKind::Binary, Bytes::from_static(b"\xFF"))],
        ..envelope
    };
    let bytes =
        b"\x01\x03\x04eu-1\x01\x02\x03\x04\x05\x06\x07\x08\x01\xAC\x02\x01\x02hi\x02\x01\xFF";
    assert_eq!(&several.encode()[..], bytes);
}

#[test]
fn what_another_version_sends_is_refused_by_that_name() {
    let refused = |bytes: &'static [u8]| Envelope::decode(&Bytes::from_static(bytes)).unwrap_err();
    assert_eq!(refused(b""), WireError::Short);
    assert_eq!(refused(b"\x02whatever follows"), WireError::Version(2));
    assert_eq!(refused(b"\x01\x09"), WireError::Kind(9));
    assert_eq!(refused(b"\x01\x01\x02a.12345678\x01\x01"), WireError::Name);
    assert_eq!(refused(b"\x01\x01\x01a12345678\x01\x00"), WireError::Number);
    assert_eq!(
        refused(b"\x01\x01\x01a12345678\x81\x00\x01"),
        WireError::Number
    );
    assert_eq!(
        refused(b"\x01\x01\x01a12345678\x01\x01\xFF"),
        WireError::NotUtf8
    );
    let several = |rest: &'static [u8]| {
        let bytes = [b"\x01\x03\x01a12345678\x01\x01", rest].concat();
        Envelope::decode(&bytes.into())
    };
    assert_eq!(several(b"\x01\x01x").unwrap_err(), WireError::Short);
    assert_eq!(
        several(b"\x01\x01x\x01\x02y").unwrap_err(),
        WireError::Short
    );
    assert_eq!(
        several(b"\x01\x01x\x03\x01y").unwrap_err(),
        WireError::Kind(3)
    );
    assert_eq!(several(b"\x01\x01x\x02\x01y").unwrap().more.len(), 1);
    let last = Bytes::from_static(b"\x01\x03\x01a12345678\x01\x01r\x01\x00");
    assert_eq!(Notice::decode(&last), Err(WireError::Number));
    let notice = Bytes::from_static(b"\x02\x01");
    assert_eq!(Notice::decode(&notice), Err(WireError::Version(2)));
}

/// An operator may write any address; the others are to see the node all the same.
#[test]
fn a_text_that_is_too_long_is_cut_and_read_by_the_others() {
    let source = Source {
        node: "eu-1".parse().unwrap(),
        incarnation: 1,
    };
    let announcement = Announcement {
        address: format!("x{}", "käse".repeat(60)),
        ..Announcement::default()
    };
    let bytes = Notice::Announcement(announcement.clone()).encode(&source);
    let (_, notice) = Notice::decode(&bytes).unwrap();
    let Notice::Announcement(read) = notice else {
        panic!("{notice:?}");
    };
    assert!(announcement.address.starts_with(&read.address));
    assert_eq!(
        read.address.len(),
        127,
        "as much as fits, in whole characters"
    );
}

/// An empty publication has two bytes, and takes far more where it is read.
#[test]
fn an_envelope_has_no_more_publications_than_a_node_sends_at_once() {
    let source = Source {
        node: "eu-1".parse().unwrap(),
        incarnation: 1,
    };
    let of = |publications: usize| {
        let more = vec![(PayloadKind::Binary, Bytes::new()); publications - 1];
        Envelope {
            source: source.clone(),
            generation: 1,
            sequence: 1,
            kind: PayloadKind::Binary,
            payload: Bytes::new(),
            more,
        }
    };
    let most = of(BUNDLE_PARTS_MAX);
    assert_eq!(Envelope::decode(&most.encode()), Ok(most));
    let too_many = of(BUNDLE_PARTS_MAX + 1).encode();
    assert_eq!(Envelope::decode(&too_many), Err(WireError::TooLong));
}
