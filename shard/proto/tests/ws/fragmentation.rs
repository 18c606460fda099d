//! Section 5.4: messages in fragments.

use ringmain_proto::ws::{Parser, ProtocolError};

use crate::builder::{BINARY, CONTINUATION, FIN, PING, TEXT, masked, unmasked};
use crate::drive::{CLIENT, SERVER, binary, feed, parse, parse_bytewise, ping, pong, text};

#[test]
fn section_5_4_fragments_make_one_message() {
    let stream = [
        masked(TEXT, b"one "),
        masked(CONTINUATION, b"two "),
        masked(FIN | CONTINUATION, b"three"),
        masked(FIN | BINARY, b"next"),
    ]
    .concat();
    assert_eq!(
        parse(&SERVER, &stream),
        [text("one two three"), binary(b"next")]
    );
    assert_eq!(
        parse_bytewise(&SERVER, &stream),
        [text("one two three"), binary(b"next")]
    );
}

#[test]
fn section_5_4_control_frames_may_come_amid_fragments() {
    let stream = [
        masked(FIN | PING, b"0"),
        masked(BINARY, b"a"),
        masked(FIN | PING, b"1"),
        masked(FIN | PING, b""),
        masked(CONTINUATION, b"b"),
        masked(FIN | 0xA, b"2"),
        masked(FIN | CONTINUATION, b"c"),
    ]
    .concat();
    let expected = [
        ping(b"0"),
        ping(b"1"),
        ping(b""),
        pong(b"2"),
        binary(b"abc"),
    ];
    assert_eq!(parse(&SERVER, &stream), expected);
    assert_eq!(parse_bytewise(&SERVER, &stream), expected);
}

#[test]
fn section_5_4_a_continuation_needs_a_beginning() {
    let lone = [Err(ProtocolError::UnexpectedContinuation)];
    assert_eq!(parse(&SERVER, &masked(FIN | CONTINUATION, b"x")), lone);
    assert_eq!(parse(&SERVER, &masked(CONTINUATION, b"x")), lone);

    let after_whole = [masked(FIN | BINARY, b"x"), masked(FIN | CONTINUATION, b"y")].concat();
    assert_eq!(
        parse(&SERVER, &after_whole),
        [binary(b"x"), Err(ProtocolError::UnexpectedContinuation)]
    );

    let after_last = [
        masked(BINARY, b"x"),
        masked(FIN | CONTINUATION, b"y"),
        masked(CONTINUATION, b"z"),
    ]
    .concat();
    assert_eq!(
        parse(&SERVER, &after_last),
        [binary(b"xy"), Err(ProtocolError::UnexpectedContinuation)]
    );
}

#[test]
fn section_5_4_messages_are_not_interleaved() {
    for first in [TEXT, BINARY, FIN | TEXT, FIN | BINARY] {
        let stream = [masked(TEXT, b"x"), masked(first, b"y")].concat();
        assert_eq!(
            parse(&SERVER, &stream),
            [Err(ProtocolError::InterleavedMessage)]
        );
    }
}

#[test]
fn section_5_4_fragments_may_be_empty() {
    let stream = [
        masked(TEXT, b""),
        masked(CONTINUATION, b""),
        masked(CONTINUATION, b"x"),
        masked(CONTINUATION, b""),
        masked(FIN | CONTINUATION, b""),
        masked(BINARY, b""),
        masked(FIN | CONTINUATION, b""),
    ]
    .concat();
    assert_eq!(parse(&SERVER, &stream), [text("x"), binary(b"")]);
    assert_eq!(parse_bytewise(&SERVER, &stream), [text("x"), binary(b"")]);
}

#[test]
fn section_5_4_a_message_may_have_65537_fragments() {
    for fragment in [&b""[..], b"ab"] {
        let mut stream = unmasked(TEXT, fragment);
        for _ in 0..65_535 {
            stream.extend(unmasked(CONTINUATION, fragment));
        }
        stream.extend(unmasked(FIN | CONTINUATION, fragment));
        let expected = [text(&String::from_utf8(fragment.repeat(65_537)).unwrap())];
        assert_eq!(parse(&CLIENT, &stream), expected);
        assert_eq!(parse_bytewise(&CLIENT, &stream), expected);
    }
}

#[test]
fn state_is_freed_at_the_end_of_each_message() {
    let mut parser = Parser::new();
    let mut seen = Vec::new();
    let mut held = |bytes: Vec<u8>| {
        let mut bytes = bytes;
        feed(&mut parser, &SERVER, &mut bytes, &mut seen);
        parser.held_bytes()
    };
    assert!(held(masked(TEXT, b"begin")) > 0);
    assert!(held(masked(FIN | PING, b"")) > 0);
    assert_eq!(held(masked(FIN | CONTINUATION, b"end")), 0);
    let frame = masked(FIN | BINARY, &[1; 300]);
    assert!(held(frame[..200].to_vec()) > 0);
    assert_eq!(held(frame[200..].to_vec()), 0);
    let ping = masked(FIN | PING, b"ping");
    assert!(held(ping[..7].to_vec()) > 0);
    assert_eq!(held(ping[7..].to_vec()), 0);
    assert_eq!(seen.len(), 4);
}
