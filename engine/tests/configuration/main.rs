//! The fuzzer's corpus of configuration files, replayed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fuzz_body;

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_of_the_fuzzer_of_configurations_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/configuration");
    let mut replayed = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        fuzz_body::run(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(
        replayed > 50,
        "only {replayed} inputs: the corpus is missing"
    );
}

#[test]
fn all_that_can_be_set_passes() {
    let settings = ringmain::config::Settings::default();
    fuzz_body::run(ringmain::config::render::template(&settings).as_bytes());
}
