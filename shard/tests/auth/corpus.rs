//! The fuzzer's corpus, replayed.

use std::fs;
use std::path::Path;

use crate::fuzz_body;

#[test]
fn the_corpus_of_the_fuzzer_of_tokens_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/fuzz/corpus/tokens");
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
