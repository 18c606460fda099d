//! Tests of `ringmain_proto::ws` against RFC 6455, and those of `deflate` against RFC 7692; a test's name begins with the section that it holds the code to.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod builder;
mod deflate_fuzz_body;
mod drive;
mod fuzz_body;
mod head_fuzz_body;
mod naive_inflate;
mod oracle;
mod strategies;

mod close_frames;
mod control_frames;
mod corpus;
mod deflate_frames;
mod deflate_negotiation;
mod deflate_payloads;
mod deflate_properties;
mod encoding;
mod fastwebsockets_agrees;
mod fragmentation;
mod framing;
mod handshake_client;
mod handshake_server;
mod limits;
mod properties;
mod text;
