//! RFC 7692, section 7.2: compressed payloads, and what is restored from them.

use ringmain_proto::ws::deflate::{Deflater, History, Inflater, WindowBits};
use ringmain_proto::ws::{CloseCode, MessageKind, ProtocolError};

use crate::naive_inflate;

const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

fn restored(payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    restored_after(&[], payload)
}

fn restored_after(history: &[u8], payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    let mut inflater = Inflater::new();
    inflater
        .inflate(MessageKind::Binary, payload, history, 1 << 20)
        .map(<[u8]>::to_vec)
}

fn hello() -> Result<Vec<u8>, ProtocolError> {
    Ok(b"Hello".to_vec())
}

#[test]
fn s7_2_1_the_tail_is_removed() {
    let mut deflater = Deflater::new(6, WindowBits::MAX);
    let payload = deflater.deflate(b"Hello", &[]).unwrap();
    assert_eq!(payload, HELLO);
}

#[test]
fn s7_2_1_whatever_the_length_the_payload_is_whole() {
    let mut deflater = Deflater::new(6, WindowBits::MAX);
    // Random bytes fill the compressor's room to its last byte at some length.
    let noise: Vec<u8> = (0_u32..40_000)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for bytes in (0..600).chain([4_095, 4_096, 16_384, 32_768, 40_000]) {
        let payload = deflater.deflate(&noise[..bytes], &[]).unwrap();
        assert_eq!(restored(payload).unwrap(), &noise[..bytes], "{bytes}");
    }
}

#[test]
fn s7_2_2_the_tail_is_put_back() {
    assert_eq!(restored(&HELLO), hello());
}

#[test]
fn s7_2_2_a_payload_that_does_not_end_with_a_block_is_invalid() {
    for cut in 1..HELLO.len() - 1 {
        let seen = restored(&HELLO[..cut]);
        assert_eq!(seen, Err(ProtocolError::CompressionInvalid), "{cut} bytes");
    }
    let code = ProtocolError::CompressionInvalid.close_code();
    assert_eq!(code, CloseCode::INVALID_DATA);
}

#[test]
fn s7_2_2_what_is_no_deflate_is_invalid() {
    for payload in [
        &[0xFF; 20][..],
        &[0x07],
        b"Hello",
        &[0xF3, 0x48, 0xFF, 0xFF, 0xFF],
    ] {
        assert_eq!(
            restored(payload),
            Err(ProtocolError::CompressionInvalid),
            "{payload:?}"
        );
    }
}

#[test]
fn s7_2_3_1_one_block() {
    assert_eq!(restored(&HELLO), hello());
}

#[test]
fn s7_2_3_2_a_message_may_refer_to_the_one_before() {
    let second = [0xF2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(restored_after(b"Hello", &second), hello());
    // Without context takeover there is none before.
    assert_eq!(restored(&second), Err(ProtocolError::CompressionInvalid));
    let mut deflater = Deflater::new(6, WindowBits::MAX);
    assert_eq!(deflater.deflate(b"Hello", b"Hello").unwrap(), second);
    // The compressor itself keeps nothing.
    assert_eq!(deflater.deflate(b"Hello", &[]).unwrap(), HELLO);
}

#[test]
fn s7_2_3_3_a_block_without_compression() {
    let stored = [
        0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
    ];
    assert_eq!(restored(&stored), hello());
}

#[test]
fn s7_2_3_4_a_block_that_is_marked_as_the_last() {
    let marked = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
    assert_eq!(restored(&marked), hello());
    // Some senders leave out the empty block behind it.
    assert_eq!(restored(&marked[..7]), hello());
    // Or mark that one.
    assert_eq!(restored(&[&HELLO[..6], &[0x04]].concat()), hello());
}

#[test]
fn s7_2_3_4_what_follows_a_last_block_may_refer_to_what_came_before_it() {
    // RFC 7692, 7.2.3.2: the five bytes back, in a block of their own.
    let back = [0xF2, 0x00, 0x11, 0x00, 0x00];
    let marked = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let payload = [&marked[..], &back].concat();
    assert_eq!(restored(&payload).unwrap(), b"HelloHello");
    // Seven bytes back, beyond this message: into the one before.
    let message = [&[0x00, 0x02, 0x00, 0xFD, 0xFF, b'!', b' '], &back[..]].concat();
    assert_eq!(restored_after(b"Hel", &message).unwrap(), b"! Hel! ");
}

#[test]
fn s7_2_3_4_last_blocks_without_end_are_refused() {
    // An empty block of the fixed code, marked as the last, in two bytes.
    let few = [0x03, 0x00].repeat(15);
    assert_eq!(restored(&few), Ok(vec![]));
    let many = [0x03, 0x00].repeat(30_000);
    assert_eq!(restored(&many), Err(ProtocolError::CompressionInvalid));
}

#[test]
fn s7_2_3_5_two_blocks_in_one_message() {
    let two = [
        0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
    ];
    assert_eq!(restored(&two), hello());
}

#[test]
fn s7_2_3_6_an_empty_message_is_one_zero_byte() {
    let mut deflater = Deflater::new(6, WindowBits::MAX);
    assert_eq!(deflater.deflate(&[], &[]).unwrap(), [0x00]);
    assert_eq!(deflater.deflate(&[], b"before").unwrap(), [0x00]);
    assert_eq!(restored(&[0x00]), Ok(vec![]));
    // Not as it must be, but as some send it.
    assert_eq!(restored(&[]), Ok(vec![]));
}

#[test]
fn rfc6455_8_1_text_is_checked_after_it_is_restored() {
    let mut deflater = Deflater::new(6, WindowBits::MAX);
    let mut inflater = Inflater::new();
    let good = "grün".repeat(30);
    let payload = deflater.deflate(good.as_bytes(), &[]).unwrap();
    let seen = inflater.inflate(MessageKind::Text, payload, &[], 1000);
    assert_eq!(seen, Ok(good.as_bytes()));
    // Cut within a character, and a byte that no text has.
    for bad in [&good.as_bytes()[..good.len() - 2], b"\xC0\x80"] {
        let payload = deflater.deflate(bad, &[]).unwrap();
        let seen = inflater.inflate(MessageKind::Text, payload, &[], 1000);
        assert_eq!(seen, Err(ProtocolError::TextNotUtf8));
        let seen = inflater.inflate(MessageKind::Binary, payload, &[], 1000);
        assert_eq!(seen, Ok(bad));
    }
}

#[test]
fn s8_a_bomb_is_stopped_at_the_limit() {
    let mut deflater = Deflater::new(9, WindowBits::MAX);
    let bomb = deflater.deflate(&vec![0; 64 << 20], &[]).unwrap().to_vec();
    assert!(bomb.len() < 70_000, "{}", bomb.len());
    let mut inflater = Inflater::new();
    for bytes_max in [0, 1, 1000, 65_536] {
        let error = Err(ProtocolError::MessageTooBig { bytes_max });
        let seen = inflater.inflate(MessageKind::Binary, &bomb, &[], bytes_max);
        assert_eq!(seen, error);
        let message = vec![7; bytes_max];
        let payload = deflater.deflate(&message, &[]).unwrap();
        let seen = inflater.inflate(MessageKind::Binary, payload, &[], bytes_max);
        assert_eq!(seen, Ok(&message[..]), "at the limit");
        if let Some(less) = bytes_max.checked_sub(1) {
            let error = Err(ProtocolError::MessageTooBig { bytes_max: less });
            let seen = inflater.inflate(MessageKind::Binary, payload, &[], less);
            assert_eq!(seen, error, "one byte beyond");
        }
    }
}

/// Bytes that repeat nothing, different for each `seed`.
fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    (0..bytes).map(next).collect()
}

#[test]
fn s7_1_2_no_message_refers_further_back_than_the_window() {
    for bits in 9..=15 {
        let window = WindowBits::new(bits).unwrap();
        // Once more after a quarter of the window, and once more after more than all of it.
        let piece_bytes = window.bytes() / 4 + 64;
        let pieces = [1, 1, 2, 3, 4, 5, 1].map(|seed| noise(seed, piece_bytes));
        let message = pieces.concat();
        for level in 1..=9 {
            let mut deflater = Deflater::new(level, window);
            for history in [&[][..], &message[message.len() - window.bytes()..]] {
                let payload = deflater.deflate(&message, history).unwrap();
                let naive = naive_inflate::inflate(payload, history, 1 << 20);
                let naive = naive.unwrap().unwrap();
                assert_eq!(naive.message, message);
                let distance = naive.distance_max;
                assert!(
                    distance <= window.bytes() && distance >= piece_bytes,
                    "level {level}, {bits} bits: {distance}"
                );
            }
        }
    }
}

#[test]
fn s7_1_1_a_history_is_the_last_window_of_bytes() {
    let window = WindowBits::MIN;
    let mut history = History::default();
    assert_eq!(history.held_bytes(), 0);
    let mut all = Vec::new();
    for n in 0..200_u32 {
        let message: Vec<u8> = (0..n * 7 % 600).map(|i| (i + n) as u8).collect();
        history.push(&message, window);
        all.extend(message);
        let expected = &all[all.len().saturating_sub(window.bytes())..];
        assert_eq!(history.as_slice(), expected);
        assert!(history.held_bytes() <= window.bytes());
    }
}
