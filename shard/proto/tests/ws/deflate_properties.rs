//! Properties of all messages, against the RFC's own words by a naive inflater and against flate2's streams.

use flate2::{Compress, Compression, FlushCompress};
use proptest::collection::vec;
use proptest::prelude::*;
use ringmain_proto::ws::deflate::{Deflater, History, Inflater, WindowBits};
use ringmain_proto::ws::{Event, MessageKind, ParserSettings, Role};

use crate::builder::{BINARY, CONTINUATION, FIN, KEY, Length, RSV1, TEXT, frame_with_length};
use crate::{deflate_fuzz_body, drive};

/// Messages with much and with little to compress.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..400),
        "[a-d ]{0,600}".prop_map(String::into_bytes),
        (any::<u8>(), 0..70_000_usize).prop_map(|(byte, bytes)| vec![byte; bytes]),
        (vec(any::<u8>(), 1..50), 0..200_usize).prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

fn window() -> impl Strategy<Value = WindowBits> {
    (9..=15_u8).prop_map(|bits| WindowBits::new(bits).unwrap())
}

/// A compressed message cut into fragments at ascending positions, as a client sends it.
fn fragments(payload: &[u8], cuts: &[prop::sample::Index]) -> Vec<u8> {
    let mut cuts: Vec<_> = cuts
        .iter()
        .map(|cut| cut.index(payload.len() + 1))
        .collect();
    cuts.sort_unstable();
    cuts.push(payload.len());
    let mut stream = Vec::new();
    let (mut first, mut start) = (RSV1 | BINARY, 0);
    for (index, &end) in cuts.iter().enumerate() {
        let fin = if index + 1 == cuts.len() { FIN } else { 0 };
        let piece = &payload[start..end];
        stream.extend(frame_with_length(
            fin | first,
            Some(KEY),
            Length::Minimal,
            piece,
        ));
        (first, start) = (CONTINUATION, end);
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn messages_come_back_over_any_fragments_and_splits_with_and_without_context(
        messages in vec((message(), vec(any::<prop::sample::Index>(), 0..4)), 1..6),
        splits in vec(any::<prop::sample::Index>(), 0..10),
        window in window(),
        takeover in any::<bool>(),
        level in 1..=9_u8,
    ) {
        let settings = ParserSettings {
            role: Role::Server,
            message_bytes_max: 80_000,
            compression: true,
        };
        let mut deflater = Deflater::new(level, window);
        let (mut sent, mut stream) = (History::default(), Vec::new());
        for (message, cuts) in &messages {
            let payload = deflater.deflate(message, sent.as_slice()).unwrap();
            stream.extend(fragments(payload, cuts));
            if takeover {
                sent.push(message, window);
            }
        }
        let mut splits: Vec<_> = splits.iter().map(|split| split.index(stream.len() + 1)).collect();
        splits.sort_unstable();
        let mut inflater = Inflater::new();
        let mut received = History::default();
        let mut restored = Vec::new();
        for event in drive::parse_split(&settings, &stream, splits) {
            let Ok(Event::Compressed { kind, payload }) = event else {
                panic!("{event:?}");
            };
            let message = inflater.inflate(kind, &payload, received.as_slice(), 80_000).unwrap();
            if takeover {
                received.push(message, window);
            }
            restored.push(message.to_vec());
        }
        let expected: Vec<_> = messages.into_iter().map(|(message, _)| message).collect();
        prop_assert_eq!(restored, expected);
    }

    #[test]
    fn a_stream_of_flate2_with_its_own_context_is_restored_by_histories(
        messages in vec(message(), 1..8),
        window in window(),
        level in 0..=9_u32,
    ) {
        let mut oracle = Compress::new_with_window_bits(Compression::new(level), false, window.get());
        let mut inflater = Inflater::new();
        let mut history = History::default();
        for message in &messages {
            let mut payload = Vec::with_capacity(message.len() + message.len() / 2 + 1024);
            oracle.compress_vec(message, &mut payload, FlushCompress::Sync).unwrap();
            let payload = payload.strip_suffix(&[0, 0, 0xFF, 0xFF]).unwrap_or(&[0]);
            let restored = inflater
                .inflate(MessageKind::Binary, payload, history.as_slice(), message.len())
                .unwrap();
            prop_assert_eq!(restored, &message[..]);
            history.push(restored, window);
        }
    }

    #[test]
    fn any_bytes_are_restored_as_the_naive_inflater_does(
        how in any::<u8>(),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        deflate_fuzz_body::run(&[&[0, how], &bytes[..]].concat());
    }

    #[test]
    fn damaged_payloads_are_restored_as_the_naive_inflater_does(
        how in any::<u8>(),
        message in message(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut payload = Deflater::new(6, WindowBits::MAX).deflate(&message, &[]).unwrap().to_vec();
        for (index, byte) in damage {
            let index = index.index(payload.len());
            payload[index] = byte;
        }
        deflate_fuzz_body::run(&[&[0, how % 4], &payload[..]].concat());
    }

    #[test]
    fn any_message_comes_back_and_keeps_to_its_window(how in any::<u8>(), message in message()) {
        deflate_fuzz_body::run(&[&[1, how], &message[..]].concat());
    }

    #[test]
    fn text_comes_back_as_text(text in any::<String>()) {
        let mut deflater = Deflater::new(6, WindowBits::MAX);
        let payload = deflater.deflate(text.as_bytes(), &[]).unwrap();
        let frame = frame_with_length(FIN | RSV1 | TEXT, Some(KEY), Length::Minimal, payload);
        let settings = ParserSettings { compression: true, ..drive::SERVER };
        let seen = drive::parse(&settings, &frame);
        let [Ok(Event::Compressed { kind, payload })] = &seen[..] else {
            panic!("{seen:?}");
        };
        let mut inflater = Inflater::new();
        prop_assert_eq!(inflater.inflate(*kind, payload, &[], 1 << 20).unwrap(), text.as_bytes());
    }
}
