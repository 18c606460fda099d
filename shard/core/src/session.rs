//! A session: who somebody is, where they are a member, and what waits to be sent to them.

use crate::ConnId;
use crate::dialect::DialectState;
use crate::outbox::Outbox;
use crate::room::RoomKey;
use crate::tick::Tick;

/// A session, carried by a connection.
#[derive(Debug)]
pub struct Session {
    /// The connection that carries it.
    pub conn: ConnId,
    /// How it speaks.
    pub dialect: DialectState,
    /// Its place in the room that it is a member of.
    pub membership: Option<Membership>,
    /// What waits to be sent.
    pub outbox: Outbox,
    /// Since when the outbox is above its soft bound.
    pub slow_since: Option<Tick>,
    /// How the session stands with the flush.
    pub flush: FlushState,
}

/// A session's place in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The room.
    pub room: RoomKey,
    /// The member slot; `None` while home has not confirmed.
    pub position: Option<u32>,
}

/// How a session stands with the flush.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlushState {
    /// The opening handshake is answered: what is queued may be sent.
    pub open: bool,
    /// The socket takes nothing until it says so.
    pub blocked: bool,
    /// It stands in the queue of sessions with replies.
    pub in_replies: bool,
    /// It stands in the queue of sessions with deliveries.
    pub in_deliveries: bool,
    /// Its connection is paused until the outbox has room.
    pub paused: bool,
    /// Its connection is being closed, and waits for the outbox to be empty.
    pub closing: bool,
}
