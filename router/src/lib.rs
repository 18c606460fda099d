//! What moves between shards, and how.
//!
//! A [`Publication`] is made once, on the shard of its publisher. [`placement`] names the one shard
//! of the node, the room's home, that alone writes the room's [`RoomCell`]: which shards have
//! members. Publishers read the cell and send one [`ShardFrame`] to each of them over the [`mesh`]. Between nodes,
//! [`cluster`] is the protocol.
//!
//! The crate decides and stores; it opens no socket, reads no clock and starts no thread.
#![forbid(unsafe_code)]

pub mod cell;
pub mod claim;
pub mod cluster;
pub mod doorbell;
pub mod frame;
pub mod gcra;
pub mod home;
pub mod id;
pub mod interest;
pub mod lease;
mod members_told;
pub mod mesh;
pub mod moment;
pub mod order;
pub mod placement;
pub mod publication;
pub mod room;
pub mod slots;
pub mod subject;
pub mod tick;

pub use cell::RoomCell;
pub use claim::Claim;
pub use doorbell::{Doorbell, SleepWord};
pub use frame::{Holding, Lane, ShardFrame};
pub use gcra::{Gcra, Rate};
pub use home::HomeTable;
pub use id::{Generation, MemberId, PeerId, SHARDS_MAX};
pub use interest::Interest;
pub use mesh::{Mesh, MeshLimits, MeshPort};
pub use moment::Moment;
pub use order::{CloseOrder, CloseRequest, ConnectionName};
pub use publication::{PayloadKind, Publication};
pub use room::{RoomId, RoomKey, RoomName, RoomNameError};
pub use slots::{Denial, SlotTable, Wish};
pub use subject::{Subject, SubjectId, SubjectKind, SubjectMap};
pub use tick::Tick;
