//! Fuzzes the PROXY header; the body is shared with the test that replays the corpus.
#![no_main]

#[path = "../../tests/proxy/fuzz_body.rs"]
mod fuzz_body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_body::run(data));
