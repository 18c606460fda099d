//! A session: who somebody is, where they are a member, and what waits to be sent to them.

use ringmain_proto::ws::deflate::Direction;

use crate::ConnId;
use crate::dialect::DialectState;
use crate::outbox::Outbox;
use crate::room::RoomKey;
use crate::room_settings::{RoomSettings, SlowConsumer};
use crate::stats::DropReason;
use crate::tick::Tick;

/// A session, carried by a connection.
#[derive(Debug)]
pub struct Session {
    /// The connection that carries it.
    pub conn: ConnId,
    /// How it speaks.
    pub dialect: DialectState,
    /// How what is sent to it is compressed; `None`: not at all.
    pub deflates: Option<Direction>,
    /// Its place in the room that it is a member of.
    pub membership: Option<Membership>,
    /// What waits to be sent.
    pub outbox: Outbox,
    /// Since when the outbox is above its soft bound.
    pub slow_since: Option<Tick>,
    /// How the session stands with the flush.
    pub flush: FlushState,
}

/// How an outbox stands to its bounds, after something was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxState {
    /// Within bounds, or known to be above the soft one.
    Known,
    /// Just above the soft bound: its time begins to run.
    BecameSlow,
    /// Above the hard bound.
    Overflowing,
}

impl Session {
    /// Looks at the outbox after something was put in. The bounds are in bytes.
    pub fn watch_outbox(&mut self, now: Tick, soft: usize, hard: usize) -> OutboxState {
        match self.outbox.bytes() {
            bytes if bytes > hard => OutboxState::Overflowing,
            bytes if bytes > soft && self.slow_since.is_none() => {
                self.slow_since = Some(now);
                OutboxState::BecameSlow
            }
            _ => OutboxState::Known,
        }
    }

    /// Drops publications as the session's room has it, down to what may wait for a slow consumer. Returns how many.
    pub fn make_room(&mut self, settings: &RoomSettings) -> Option<(DropReason, u64)> {
        let (reason, dropped) = match settings.slow_consumer {
            SlowConsumer::Disconnect => return None,
            SlowConsumer::DropOldest => (
                DropReason::DropOldest,
                self.outbox
                    .drop_oldest(settings.queue_bytes_max, settings.queue_messages_max),
            ),
            SlowConsumer::KeepLatest => (DropReason::KeepLatest, self.outbox.drop_oldest(0, 0)),
        };
        (dropped > 0).then_some((reason, dropped))
    }
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
    /// It stands in the queue of sessions that are to be flushed promptly.
    pub in_prompt: bool,
    /// It stands in the queue of sessions with deliveries to large rooms.
    pub in_bulk: bool,
    /// It is one of those that are being written.
    pub in_batch: bool,
    /// Its connection is paused until the outbox has room.
    pub paused: bool,
    /// Its connection is being closed, and waits for the outbox to be empty.
    pub closing: bool,
}
