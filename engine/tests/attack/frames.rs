//! Members that break the protocol.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::path::Path;

use crate::client::{Bytes, read_to_end, upgraded};
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
        let mut engine = Engine::start(backend, &[]);
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
fn random_bytes_are_no_frames() {
    for backend in BACKENDS {
        let mut engine = Engine::start(backend, &[]);
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
