//! Section 5.6 and 8.1: text is UTF-8, and wrong text is found at once.

use ringmain_proto::ws::{Event, ParserSettings, ProtocolError};

use crate::builder::{CONTINUATION, FIN, PING, TEXT, masked};
use crate::drive::{SERVER, parse, parse_bytewise, ping, text};

const NOT_UTF8: [crate::drive::Seen; 1] = [Err(ProtocolError::TextNotUtf8)];

/// Sequences that no continuation can make valid, each with its last byte the first wrong one.
const WRONG: [&[u8]; 16] = [
    b"\x80",
    b"\xBF",
    b"\xC0",
    b"\xC1",
    b"\xC3\x28",
    b"\xC3\xC3",
    b"\xE0\x80",
    b"\xE0\x9F",
    b"\xE2\x82\x28",
    b"\xED\xA0",
    b"\xED\xBF",
    b"\xF0\x8F",
    b"\xF0\x9F\x98\x28",
    b"\xF4\x90",
    b"\xF5",
    b"\xFF",
];

/// Beginnings of characters.
const UNFINISHED: [&[u8]; 7] = [
    b"\xC3",
    b"\xE2",
    b"\xE2\x82",
    b"\xED\x9F",
    b"\xF0\x9F",
    b"\xF0\x9F\x98",
    b"\xF4\x8F",
];

#[test]
fn section_8_1_valid_text_is_delivered() {
    for valid in [
        "",
        "ascii",
        "κόσμε",
        "\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}",
        "\u{D7FF}\u{E000}",
        "\0",
        "\u{FEFF}",
    ] {
        assert_eq!(
            parse(&SERVER, &masked(FIN | TEXT, valid.as_bytes())),
            [text(valid)]
        );
        assert_eq!(
            parse_bytewise(&SERVER, &masked(FIN | TEXT, valid.as_bytes())),
            [text(valid)]
        );
    }
}

#[test]
fn section_8_1_invalid_text_is_refused() {
    for wrong in WRONG.into_iter().chain(UNFINISHED) {
        for prefix in ["", "ok ", &"long ".repeat(40)] {
            let stream = masked(FIN | TEXT, &[prefix.as_bytes(), wrong].concat());
            assert_eq!(parse(&SERVER, &stream), NOT_UTF8);
            assert_eq!(parse_bytewise(&SERVER, &stream), NOT_UTF8);
        }
    }
}

#[test]
fn section_8_1_the_first_wrong_byte_fails_although_the_frame_is_unfinished() {
    for wrong in WRONG {
        for prefix in ["", "ok ", &"long ".repeat(40)] {
            // The frame declares more than arrives.
            let stream = masked(
                FIN | TEXT,
                &[prefix.as_bytes(), wrong, &[b'x'; 100]].concat(),
            );
            let arrived = &stream[..stream.len() - 100];
            assert_eq!(parse(&SERVER, arrived), NOT_UTF8, "{wrong:X?}");
            assert_eq!(parse_bytewise(&SERVER, arrived), NOT_UTF8, "{wrong:X?}");
            assert_eq!(
                parse_bytewise(&SERVER, &arrived[..arrived.len() - 1]),
                [],
                "{wrong:X?}"
            );
        }
    }
}

#[test]
fn section_8_1_the_first_wrong_byte_fails_although_the_message_is_unfinished() {
    for wrong in WRONG {
        let stream = masked(TEXT, wrong);
        assert_eq!(parse(&SERVER, &stream), NOT_UTF8);
        // Each byte in a fragment of its own.
        let mut stream = masked(TEXT, b"");
        for byte in wrong {
            stream.extend(masked(CONTINUATION, &[*byte]));
        }
        assert_eq!(parse(&SERVER, &stream), NOT_UTF8);
    }
}

#[test]
fn section_8_1_a_character_may_lie_in_several_fragments() {
    let smile = "😀".as_bytes();
    let stream = [
        masked(TEXT, &smile[..1]),
        masked(CONTINUATION, &smile[1..2]),
        masked(CONTINUATION, b""),
        masked(FIN | PING, b""),
        masked(CONTINUATION, &smile[2..3]),
        masked(FIN | CONTINUATION, &smile[3..]),
    ]
    .concat();
    assert_eq!(parse(&SERVER, &stream), [ping(b""), text("😀")]);
    assert_eq!(parse_bytewise(&SERVER, &stream), [ping(b""), text("😀")]);
}

#[test]
fn section_8_1_a_message_does_not_end_within_a_character() {
    for unfinished in UNFINISHED {
        let stream = [masked(TEXT, unfinished), masked(FIN | CONTINUATION, b"")].concat();
        assert_eq!(parse(&SERVER, &stream), NOT_UTF8);
        // A fragment may end there, and a frame may come to a halt there.
        assert_eq!(parse(&SERVER, &masked(TEXT, unfinished)), []);
    }
}

#[test]
fn section_8_1_every_scalar_value_passes_and_every_surrogate_fails() {
    let settings = ParserSettings {
        message_bytes_max: 8 << 20,
        ..SERVER
    };
    let all: String = (0..=char::MAX as u32).filter_map(char::from_u32).collect();
    let stream = masked(FIN | TEXT, all.as_bytes());
    let seen = crate::drive::parse_split(&settings, &stream, (1..stream.len()).step_by(4099));
    assert!(seen == [text(&all)]);

    for surrogate in 0xD800_u32..=0xDFFF {
        let bytes = [
            0xED,
            0x80 | (surrogate >> 6 & 0x3F) as u8,
            0x80 | (surrogate & 0x3F) as u8,
        ];
        assert_eq!(parse(&SERVER, &masked(TEXT, &bytes)), NOT_UTF8);
    }
}

#[test]
fn section_5_6_binary_may_be_any_bytes() {
    let bytes: Vec<u8> = (0..=255).collect();
    let seen = parse(&SERVER, &masked(FIN | 0x2, &bytes));
    assert!(matches!(&seen[..], [Ok(Event::Message { payload, .. })] if **payload == *bytes));
}
