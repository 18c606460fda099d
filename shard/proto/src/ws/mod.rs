//! The WebSocket protocol, RFC 6455, in the server's and the client's role, with compression, RFC 7692, in the server's.
//!
//! * [`Parser`] turns received bytes into [`Event`]s, unmasking them where they lie.
//! * [`encode`] writes frames.
//! * [`deflate`] compresses messages and restores them.
//! * [`handshake`] checks the opening handshake on both sides.

mod close;
pub mod deflate;
pub mod encode;
mod error;
mod event;
pub mod handshake;
mod header;
mod opcode;
mod parser;
mod text;
mod unfinished;

pub use close::{CloseCode, CloseFrame};
pub use error::ProtocolError;
pub use event::{Event, MessageKind, Payload};
pub use opcode::Opcode;
pub use parser::{Parser, ParserSettings, Role};

/// The largest payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;
