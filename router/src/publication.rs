//! One message on its way through a room.

use bytes::Bytes;

use crate::id::MemberId;
use crate::moment::Moment;

/// What a payload is, whatever dialect it came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// Checked UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// One message to a room, made once and shared by all shards that deliver it. Each dialect encodes
/// it its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// What the payload is.
    pub kind: PayloadKind,
    /// The message itself, never changed and never copied on its way between shards.
    pub payload: Bytes,
    /// The session that does not get it: the publisher, unless it asked for its own messages.
    pub exclude: Option<MemberId>,
    /// When the publisher's shard began to handle it: the delivery lag counts from here. `None` is not counted.
    pub began: Option<Moment>,
}
