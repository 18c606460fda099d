//! Everything that one shard decides, without a socket, a clock or a thread.
//!
//! [`ShardCore`] owns the tables of one shard: connections, sessions, rooms, timers. The shell that
//! runs it admits connections, hands it [`Input`]s with the time, and then drains what has become
//! due: writes, frames to other shards, verdicts, closes. The same core runs in the engine on a
//! ring, and in tests by the thousand under virtual time.
#![forbid(unsafe_code)]

pub mod batch;
pub mod close;
pub mod compression;
pub mod connection;
pub mod dialect;
pub mod encoded;
pub mod farewell;
pub mod histogram;
mod lag;
pub mod limits;
pub mod line_budget;
pub mod members;
pub mod memory;
pub mod outbox;
pub mod pattern;
pub mod room;
pub mod room_settings;
pub mod session;
pub mod shard;
pub mod stats;
pub mod table;
pub mod tick;
pub mod wheel;

pub use batch::{Write, WriteOutcome};
pub use close::{CloseReason, Severity};
pub use compression::Compression;
pub use dialect::Target;
pub use farewell::Farewell;
pub use limits::Limits;
pub use pattern::Pattern;
pub use room_settings::{RoomPolicies, RoomSettings, SlowConsumer};
pub use shard::{Ending, Input, Refusal, Rules, ShardConfig, ShardCore, Verdict};
pub use stats::{DropReason, RefusedStatus, ShardStats};
pub use tick::Tick;

/// Names a connection of one shard; a later connection in the same place has another generation.
pub type ConnId = table::Key<connection::Connection>;
/// Names a session of one shard.
pub type SessionId = table::Key<session::Session>;
