//! Section 10.4: the limit on a message, and the memory that an unfinished one holds.

use ringmain_proto::ws::{Parser, ParserSettings, ProtocolError};

use crate::builder::{BINARY, CONTINUATION, FIN, PING, TEXT, masked};
use crate::drive::{SERVER, binary, parse, parse_bytewise};

fn limited(message_bytes_max: usize) -> ParserSettings {
    ParserSettings {
        message_bytes_max,
        ..SERVER
    }
}

fn too_big(bytes_max: usize) -> [crate::drive::Seen; 1] {
    [Err(ProtocolError::MessageTooBig { bytes_max })]
}

#[test]
fn section_10_4_a_frame_is_refused_by_its_header() {
    for bytes_max in [0, 1, 125, 126, 65_535, 65_536] {
        let settings = limited(bytes_max);
        assert_eq!(
            parse(&settings, &masked(FIN | BINARY, &vec![0; bytes_max])),
            [binary(&vec![0; bytes_max])]
        );
        let over = masked(FIN | BINARY, &vec![0; bytes_max + 1]);
        let header = &over[..over.len() - bytes_max - 1];
        assert_eq!(parse(&settings, header), too_big(bytes_max));
        assert_eq!(parse_bytewise(&settings, &over), too_big(bytes_max));
    }
}

#[test]
fn section_10_4_fragments_are_refused_by_their_sum() {
    let settings = limited(10);
    let begin = [masked(TEXT, b"123456"), masked(FIN | PING, b"ping")].concat();
    let fits = [&begin[..], &masked(FIN | CONTINUATION, b"7890")].concat();
    assert_eq!(parse(&settings, &fits).len(), 2);
    let over = [&begin[..], &masked(CONTINUATION, b"78901")].concat();
    let header = &over[..over.len() - 5];
    assert_eq!(parse(&settings, header)[1..], too_big(10));
}

#[test]
fn section_10_4_the_largest_length_that_can_be_written_is_only_too_big() {
    let stream = [
        FIN | BINARY,
        0xFF,
        0x7F,
        0xFF,
        0xFF,
        0xFF,
        0xFF,
        0xFF,
        0xFF,
        0xFF,
    ];
    assert_eq!(parse(&SERVER, &stream), too_big(SERVER.message_bytes_max));
    // The sum of two such fragments must not overflow.
    let unlimited = limited(usize::MAX);
    let stream = [
        &masked(BINARY, b"x")[..],
        &[
            0, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4, 5,
        ],
    ]
    .concat();
    assert_eq!(parse(&unlimited, &stream), []);
}

#[test]
fn memory_grows_with_what_arrived_not_with_what_is_declared() {
    let settings = limited(64 << 20);
    for first in [FIN | BINARY, BINARY] {
        let stream = masked(first, &vec![0; 10 << 20]);
        let mut parser = Parser::new();
        assert!(
            parser
                .next(&settings, &mut stream[..20].to_vec())
                .unwrap()
                .0
                .is_none()
        );
        assert!(parser.held_bytes() <= 8192, "{}", parser.held_bytes());
        let mut arrived = 20;
        for piece in stream[20..8 << 20].chunks(1000) {
            parser.next(&settings, &mut piece.to_vec()).unwrap();
            arrived += piece.len();
            assert!(parser.held_bytes() <= 2 * arrived + 8192);
        }
        assert!(parser.held_bytes() >= arrived - 20);
    }
}

#[test]
fn memory_of_a_whole_message_is_its_length() {
    let stream = masked(FIN | BINARY, &vec![0; 100_000]);
    let mut parser = Parser::new();
    parser
        .next(&SERVER, &mut stream[..90_000].to_vec())
        .unwrap();
    assert!(parser.held_bytes() <= 100_000 + 512);
}

#[test]
fn a_parser_between_messages_is_at_most_16_bytes() {
    assert!(size_of::<Parser>() <= 16);
    assert_eq!(Parser::new().held_bytes(), 0);
}
