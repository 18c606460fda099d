//! The cluster's protocol: its bytes, its tables against naive oracles, and whole links over a made-up broker.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod corpus;
mod fixture;
mod fuzz_body;
mod links;
mod orders;
mod plain;
mod queue;
mod rooms_here;
mod streams;
mod subjects;
mod users;
mod wire;

use fixture::{SECRET, cell, name, plain_limits};
