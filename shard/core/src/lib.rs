//! Everything that one shard decides, without a socket, a clock or a thread.
//!
//! [`ShardCore`] owns the tables of one shard: connections, sessions, rooms, timers. The shell that
//! runs it admits connections, hands it [`Input`]s with the time, and then drains what has become
//! due: writes, frames to other shards, verdicts, closes. The same core runs in the engine on a
//! ring, and in tests by the thousand under virtual time.
#![forbid(unsafe_code)]

pub mod access;
pub mod alarms;
pub mod batch;
pub mod blocks;
pub mod cidr;
pub mod close;
pub mod compression;
pub mod connection;
pub mod dialect;
pub mod encoded;
pub mod farewell;
pub mod forwarded;
pub use ringmain_router::gcra;
pub mod histogram;
mod lag;
pub use ringmain_router::lease::held as lease;
pub mod lender;
pub mod limited;
pub mod limits;
pub mod line_budget;
pub mod members;
pub mod memory;
pub mod outbox;
pub mod pattern;
pub mod rates;
pub mod refused_token;
pub mod room;
pub mod room_settings;
pub mod session;
pub mod shard;
pub mod stats;
pub mod table;
pub use ringmain_router::tick;
pub mod wheel;

pub use access::{Access, Expiry, Pass, RefusedPublish, Rights, RoomRights, RoomRule};
pub use batch::{Write, WriteOutcome};
pub use blocks::BlockRule;
pub use cidr::{Cidr, Networks};
pub use close::{CloseReason, Severity};
pub use compression::Compression;
pub use dialect::Target;
pub use farewell::Farewell;
pub use gcra::Rate;
pub use limits::Limits;
pub use pattern::Pattern;
pub use rates::{ConnectionRates, RateAction, RateLimit};
pub use refused_token::RefusedToken;
pub use room_settings::{RoomPolicies, RoomSettings, SlowConsumer};
pub use shard::{Ending, Input, Refusal, Rules, ShardConfig, ShardCore, Verdict};
pub use stats::{DropReason, RefusedStatus, ShardStats, TlsHandshake};
pub use tick::Tick;

/// Names a connection of one shard; a later connection in the same place has another generation.
pub type ConnId = table::Key<connection::Connection>;
/// Names a session of one shard.
pub type SessionId = table::Key<session::Session>;
