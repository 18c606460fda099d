//! Fuzzes the heads of requests and responses; the body is shared with the test that replays the corpus.
#![no_main]

#[path = "../../tests/ws/head_fuzz_body.rs"]
mod head_fuzz_body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| head_fuzz_body::run(data));
