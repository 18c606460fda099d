//! Runs one [`ShardCore`](ringmain_core::ShardCore) on a pinned thread: accepts connections, speaks
//! HTTP until the upgrade, moves bytes between sockets and core, frames between core and mesh.
//!
//! [`start`] starts all shards of a node.
#![forbid(unsafe_code)]

mod accept;
mod accept_pace;
mod addresses;
mod admission;
pub mod auth;
mod connection;
mod control;
mod gate;
mod http;
mod journal;
mod listening;
mod node;
mod node_errors;
pub mod origin;
mod place;
mod policy;
mod pulse;
mod shell;
mod sockets;
mod tls;
mod transport;
mod waiting;

pub use journal::{CLOSE_TARGET, REFUSE_TARGET};
pub use node::{LinkEnd, Node, NodeConfig, ShardHandle, descriptors_beside_connections, start};
pub use node_errors::{ShardError, StartError};
pub use origin::Origins;
pub use policy::Policy;
pub use pulse::Pulse;
pub use tls::{CertificateError, CertificateFacts, Pem, ServerTls, Tickets};

/// Descriptors that a shard keeps back, to answer those for whom there is no room.
pub const DESCRIPTORS_RESERVED: usize = 64;
/// Connections that a shard accepts before it looks at the others again.
pub const TURN_ACCEPTS_MAX: usize = 64;
/// How long accepting pauses for want of a descriptor, in milliseconds, if none is freed before.
pub const ACCEPT_RETRY_MS: u64 = 100;
/// How long a drained shard waits for connections that are half open when it lets no more begin, in milliseconds.
pub const HALF_OPEN_MS: u64 = 200;
/// How long a refused connection has to read its answer, in milliseconds.
pub const REFUSAL_MS: u64 = 1_000;
/// Bytes received in one call: the one receive buffer of a shard.
pub const RECEIVE_BYTES_MAX: usize = 128 * 1024;
