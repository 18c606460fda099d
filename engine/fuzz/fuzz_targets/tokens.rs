//! Fuzzes tokens, their claims, and keys; the body is shared with the test that replays the corpus.
#![no_main]

#[path = "../../../shard/tests/auth/fixture.rs"]
#[allow(dead_code)] // The fuzzer needs only a part.
mod fixture;
#[path = "../../../shard/tests/auth/fuzz_body.rs"]
mod fuzz_body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_body::run(data));
