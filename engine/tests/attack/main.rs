//! Under attack and in trouble: while one thing or another is done to the engine, a thousand good members talk, and
//! each of their messages reaches everyone once.
//!
//! The engine and the good members are processes of their own; the attackers are this one, or the load generator.
//! What the engine must have done to the attackers is read from its metrics.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod bounds;
mod client;
mod crowds;
mod frames;
mod handshakes;
mod network;
mod restart;
#[path = "../support/mod.rs"]
mod support;
mod world;
