//! Members that break the protocol.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use ringmain_proto::ws::Opcode;

use crate::client::{Bytes, frame, read_to_end, upgraded, upgraded_with};
use crate::world::{BACKENDS, Engine, GoodMembers};

#[test]
fn whatever_the_fuzzer_has_found_ends_its_sender_alone() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shard/proto/fuzz/corpus/parser");
    let files: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() > 100, "the corpus is there");
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let good = GoodMembers::talk(&engine, 4);
        for file in &files {
            let bytes = fs::read(file).unwrap();
            let mut stream = upgraded(engine.address, "/raw/bad");
            // The engine may have closed in the middle.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
            read_to_end(&mut stream);
        }
        good.assert_unharmed();
        assert!(engine.closed("protocol_error") > 50);
        engine.assert_well();
    }
}

#[test]
fn a_compression_bomb_is_defused_at_the_bound_of_a_message() {
    // Within the bound as it is sent; 50 MB once inflated.
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 50_000_000]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 60_000);
    let mut message = frame(Opcode::Binary, &bomb);
    // RSV1: compressed.
    message[0] |= 0x40;
    for backend in BACKENDS {
        let engine = Engine::start(backend, &["--compression"]);
        let good = GoodMembers::talk(&engine, 4);
        let before = engine.resident_bytes();
        for _ in 0..100 {
            let mut stream = upgraded_with(
                engine.address,
                "/raw/bad",
                "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            );
            let _ = stream.write_all(&message);
            let said = read_to_end(&mut stream);
            // A close frame with 1009.
            assert_eq!((said[0], &said[2..4]), (0x88, &[0x03, 0xf1][..]));
        }
        good.assert_unharmed();
        assert_eq!(engine.closed("message_too_big"), 100);
        let grown = engine.resident_bytes().saturating_sub(before);
        assert!(grown < 50_000_000, "{grown} bytes more");
        engine.assert_well();
    }
}

#[test]
fn random_bytes_are_no_frames() {
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let good = GoodMembers::talk(&engine, 4);
        let mut random = Bytes(97);
        for length in 1..500 {
            let mut stream = upgraded(engine.address, "/raw/bad");
            let _ = stream.write_all(&random.take(4 * length));
            let _ = stream.shutdown(Shutdown::Write);
            read_to_end(&mut stream);
        }
        good.assert_unharmed();
        engine.assert_well();
    }
}
