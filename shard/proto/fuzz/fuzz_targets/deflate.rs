//! Fuzzes compression; the body is shared with the test that replays the corpus.
#![no_main]

#[path = "../../tests/ws/deflate_fuzz_body.rs"]
mod deflate_fuzz_body;
#[path = "../../tests/ws/naive_inflate.rs"]
mod naive_inflate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| deflate_fuzz_body::run(data));
