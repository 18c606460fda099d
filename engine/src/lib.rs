//! The engine: configuration, start, control plane and end of a Ringmain node. What a node does is
//! in the crates below; here it is put together.
#![forbid(unsafe_code)]

pub mod auth;
pub mod banner;
pub mod bootstrap;
pub mod certificates;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod control;
pub mod fatal;
pub mod host;
pub mod logging;
pub mod metrics;
pub mod plan;
pub mod policy;
pub mod reload;
pub mod sources;
pub mod token;
pub mod tune;
