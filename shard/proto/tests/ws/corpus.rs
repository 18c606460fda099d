//! The fuzzer's corpus, replayed.

use std::fs;
use std::path::Path;

use crate::{deflate_fuzz_body, fuzz_body, head_fuzz_body};

#[allow(
    clippy::disallowed_methods,
    reason = "the corpus lies in files; the crate itself reads none"
)]
fn replay(target: &str, run: fn(&[u8]), least: usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(directory).unwrap() {
        run(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(
        replayed > least,
        "only {replayed} inputs: the corpus is missing"
    );
}

#[test]
fn the_corpus_of_the_fuzzer_passes() {
    replay("parser", fuzz_body::run, 100);
}

#[test]
fn the_corpus_of_the_fuzzer_of_compression_passes() {
    replay("deflate", deflate_fuzz_body::run, 50);
}

#[test]
fn the_corpus_of_the_fuzzer_of_heads_passes() {
    replay("head", head_fuzz_body::run, 50);
}
