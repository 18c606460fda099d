//! RFC 7692, section 6: the bit of a compressed message.

use ringmain_proto::ws::encode::{Header, write_compressed_frame};
use ringmain_proto::ws::{
    CloseCode, Event, MessageKind, Opcode, ParserSettings, Payload, ProtocolError,
};

use crate::builder::{BINARY, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, masked, unmasked};
use crate::drive::{SERVER, Seen, parse, parse_bytewise, ping, text};

const COMPRESSED: ParserSettings = ParserSettings {
    compression: true,
    ..SERVER
};
/// "Hello" (RFC 7692, section 7.2.3.1).
const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

fn compressed(kind: MessageKind, payload: &[u8]) -> Seen {
    Ok(Event::Compressed {
        kind,
        payload: Payload::Owned(payload.to_vec()),
    })
}

fn both_ways(stream: &[u8]) -> Vec<Seen> {
    let whole = parse(&COMPRESSED, stream);
    assert_eq!(parse_bytewise(&COMPRESSED, stream), whole);
    whole
}

#[test]
fn s6_without_negotiation_the_bit_is_an_error() {
    for first in [FIN | RSV1 | TEXT, RSV1 | BINARY] {
        let seen = parse(&SERVER, &masked(first, &HELLO));
        assert_eq!(seen, [Err(ProtocolError::ReservedBits)]);
    }
}

#[test]
fn s6_other_reserved_bits_stay_an_error() {
    for reserved in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        let seen = both_ways(&masked(FIN | reserved | TEXT, &HELLO));
        assert_eq!(seen, [Err(ProtocolError::ReservedBits)], "{reserved:#x}");
    }
}

#[test]
fn s6_1_a_compressed_message_in_one_frame() {
    for (opcode, kind) in [(TEXT, MessageKind::Text), (BINARY, MessageKind::Binary)] {
        let seen = both_ways(&masked(FIN | RSV1 | opcode, &HELLO));
        assert_eq!(seen, [compressed(kind, &HELLO)]);
    }
}

#[test]
fn s6_1_a_message_without_the_bit_is_not_compressed() {
    let stream = [
        masked(FIN | TEXT, b"plain"),
        masked(FIN | RSV1 | TEXT, &HELLO),
        masked(FIN | TEXT, b"plain"),
    ]
    .concat();
    let expected = [
        text("plain"),
        compressed(MessageKind::Text, &HELLO),
        text("plain"),
    ];
    assert_eq!(both_ways(&stream), expected);
}

#[test]
fn s6_1_the_bit_of_the_first_fragment_holds_for_the_message() {
    // RFC 7692, 7.2.3.1: "Hello" in two fragments. Control frames may come between them.
    let stream = [
        masked(RSV1 | TEXT, &HELLO[..3]),
        masked(FIN | PING, b"amid"),
        masked(CONTINUATION, &[]),
        masked(FIN | CONTINUATION, &HELLO[3..]),
    ]
    .concat();
    let expected = [ping(b"amid"), compressed(MessageKind::Text, &HELLO)];
    assert_eq!(both_ways(&stream), expected);
}

#[test]
fn s6_1_a_fragmented_message_without_the_bit_is_not_compressed() {
    let stream = [masked(TEXT, b"pl"), masked(FIN | CONTINUATION, b"ain")].concat();
    assert_eq!(both_ways(&stream), [text("plain")]);
}

#[test]
fn s6_1_the_bit_on_a_continuation_is_an_error() {
    for last in [RSV1 | CONTINUATION, FIN | RSV1 | CONTINUATION] {
        let stream = [masked(RSV1 | TEXT, &HELLO[..3]), masked(last, &HELLO[3..])].concat();
        let seen = both_ways(&stream);
        assert_eq!(seen, [Err(ProtocolError::CompressedBitMisplaced)]);
    }
}

#[test]
fn s6_1_the_bit_on_a_control_frame_is_an_error() {
    for opcode in [PING, PONG, 0x8] {
        let seen = both_ways(&masked(FIN | RSV1 | opcode, &[]));
        assert_eq!(seen, [Err(ProtocolError::CompressedBitMisplaced)]);
    }
    let code = ProtocolError::CompressedBitMisplaced.close_code();
    assert_eq!(code, CloseCode::PROTOCOL_ERROR);
}

#[test]
fn s6_1_what_is_sent_has_the_bit() {
    assert_eq!(Header::compressed(Opcode::Text, 7)[0], FIN | RSV1 | TEXT);
    let mut out = Vec::new();
    write_compressed_frame(&mut out, Opcode::Binary, &HELLO);
    assert_eq!(out, unmasked(FIN | RSV1 | BINARY, &HELLO));
}

#[test]
fn s6_2_text_is_not_looked_at_before_it_is_restored() {
    let seen = both_ways(&masked(FIN | RSV1 | TEXT, &[0xFF, 0xFE]));
    assert_eq!(seen, [compressed(MessageKind::Text, &[0xFF, 0xFE])]);
    let stream = [
        masked(RSV1 | TEXT, &[0xFF]),
        masked(FIN | CONTINUATION, &[0xFE]),
    ];
    let seen = both_ways(&stream.concat());
    assert_eq!(seen, [compressed(MessageKind::Text, &[0xFF, 0xFE])]);
}

#[test]
fn what_is_received_compressed_is_bounded_before_it_is_restored() {
    let settings = ParserSettings {
        message_bytes_max: 800,
        ..COMPRESSED
    };
    let most = 800 + 100 + 64;
    let seen = parse(&settings, &masked(FIN | RSV1 | BINARY, &vec![0; most]));
    assert_eq!(seen, [compressed(MessageKind::Binary, &vec![0; most])]);
    let too_big = [Err(ProtocolError::MessageTooBig { bytes_max: 800 })];
    let seen = parse(&settings, &masked(FIN | RSV1 | BINARY, &vec![0; most + 1]));
    assert_eq!(seen, too_big);
    let stream = [
        masked(RSV1 | BINARY, &vec![0; most]),
        masked(FIN | CONTINUATION, &[0]),
    ];
    assert_eq!(parse(&settings, &stream.concat()), too_big);
    // The limit of a message that is not compressed is what it was.
    assert_eq!(parse(&settings, &masked(FIN | BINARY, &[0; 801])), too_big);
}
