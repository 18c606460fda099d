//! One shard's decisions: the tables, the way in and the ways out.

mod fanout;
mod frames;
mod lifecycle;
mod publish;
mod receive;
mod rooms;
mod timers;
mod write;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::{ParserSettings, Role};
use ringmain_router::room::RoomMap;
use ringmain_router::{
    Generation, HomeTable, PeerId, Publication, RoomId, RoomKey as RoomSecret, ShardFrame,
};

use crate::compression::Codecs;
use crate::connection::Connection;
use crate::dialect::Target;
use crate::limits::{
    Limits, MEMORY_REFUSE_PERCENT, OUTGOING_WAIT_MS, TURN_WRITES_MAX, TURN_WRITES_WHILE_FANNING_OUT,
};
use crate::memory::Meter;
use crate::room::{Room, RoomKey};
use crate::session::Session;
use crate::stats::ShardStats;
use crate::table::Table;
use crate::tick::Tick;
use crate::wheel::Wheel;
use crate::{ConnId, SessionId};

/// What a shard is told when it is made.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which shard it is.
    pub me: PeerId,
    /// How many shards the node has.
    pub shards: usize,
    /// The node's secret for room ids.
    pub room_secret: RoomSecret,
    /// Its bounds.
    pub limits: Limits,
    /// Where it counts.
    pub stats: Arc<ShardStats>,
}

/// What happens to a shard.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection's HTTP asks for an upgrade. Answered by a [`Verdict`].
    Upgrade {
        /// The connection.
        conn: ConnId,
        /// Where it wants to go.
        target: Target,
        /// How its messages are compressed, if at all; as [`ShardCore::affordable`] has it.
        compression: Option<Agreement>,
    },
    /// Bytes of HTTP, to be sent before all else.
    Respond {
        /// The connection.
        conn: ConnId,
        /// The bytes.
        bytes: Bytes,
    },
    /// The HTTP exchange ended without an upgrade: close once the response is sent.
    HttpDone {
        /// The connection.
        conn: ConnId,
    },
    /// The 101 was handed over by [`Input::Respond`]: from now on the connection speaks WebSocket.
    Upgraded {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes of WebSocket have come in. They are unmasked in place.
    Received {
        /// The connection.
        conn: ConnId,
        /// The bytes.
        bytes: &'a mut [u8],
    },
    /// A socket that took less than it was offered takes more again.
    Writable {
        /// The connection.
        conn: ConnId,
    },
    /// The socket is gone; the connection's id is void from here on.
    Ended {
        /// The connection.
        conn: ConnId,
    },
    /// The bounds have changed. They hold for what happens from now on: what was let in by the old ones stays.
    Configure(Box<Limits>),
    /// A peer has sent something. Data frames only if [`ShardCore::takes_data`] has just said so.
    Frame(ShardFrame),
    /// Time has passed, and there may be work left: once a turn.
    Turn {
        /// Payload bytes that wait in the shard's own data lane.
        lane_bytes: usize,
    },
}

/// Whether an upgrade is granted: then the 101 may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session counts everywhere.
    Granted,
    /// Another room holds the room's id.
    NameCollision,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The shard is closing its connections.
    #[error("the server is stopping")]
    Stopping,
    /// The shard's memory is nearly used up.
    #[error("the server's memory is full")]
    MemoryFull,
    /// The node, or the shard's descriptor table, has as many connections as it may.
    #[error("the server has as many connections as it may")]
    ConnectionsMax,
}

/// What the shell does to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Close our half: the peer has all there is, and what it still sends is read until it ends.
    HalfClose,
    /// Shut both halves; the read that follows ends the connection.
    Shutdown,
}

/// Frames for one other shard that wait for room in its lane.
#[derive(Debug, Default)]
struct Outgoing {
    frames: VecDeque<ShardFrame>,
    /// When the lane last took a frame, or the oldest of these began to wait.
    moved: Tick,
    /// Connections that are not read until half of the frames are sent.
    paused: Vec<ConnId>,
}

/// Owns everything of one shard. See the crate's documentation.
pub struct ShardCore {
    me: PeerId,
    shards: usize,
    room_secret: RoomSecret,
    limits: Limits,
    parser_settings: ParserSettings,
    stats: Arc<ShardStats>,
    meter: Meter,
    codecs: Codecs,
    /// Payload bytes in the shard's own data lane, as of this turn.
    lane_bytes: usize,

    connections: Table<Connection>,
    sessions: Table<Session>,
    rooms: Table<Room>,
    room_index: RoomMap<RoomKey>,
    members: usize,
    wheel: Wheel,
    /// Owners of deadlines that have come; kept for its memory alone.
    due: Vec<u32>,

    home: HomeTable,
    generations: Generation,
    /// Rooms whose interest has changed since home was told; each stands here once.
    untold: VecDeque<RoomKey>,
    /// Rooms with publications to deliver; each stands here once.
    scheduled: VecDeque<RoomKey>,
    outgoing: Vec<Outgoing>,
    /// Shards for which as many frames wait as may.
    outgoing_full: u64,
    /// A publication from another shard whose room takes no more at present.
    stalled: Option<(RoomId, Generation, Arc<Publication>)>,

    /// Sessions with something to send, those with replies and deliveries to small rooms apart, so
    /// that these do not wait behind a large fan-out. Each session stands at most once in each.
    prompt: VecDeque<SessionId>,
    bulk: VecDeque<SessionId>,
    bulk_next: bool,
    /// Writes of the bulk queue that this turn may still make.
    bulk_writes_left: usize,
    http_due: VecDeque<ConnId>,
    flush: write::Flush,
    /// Sessions whose outbox has passed its hard bound, to be closed at the end of the step.
    overflowing: Vec<SessionId>,
    /// Connections that may be read again, and have unread bytes to begin with.
    resumed: VecDeque<ConnId>,

    verdicts: VecDeque<(ConnId, Verdict)>,
    closes: VecDeque<(ConnId, Ending)>,
    readable: VecDeque<ConnId>,
    /// While stopping: the next place of the connection table to close.
    stopping: Option<u32>,
}

impl ShardCore {
    /// An empty shard.
    pub fn new(config: ShardConfig, now: Tick) -> Self {
        let ShardConfig {
            me,
            shards,
            room_secret,
            limits,
            stats,
        } = config;
        let parser_settings = parser_settings(&limits);
        let meter = Meter::default();
        let codecs = Codecs::new(limits.compression, meter.clone(), stats.clone());
        ShardCore {
            me,
            shards,
            room_secret,
            limits,
            parser_settings,
            stats,
            meter,
            codecs,
            lane_bytes: 0,
            connections: Table::default(),
            sessions: Table::default(),
            rooms: Table::default(),
            room_index: RoomMap::default(),
            members: 0,
            wheel: Wheel::new(now),
            due: Vec::new(),
            home: HomeTable::new(me),
            generations: Generation::default(),
            untold: VecDeque::new(),
            scheduled: VecDeque::new(),
            outgoing: (0..shards).map(|_| Outgoing::default()).collect(),
            outgoing_full: 0,
            stalled: None,
            prompt: VecDeque::new(),
            bulk: VecDeque::new(),
            bulk_next: false,
            bulk_writes_left: 0,
            http_due: VecDeque::new(),
            flush: write::Flush::default(),
            overflowing: Vec::new(),
            resumed: VecDeque::new(),
            verdicts: VecDeque::new(),
            closes: VecDeque::new(),
            readable: VecDeque::new(),
            stopping: None,
        }
    }

    /// Makes a connection, or says why not.
    ///
    /// # Errors
    /// The shell answers a refused connection with 503.
    pub fn admit(&mut self, now: Tick) -> Result<ConnId, Refusal> {
        if self.stopping.is_some() {
            return Err(Refusal::Stopping);
        }
        if self.meter.bytes() > self.limits.memory_bytes_max / 100 * MEMORY_REFUSE_PERCENT {
            return Err(Refusal::MemoryFull);
        }
        let conn = self.connections.insert(Connection::new(now));
        self.wheel
            .set(conn.index, now.plus(self.limits.handshake_ms));
        self.stats.accepted.add(1);
        self.stats.connections.set(self.connections.len() as u64);
        Ok(conn)
    }

    /// The one way in for all else. Drain the `poll_*` and [`send_frames`](Self::send_frames) after it.
    pub fn handle(&mut self, now: Tick, input: Input<'_>) {
        match input {
            Input::Upgrade {
                conn,
                target,
                compression,
            } => self.upgrade(conn, &target, compression),
            Input::Respond { conn, bytes } => self.respond(conn, bytes),
            Input::HttpDone { conn } => self.http_done(now, conn),
            Input::Upgraded { conn } => self.upgraded(now, conn),
            Input::Received { conn, bytes } => self.received(now, conn, bytes),
            Input::Writable { conn } => self.writable(conn),
            Input::Ended { conn } => self.ended(conn),
            Input::Configure(limits) => self.configure(*limits),
            Input::Frame(frame) => self.frame(frame),
            Input::Turn { lane_bytes } => self.turn(now, lane_bytes),
        }
        self.close_overflowing(now);
    }

    fn configure(&mut self, limits: Limits) {
        self.parser_settings = parser_settings(&limits);
        if self.limits.compression != limits.compression {
            self.codecs.configure(limits.compression);
        }
        self.limits = limits;
    }

    fn turn(&mut self, now: Tick, lane_bytes: usize) {
        self.codecs.begin_turn();
        self.resume(now);
        self.fire_timers(now);
        self.stop_some(now);
        self.fan_out(now);
        self.close_overflowing(now);
        self.evict(now, lane_bytes);
        self.drop_overdue(now);
        self.bulk_writes_left = if self.scheduled.is_empty() {
            TURN_WRITES_MAX
        } else {
            TURN_WRITES_WHILE_FANNING_OUT
        };
        self.stats.turns.add(1);
        self.lane_bytes = lane_bytes;
    }

    /// Shows in the gauges what the tables hold. To be called at the very end of a turn.
    pub fn show(&self) {
        let memory = self.meter.bytes() + self.lane_bytes;
        self.stats.memory_bytes.set(memory as u64);
        let contexts = self.codecs.held_bytes();
        self.stats.compression_context_bytes.set(contexts as u64);
        self.stats.connections.set(self.connections.len() as u64);
        self.stats.sessions.set(self.sessions.len() as u64);
        self.stats.rooms.set(self.rooms.len() as u64);
        self.stats.rooms_home.set(self.home.len() as u64);
        self.stats.members.set(self.members as u64);
    }

    /// Whether there is work that needs no input but time: the next turn must come at once.
    pub fn has_work(&self) -> bool {
        !(self.scheduled.is_empty()
            && self.prompt.is_empty()
            && self.bulk.is_empty()
            && self.http_due.is_empty()
            && self.resumed.is_empty()
            && self.stalled.is_none())
            || self
                .stopping
                .is_some_and(|place| place < self.connections.end())
    }

    /// When the next turn must come if nothing happens before.
    pub fn poll_deadline(&self) -> Option<Tick> {
        let waiting = self
            .outgoing
            .iter()
            .filter(|outgoing| !outgoing.frames.is_empty());
        let overdue = waiting
            .map(|outgoing| outgoing.moved.plus(OUTGOING_WAIT_MS))
            .min();
        self.wheel.next().into_iter().chain(overdue).min()
    }

    /// An upgrade that was decided.
    pub fn poll_verdict(&mut self) -> Option<(ConnId, Verdict)> {
        std::iter::from_fn(|| self.verdicts.pop_front())
            .find(|(conn, _)| self.connections.get(*conn).is_some())
    }

    /// A socket to be shut. Its connection lives until [`Input::Ended`].
    pub fn poll_close(&mut self) -> Option<(ConnId, Ending)> {
        std::iter::from_fn(|| self.closes.pop_front())
            .find(|(conn, _)| self.connections.get(*conn).is_some())
    }

    /// A connection that was paused and is to be read again.
    pub fn poll_readable(&mut self) -> Option<ConnId> {
        std::iter::from_fn(|| self.readable.pop_front())
            .find(|conn| self.connections.get(*conn).is_some())
    }

    /// What of an agreement on compression this shard has the memory for. It is for the [`Input::Upgrade`] that follows
    /// at once.
    pub fn affordable(&self, agreement: Agreement) -> Agreement {
        self.codecs
            .affordable(agreement, self.limits.memory_bytes_max)
    }

    /// Whether the shell may read from a connection now.
    pub fn is_reading(&self, conn: ConnId) -> bool {
        self.connections
            .get(conn)
            .is_some_and(|connection| connection.pause.is_none())
    }

    /// Whether everything is closed that [`ShardFrame::Stop`] asked to close.
    pub fn is_stopped(&self) -> bool {
        self.stopping.is_some() && self.connections.is_empty()
    }

    /// Whether the shard is closing its connections.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The shard's bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Rooms known here, and rooms whose home is here: both are zero when nobody holds any.
    pub fn rooms(&self) -> (usize, usize) {
        (self.rooms.len(), self.home.len())
    }

    /// Bytes that outboxes and unfinished messages hold.
    pub fn memory_bytes(&self) -> usize {
        self.meter.bytes()
    }
}

/// How the frames of a connection are read whose peer compresses nothing.
fn parser_settings(limits: &Limits) -> ParserSettings {
    ParserSettings {
        role: Role::Server,
        message_bytes_max: limits.message_bytes_max,
        compression: false,
    }
}
