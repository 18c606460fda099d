//! `ringmain-load` against a small server that can misbehave: what goes wrong must be counted.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod clean;
mod faults;
mod interrupt;
mod program;
mod refusals;
mod results;
mod scenarios;
mod server;
mod tls;
