//! The fuzzer's corpus of what nodes tell each other, replayed.
#![allow(clippy::disallowed_methods, reason = "the corpus lies in files")]

use std::fs;
use std::path::Path;

use super::fuzz_body;

#[test]
fn the_corpus_of_the_fuzzer_of_the_cluster_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/cluster");
    let mut replayed = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        fuzz_body::run(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(
        replayed > 100,
        "only {replayed} inputs: the corpus is missing"
    );
}
