//! The fuzzer's corpus, replayed.

use std::fs;
use std::path::Path;

use crate::fuzz_body;

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the corpus lies in files; the crate itself reads none"
)]
fn the_corpus_of_the_fuzzer_passes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parser");
    let mut replayed = 0;
    for entry in fs::read_dir(directory).unwrap() {
        fuzz_body::run(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(
        replayed > 100,
        "only {replayed} inputs: the corpus is missing"
    );
}
