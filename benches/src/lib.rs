//! What the floor and its load source share: just enough of WebSocket, and the process's own limits.
//!
//! None of this is the engine's code, on purpose: a floor that shared the engine's codec would hide what that costs.

pub mod frame;
pub mod handshake;
pub mod process;
