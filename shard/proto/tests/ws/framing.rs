//! Section 5.1 to 5.3: masking and the header.

use ringmain_proto::ws::{CloseCode, Event, Parser, Payload, ProtocolError};

use crate::builder::{
    BINARY, CONTINUATION, FIN, KEY, Length, PING, RSV1, TEXT, frame_with_length, masked, unmasked,
};
use crate::drive::{CLIENT, SERVER, binary, parse, parse_bytewise, text};

#[test]
fn section_5_1_server_refuses_a_frame_that_is_not_masked() {
    for first in [FIN | TEXT, FIN | BINARY, FIN | PING, TEXT] {
        assert_eq!(
            parse(&SERVER, &unmasked(first, b"x")),
            [Err(ProtocolError::Unmasked)]
        );
    }
}

#[test]
fn section_5_1_client_refuses_a_frame_that_is_masked() {
    for first in [FIN | TEXT, FIN | BINARY, FIN | PING, TEXT] {
        assert_eq!(
            parse(&CLIENT, &masked(first, b"x")),
            [Err(ProtocolError::Masked)]
        );
    }
}

#[test]
fn section_5_2_reserved_bits_are_refused() {
    for bits in 1..8 {
        for opcode in [CONTINUATION, TEXT, BINARY, PING] {
            let stream = masked(FIN | bits << 4 | opcode, b"x");
            assert_eq!(parse(&SERVER, &stream), [Err(ProtocolError::ReservedBits)]);
        }
    }
}

#[test]
fn section_5_2_reserved_opcodes_are_refused() {
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        for fin in [FIN, 0] {
            assert_eq!(
                parse(&SERVER, &masked(fin | opcode, b"x")),
                [Err(ProtocolError::ReservedOpcode(opcode))]
            );
        }
    }
}

#[test]
fn section_5_2_header_errors_are_found_at_their_first_byte() {
    assert_eq!(
        parse(&SERVER, &[FIN | RSV1 | TEXT]),
        [Err(ProtocolError::ReservedBits)]
    );
    assert_eq!(
        parse(&SERVER, &[FIN | 0x3]),
        [Err(ProtocolError::ReservedOpcode(3))]
    );
    assert_eq!(
        parse(&SERVER, &[FIN | CONTINUATION]),
        [Err(ProtocolError::UnexpectedContinuation)]
    );
    assert_eq!(
        parse(&SERVER, &[PING]),
        [Err(ProtocolError::FragmentedControl)]
    );
    assert_eq!(
        parse(&SERVER, &[FIN | TEXT, 0x05]),
        [Err(ProtocolError::Unmasked)]
    );
}

#[test]
fn section_5_2_every_length_form_is_read() {
    for bytes in [
        0, 1, 124, 125, 126, 127, 128, 65_535, 65_536, 65_537, 200_000,
    ] {
        let payload: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
        for (settings, stream) in [
            (&SERVER, masked(FIN | BINARY, &payload)),
            (&CLIENT, unmasked(FIN | BINARY, &payload)),
        ] {
            assert_eq!(parse(settings, &stream), [binary(&payload)]);
            assert_eq!(parse_bytewise(settings, &stream), [binary(&payload)]);
        }
    }
}

#[test]
fn section_5_2_length_must_be_minimal() {
    for (length, bytes) in [
        (Length::TwoBytes, 0),
        (Length::TwoBytes, 125),
        (Length::EightBytes, 0),
        (Length::EightBytes, 125),
        (Length::EightBytes, 126),
        (Length::EightBytes, 65_535),
    ] {
        let stream = frame_with_length(FIN | BINARY, Some(KEY), length, &vec![0; bytes]);
        assert_eq!(
            parse(&SERVER, &stream),
            [Err(ProtocolError::LengthNotMinimal)],
            "{length:?} {bytes}"
        );
    }
}

#[test]
fn section_5_2_most_significant_bit_of_a_length_must_be_0() {
    for high in [0x80, 0xFF] {
        let stream = [FIN | BINARY, 0xFF, high, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(parse(&SERVER, &stream), [Err(ProtocolError::LengthHighBit)]);
    }
}

#[test]
fn section_5_3_every_key_and_rotation_unmasks() {
    for key in [[0; 4], [0xFF; 4], [1, 2, 3, 4], [0x80, 0, 0, 1]] {
        for bytes in 0..40 {
            let payload: Vec<u8> = (100..100 + bytes).collect();
            let stream = frame_with_length(FIN | BINARY, Some(key), Length::Minimal, &payload);
            for cut in 0..=stream.len() {
                assert_eq!(
                    crate::drive::parse_split(&SERVER, &stream, [cut]),
                    [binary(&payload)]
                );
            }
        }
    }
}

#[test]
fn section_5_7_examples() {
    assert_eq!(
        parse(&CLIENT, &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]),
        [text("Hello")]
    );
    let masked_hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(parse(&SERVER, &masked_hello), [text("Hello")]);
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    assert_eq!(parse(&CLIENT, &fragments), [text("Hello")]);
    assert_eq!(
        parse(&CLIENT, &[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]),
        [crate::drive::ping(b"Hello")]
    );
    let masked_pong = [
        0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(parse(&SERVER, &masked_pong), [crate::drive::pong(b"Hello")]);
    assert_eq!(
        parse(&CLIENT, &unmasked(0x82, &[7; 256])),
        [binary(&[7; 256])]
    );
    assert_eq!(
        parse(&CLIENT, &unmasked(0x82, &[7; 65_536])),
        [binary(&[7; 65_536])]
    );
}

#[test]
fn a_whole_frame_is_borrowed_and_the_rest_is_left_unparsed() {
    let mut stream = [masked(FIN | TEXT, b"one"), masked(FIN | BINARY, b"two")].concat();
    let second = masked(FIN | BINARY, b"two");
    let mut parser = Parser::new();
    let (event, rest) = parser.next(&SERVER, &mut stream).unwrap();
    assert!(matches!(
        event,
        Some(Event::Message {
            payload: Payload::Borrowed(b"one"),
            ..
        })
    ));
    assert_eq!(rest, second);
    let (event, rest) = parser.next(&SERVER, rest).unwrap();
    assert!(matches!(
        event,
        Some(Event::Message {
            payload: Payload::Borrowed(b"two"),
            ..
        })
    ));
    assert!(rest.is_empty());
}

#[test]
fn a_frame_of_which_only_the_header_came_before_is_still_borrowed() {
    let stream = masked(FIN | BINARY, &[9; 1000]);
    for cut in 1..=8 {
        let (mut head, mut tail) = (stream[..cut].to_vec(), stream[cut..].to_vec());
        let mut parser = Parser::new();
        assert!(parser.next(&SERVER, &mut head).unwrap().0.is_none());
        let (event, _) = parser.next(&SERVER, &mut tail).unwrap();
        assert!(
            matches!(
                event,
                Some(Event::Message {
                    payload: Payload::Borrowed(_),
                    ..
                })
            ),
            "{cut}"
        );
    }
}

#[test]
fn no_input_is_no_event() {
    let mut parser = Parser::default();
    let (event, rest) = parser.next(&SERVER, &mut []).unwrap();
    assert!(event.is_none() && rest.is_empty());
    assert_eq!(parser.held_bytes(), 0);
}

#[test]
fn section_7_4_1_each_error_has_its_close_code() {
    for (error, code) in [
        (ProtocolError::ReservedBits, CloseCode::PROTOCOL_ERROR),
        (ProtocolError::Unmasked, CloseCode::PROTOCOL_ERROR),
        (
            ProtocolError::CloseCodeInvalid(1005),
            CloseCode::PROTOCOL_ERROR,
        ),
        (ProtocolError::TextNotUtf8, CloseCode::INVALID_DATA),
        (ProtocolError::CloseReasonNotUtf8, CloseCode::INVALID_DATA),
        (
            ProtocolError::MessageTooBig { bytes_max: 1 },
            CloseCode::MESSAGE_TOO_BIG,
        ),
    ] {
        assert_eq!(error.close_code(), code, "{error}");
    }
}
