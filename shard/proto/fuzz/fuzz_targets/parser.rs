//! Fuzzes the WebSocket parser; the body is shared with the test that replays the corpus.
#![no_main]

#[path = "../../tests/ws/drive.rs"]
#[allow(dead_code)] // The fuzzer needs only the part that parses.
mod drive;
#[path = "../../tests/ws/fuzz_body.rs"]
mod fuzz_body;
#[path = "../../tests/ws/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_body::run(data));
