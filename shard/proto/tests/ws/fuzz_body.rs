//! What the fuzzer runs, and what the tests replay over its corpus.

use ringmain_proto::ws::{ParserSettings, Role};

use crate::{drive, oracle};

/// Limits around the interesting lengths.
const MESSAGE_BYTES_MAX: [usize; 8] = [0, 1, 125, 126, 1000, 65_535, 65_536, 1 << 24];

/// Parses `data` whole, byte by byte, and in pieces; all must agree with the oracle.
///
/// The first byte chooses the role, the limit and whether compression was negotiated, the next two how the stream is split; the stream follows.
pub fn run(data: &[u8]) {
    let [choice, seed_high, seed_low, stream @ ..] = data else {
        return;
    };
    let role = if choice & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let message_bytes_max = MESSAGE_BYTES_MAX[usize::from(choice >> 1) % MESSAGE_BYTES_MAX.len()];
    let settings = ParserSettings {
        role,
        message_bytes_max,
        compression: choice & 0x80 != 0,
    };

    let expected = oracle::decode(&settings, stream);
    assert_eq!(drive::parse(&settings, stream), expected, "whole");
    assert_eq!(
        drive::parse_bytewise(&settings, stream),
        expected,
        "byte by byte"
    );
    let cuts = cuts(u16::from_be_bytes([*seed_high, *seed_low]), stream.len());
    assert_eq!(
        drive::parse_split(&settings, stream, cuts),
        expected,
        "in pieces"
    );
}

/// Positions to cut a stream at: pseudo-random, with short and long pieces; a piece may be empty.
fn cuts(seed: u16, stream_bytes: usize) -> Vec<usize> {
    let mut state = u32::from(seed) | 1 << 16;
    let mut cuts = Vec::new();
    let mut position = 0;
    loop {
        // Xorshift: enough to vary the pieces, and the same on every machine.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let piece_bytes_max = 1 << (state % 9);
        position += (state >> 8) as usize % (piece_bytes_max + 1);
        if position > stream_bytes {
            return cuts;
        }
        cuts.push(position);
    }
}
