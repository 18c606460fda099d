//! Streams for the property tests.

use proptest::collection::vec;
use proptest::prelude::*;
use ringmain_proto::ws::{MessageKind, ParserSettings, Role};

use crate::builder::{
    BINARY, CLOSE, CONTINUATION, FIN, Length, PING, PONG, RSV1, TEXT, frame_with_length,
};

/// A frame before it is masked and written.
#[derive(Clone, Debug)]
pub struct Plan {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// The settings of either side, with a limit that the streams reach now and then.
pub fn settings() -> impl Strategy<Value = ParserSettings> {
    (
        any::<bool>(),
        prop_oneof![0..300_usize, Just(1 << 20)],
        any::<bool>(),
    )
        .prop_map(|(is_server, message_bytes_max, compression)| {
            let role = if is_server {
                Role::Server
            } else {
                Role::Client
            };
            ParserSettings {
                role,
                message_bytes_max,
                compression,
            }
        })
}

/// Frames that a peer may send: whole messages, fragments at any byte with control frames amid them, and perhaps a
/// close frame at the end.
pub fn valid_plans() -> impl Strategy<Value = Vec<Plan>> {
    (
        vec(
            prop_oneof![message(), control().prop_map(|plan| vec![plan])],
            0..6,
        ),
        proptest::option::of(close()),
    )
        .prop_map(|(plans, close)| plans.into_iter().flatten().chain(close).collect())
}

/// A stream to a parser with `settings`: mostly frames that a peer may send, some that it may not, and now and then a
/// byte changed.
pub fn any_stream(settings: ParserSettings) -> impl Strategy<Value = Vec<u8>> {
    let plans = prop_oneof![
        3 => valid_plans(),
        2 => vec(prop_oneof![3 => valid_plans(), 1 => any_plan().prop_map(|plan| vec![plan])], 0..4)
            .prop_map(|plans| plans.concat()),
    ];
    let damage = proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (plans, any::<[u8; 4]>(), damage, lengths()).prop_map(move |(plans, key, damage, lengths)| {
        let mut stream = write(&plans, settings.role, key, &lengths);
        if let Some((index, byte)) = damage
            && !stream.is_empty()
        {
            let index = index.index(stream.len());
            stream[index] = byte;
        }
        stream
    })
}

/// Writes the frames as the peer of `role` would; `lengths` says how their lengths are stated, minimally beyond its end.
pub fn write(plans: &[Plan], role: Role, key: [u8; 4], lengths: &[Length]) -> Vec<u8> {
    let key = (role == Role::Server).then_some(key);
    let lengths = lengths
        .iter()
        .copied()
        .chain(std::iter::repeat(Length::Minimal));
    plans
        .iter()
        .zip(lengths)
        .flat_map(|(plan, length)| frame_with_length(plan.first, key, length, &plan.payload))
        .collect()
}

/// Mostly minimal, as it must be.
fn lengths() -> impl Strategy<Value = Vec<Length>> {
    let length = prop_oneof![20 => Just(Length::Minimal), 1 => Just(Length::TwoBytes), 1 => Just(Length::EightBytes)];
    vec(length, 0..4)
}

fn message() -> impl Strategy<Value = Vec<Plan>> {
    let content = prop_oneof![
        6 => any::<String>().prop_map(|text| (MessageKind::Text, text.into_bytes())),
        6 => vec(any::<u8>(), 0..200).prop_map(|bytes| (MessageKind::Binary, bytes)),
        2 => (120..130_usize).prop_map(|bytes| (MessageKind::Text, vec![b'x'; bytes])),
        1 => (65_530..65_540_usize).prop_map(|bytes| (MessageKind::Binary, vec![7; bytes])),
    ];
    (
        content,
        vec(
            (
                any::<prop::sample::Index>(),
                proptest::option::of(control()),
            ),
            0..5,
        ),
    )
        .prop_map(|((kind, bytes), cuts)| {
            let mut cuts: Vec<_> = cuts
                .into_iter()
                .map(|(index, amid)| (index.index(bytes.len() + 1), amid))
                .collect();
            cuts.sort_by_key(|(position, _)| *position);
            fragments(kind, &bytes, cuts)
        })
}

/// Cuts a message at ascending positions; a control frame may follow each cut.
fn fragments(kind: MessageKind, bytes: &[u8], cuts: Vec<(usize, Option<Plan>)>) -> Vec<Plan> {
    let mut opcode = if kind == MessageKind::Text {
        TEXT
    } else {
        BINARY
    };
    let mut plans = Vec::new();
    let mut start = 0;
    for (end, amid) in cuts {
        plans.push(Plan {
            first: opcode,
            payload: bytes[start..end].to_vec(),
        });
        plans.extend(amid);
        opcode = CONTINUATION;
        start = end;
    }
    plans.push(Plan {
        first: FIN | opcode,
        payload: bytes[start..].to_vec(),
    });
    plans
}

fn control() -> impl Strategy<Value = Plan> {
    (
        prop_oneof![Just(PING), Just(PONG)],
        vec(any::<u8>(), 0..=125),
    )
        .prop_map(|(opcode, payload)| Plan {
            first: FIN | opcode,
            payload,
        })
}

fn close() -> impl Strategy<Value = Plan> {
    let code = prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16];
    let body = (code, "\\PC{0,30}")
        .prop_map(|(code, reason)| [&code.to_be_bytes(), reason.as_bytes()].concat());
    prop_oneof![Just(Vec::new()), body].prop_map(|payload| Plan {
        first: FIN | CLOSE,
        payload,
    })
}

/// Any first byte, any payload.
fn any_plan() -> impl Strategy<Value = Plan> {
    let first = prop_oneof![
        any::<u8>(),
        (0..16_u8).prop_map(|opcode| FIN | opcode),
        (0..16_u8).prop_map(|opcode| FIN | RSV1 | opcode),
        Just(RSV1 | TEXT),
    ];
    (first, vec(any::<u8>(), 0..140)).prop_map(|(first, payload)| Plan { first, payload })
}
