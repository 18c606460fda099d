//! What the engine is measured by: the floors' own bit of WebSocket, the peers' common part, and the workloads.
//!
//! Nothing in [`frame`], [`handshake`] and [`process`] is the engine's code, on purpose: a floor that shared the
//! engine's codec would hide what that costs.

pub mod frame;
pub mod handshake;
pub mod peer;
pub mod process;
pub mod workloads;
