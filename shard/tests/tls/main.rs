//! TLS on real sockets, on both back ends, with rustls over blocking sockets as the foreign client.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod certificates;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod handshakes;
mod limits;
mod support;
