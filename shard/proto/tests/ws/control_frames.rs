//! Section 5.5: pings, pongs and what all control frames share.

use ringmain_proto::ws::ProtocolError;

use crate::builder::{CLOSE, FIN, KEY, Length, PING, PONG, frame_with_length, masked, unmasked};
use crate::drive::{CLIENT, SERVER, parse, parse_bytewise, ping, pong};

#[test]
fn section_5_5_control_frames_have_at_most_125_bytes() {
    for opcode in [CLOSE, PING, PONG] {
        for bytes in [126, 65_536] {
            let stream = masked(FIN | opcode, &vec![0; bytes]);
            assert_eq!(
                parse(&SERVER, &stream),
                [Err(ProtocolError::ControlTooLong)]
            );
        }
        for length in [Length::TwoBytes, Length::EightBytes] {
            let stream = frame_with_length(FIN | opcode, Some(KEY), length, b"xy");
            assert_eq!(
                parse(&SERVER, &stream),
                [Err(ProtocolError::ControlTooLong)]
            );
        }
    }
    assert_eq!(
        parse(&SERVER, &masked(FIN | PING, &[1; 125])),
        [ping(&[1; 125])]
    );
}

#[test]
fn section_5_5_control_frames_are_never_fragmented() {
    for opcode in [CLOSE, PING, PONG] {
        assert_eq!(
            parse(&SERVER, &masked(opcode, b"")),
            [Err(ProtocolError::FragmentedControl)]
        );
    }
}

#[test]
fn section_5_5_2_pings_are_delivered() {
    for payload in [&b""[..], b"x", &[0xFF; 125]] {
        assert_eq!(
            parse(&SERVER, &masked(FIN | PING, payload)),
            [ping(payload)]
        );
        assert_eq!(
            parse_bytewise(&CLIENT, &unmasked(FIN | PING, payload)),
            [ping(payload)]
        );
    }
}

#[test]
fn section_5_5_3_unasked_pongs_are_delivered() {
    for payload in [&b""[..], b"x", &[0xFF; 125]] {
        assert_eq!(
            parse(&SERVER, &masked(FIN | PONG, payload)),
            [pong(payload)]
        );
        assert_eq!(
            parse_bytewise(&CLIENT, &unmasked(FIN | PONG, payload)),
            [pong(payload)]
        );
    }
}

#[test]
fn the_limit_on_messages_does_not_bind_control_frames() {
    let settings = ringmain_proto::ws::ParserSettings {
        message_bytes_max: 0,
        ..SERVER
    };
    assert_eq!(
        parse(&settings, &masked(FIN | PING, b"ping")),
        [ping(b"ping")]
    );
}
