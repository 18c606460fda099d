//! What moves between shards, and how.
//!
//! A [`Publication`] is made once, on the shard of its publisher. [`placement`] names the one shard
//! of the node, the room's home, that alone writes the room's [`RoomCell`]: which shards have
//! members. Publishers read the cell and send one [`ShardFrame`] to each of them over the [`mesh`].
//!
//! The crate decides and stores; it opens no socket, reads no clock and starts no thread.
#![forbid(unsafe_code)]

pub mod cell;
pub mod doorbell;
pub mod frame;
pub mod home;
pub mod id;
pub mod interest;
pub mod mesh;
pub mod moment;
pub mod placement;
pub mod publication;
pub mod room;

pub use cell::RoomCell;
pub use doorbell::{Doorbell, SleepWord};
pub use frame::{Holding, Lane, ShardFrame};
pub use home::HomeTable;
pub use id::{Generation, MemberId, PeerId, SHARDS_MAX};
pub use interest::Interest;
pub use mesh::{Mesh, MeshLimits, MeshPort};
pub use moment::Moment;
pub use publication::{PayloadKind, Publication};
pub use room::{RoomId, RoomKey, RoomName, RoomNameError};
