//! What the fuzzer of compression runs, and what the tests replay over its corpus.

use ringmain_proto::ws::deflate::{Deflater, Inflater, Rules, WindowBits, negotiate};
use ringmain_proto::ws::{MessageKind, ProtocolError};

use crate::naive_inflate;

const BYTES_MAX: [usize; 4] = [0, 100, 5_000, 70_000];

/// The first byte chooses what is done with the rest, the second how.
pub fn run(data: &[u8]) {
    let [choice, how, rest @ ..] = data else {
        return;
    };
    match choice % 3 {
        0 => inflates(*how, rest),
        1 => comes_back(*how, rest),
        _ => negotiates(*how, rest),
    }
}

/// Any bytes are restored as the naive inflater restores them, and within the limit.
fn inflates(how: u8, rest: &[u8]) {
    let bytes_max = BYTES_MAX[usize::from(how % 4)];
    let (history, payload) = rest.split_at(rest.len().min(usize::from(how / 4)));
    let mut inflater = Inflater::new();
    let seen = inflater.inflate(MessageKind::Binary, payload, history, bytes_max);
    if let Ok(message) = seen {
        assert!(message.len() <= bytes_max);
    }
    match (naive_inflate::inflate(payload, history, bytes_max), seen) {
        (None, seen) => {
            // Which of the two is seen first, the length or what is wrong behind it, is left open.
            assert!(seen.is_err(), "{seen:?}");
        }
        (Some(Ok(expected)), Ok(message)) => assert_eq!(message, expected.message),
        (Some(Err(_)), Err(ProtocolError::CompressionInvalid)) => {}
        // So many are refused.
        (Some(Ok(expected)), Err(ProtocolError::CompressionInvalid))
            if expected.final_blocks > 16 + payload.len() / 256 => {}
        // What is wrong behind too long a message may be what is seen first by the naive one.
        (Some(Err(_)), Err(ProtocolError::MessageTooBig { .. })) => {}
        (expected, seen) => panic!("{expected:?} but {seen:?}"),
    }
    // Whatever came before, the next message is as good as with a new inflater.
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let seen = inflater.inflate(MessageKind::Text, &hello, &[], 5);
    assert_eq!(seen, Ok(&b"Hello"[..]));
}

/// Any message comes back, and refers no further back than allowed.
fn comes_back(how: u8, rest: &[u8]) {
    let bits = 9 + how % 7;
    let window = WindowBits::new(bits).unwrap();
    let (history, message) = rest.split_at(rest.len() / 3);
    let history = &history[history.len().saturating_sub(window.bytes())..];
    let mut deflater = Deflater::new(1 + how / 7 % 9, window);
    let payload = deflater.deflate(message, history).unwrap().to_vec();
    let mut inflater = Inflater::new();
    let seen = inflater.inflate(MessageKind::Binary, &payload, history, message.len());
    assert_eq!(seen, Ok(message));
    let naive = naive_inflate::inflate(&payload, history, message.len());
    let naive = naive.unwrap().unwrap();
    assert_eq!(naive.message, message);
    assert!(naive.distance_max <= window.bytes(), "{naive:?}");
}

/// What is answered names nothing that was not offered, and negotiates to the same again.
fn negotiates(how: u8, header: &[u8]) {
    let rules = Rules {
        takeover: how & 1 == 0,
        window: WindowBits::new(9 + how / 2 % 7).unwrap(),
    };
    let Ok(Some(agreement)) = negotiate([header], &rules) else {
        return;
    };
    let answer = agreement.to_string();
    let offer = String::from_utf8_lossy(header);
    if answer.contains("client_max_window_bits") {
        assert!(offer.contains("client_max_window_bits"), "{offer}");
    }
    assert!(agreement.server.window <= rules.window);
    assert!(rules.takeover || !agreement.server.takeover && !agreement.client.takeover);
    let again = negotiate([answer.as_bytes()], &rules).unwrap().unwrap();
    assert_eq!(again.server, agreement.server, "{answer}");
    assert_eq!(again.client.takeover, agreement.client.takeover, "{answer}");
}
