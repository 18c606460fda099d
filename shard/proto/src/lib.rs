//! Bytes to frames to commands, and back.
//!
//! This crate is pure: it takes byte slices and returns values. It has no sockets, no clock, no threads, no async
//! and no randomness of its own, so that every rule in it can be tested with a slice and a comparison.

#![forbid(unsafe_code)]

pub mod proxy;
pub mod ws;
