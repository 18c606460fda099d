//! Tokens and keys, against tables of what has to be refused, published examples, and arbitrary bytes.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod corpus;
mod fixture;
mod fuzz_body;
mod properties;
mod published;
mod refusals;
mod sets;
mod unusable_keys;
