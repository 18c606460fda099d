//! Frames: parsing, writing, unmasking, and the check of text.

use std::hint::black_box;

use ringmain_proto::ws::encode::{write_frame, write_masked_frame};
use ringmain_proto::ws::handshake::accept_key;
use ringmain_proto::ws::{Event, MessageKind, Opcode, Parser, ParserSettings, Role};

use super::{Run, Workload};

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
const SETTINGS: ParserSettings = ParserSettings {
    role: Role::Server,
    message_bytes_max: 64 * 1024,
    compression: false,
};
/// What the parser is fed at a time where a message comes in pieces: a size that cuts characters.
const PIECE_BYTES: usize = 1021;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("parse", "64B", 1, 1000, || parse(64, 1)),
    Workload::new("parse", "64B-x16", 16, 200, || parse(64, 16)),
    Workload::new("parse", "1KiB", 1, 500, || parse(1024, 1)),
    Workload::new("parse", "16KiB", 1, 100, || parse(16 * 1024, 1)),
    Workload::new("parse", "16KiB-in-pieces", 1, 50, || {
        parse_in_pieces(Opcode::Binary, &vec![7; 16 * 1024])
    }),
    Workload::new("encode", "64B", 1, 1000, || encode(64)),
    Workload::new("encode", "1KiB", 1, 500, || encode(1024)),
    Workload::new("encode", "16KiB", 1, 200, || encode(16 * 1024)),
    Workload::new("unmask", "64B", 1, 1000, || unmask(64)),
    Workload::new("unmask", "16KiB", 1, 200, || unmask(16 * 1024)),
    Workload::new("utf8", "ascii-16KiB", 1, 100, || text("a")),
    Workload::new("utf8", "mixed-16KiB", 1, 100, || text("aß€😀")),
    Workload::new("utf8", "mixed-16KiB-in-pieces", 1, 50, || {
        parse_in_pieces(Opcode::Text, repeated("aß€😀").as_bytes())
    }),
    Workload::new("handshake", "accept-key", 1, 200, || {
        Box::new(|| {
            black_box(accept_key(black_box("dGhlIHNhbXBsZSBub25jZQ==")));
        })
    }),
];

fn repeated(piece: &str) -> String {
    piece.repeat(16 * 1024 / piece.len())
}

fn next_message(parser: &mut Parser, wire: &mut [u8]) -> Option<MessageKind> {
    let (event, _) = parser.next(&SETTINGS, wire).unwrap();
    match black_box(event) {
        Some(Event::Message { kind, .. }) => Some(kind),
        _ => None,
    }
}

/// Binary frames side by side. Unmasking in place only turns the payloads over, so that no copy is needed.
fn parse(payload_bytes: usize, frames: usize) -> Run {
    let mut wire = Vec::new();
    for _ in 0..frames {
        write_masked_frame(&mut wire, Opcode::Binary, KEY, &vec![7; payload_bytes]);
    }
    let mut parser = Parser::new();
    Box::new(move || {
        let mut rest = &mut black_box(&mut wire)[..];
        while !rest.is_empty() {
            let (event, left) = parser.next(&SETTINGS, rest).unwrap();
            black_box(event);
            rest = left;
        }
    })
}

/// One message that arrives piece by piece. The key of zeroes leaves the wire as it was.
fn parse_in_pieces(opcode: Opcode, payload: &[u8]) -> Run {
    let mut wire = Vec::new();
    write_masked_frame(&mut wire, opcode, [0; 4], payload);
    let mut parser = Parser::new();
    Box::new(move || {
        let mut last = None;
        for piece in black_box(&mut wire).chunks_mut(PIECE_BYTES) {
            last = next_message(&mut parser, piece);
        }
        assert!(last.is_some(), "the last piece ends the message");
    })
}

fn text(piece: &str) -> Run {
    let mut wire = Vec::new();
    write_masked_frame(&mut wire, Opcode::Text, [0; 4], repeated(piece).as_bytes());
    let mut parser = Parser::new();
    Box::new(move || {
        assert!(next_message(&mut parser, black_box(&mut wire)).is_some());
    })
}

fn encode(payload_bytes: usize) -> Run {
    let payload = vec![7; payload_bytes];
    let mut out = Vec::with_capacity(payload_bytes + 16);
    Box::new(move || {
        out.clear();
        write_frame(&mut out, Opcode::Binary, black_box(&payload));
        black_box(&out);
    })
}

fn unmask(payload_bytes: usize) -> Run {
    let mut payload = vec![7; payload_bytes];
    Box::new(move || fastwebsockets::unmask(black_box(&mut payload), KEY))
}
