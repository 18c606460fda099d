//! One shard's decisions: the tables, the way in and the ways out.

mod configure;
mod drain;
mod fanout;
mod frames;
mod lifecycle;
mod posts;
mod publish;
mod receive;
mod rooms;
mod slow;
mod stream;
mod timers;
mod write;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::{ParserSettings, Role};
use ringmain_router::room::RoomMap;
use ringmain_router::{
    Generation, HomeTable, Moment, PeerId, Publication, RoomId, RoomKey as RoomSecret, RoomName,
    ShardFrame,
};

use crate::close::{CloseReason, Severity};
use crate::compression::Codecs;
use crate::connection::Connection;
use crate::dialect::Target;
use crate::farewell::{Farewell, Farewells};
use crate::limits::{
    Limits, MEMORY_REFUSE_PERCENT, OUTGOING_WAIT_MS, TURN_WRITES_MAX, TURN_WRITES_WHILE_FANNING_OUT,
};
use crate::memory::Meter;
use crate::room::{Room, RoomKey};
use crate::room_settings::RoomPolicies;
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
    /// What is set for rooms.
    pub rooms: RoomPolicies,
    /// Where it counts.
    pub stats: Arc<ShardStats>,
}

/// What a shard goes by and that may change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Its bounds.
    pub limits: Limits,
    /// What is set for rooms.
    pub rooms: RoomPolicies,
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
    /// The first bytes of a request, after another was answered; or its head is whole and its body follows.
    RequestBegun {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes of a request's body have come in, to be kept until it is answered.
    BodyReceived {
        /// The connection.
        conn: ConnId,
        /// How many.
        bytes: usize,
    },
    /// A request publishes a message to a room that its connection is no member of. Answered by a [`Verdict`].
    Publish {
        /// The connection.
        conn: ConnId,
        /// The room.
        room: RoomName,
        /// The message. Boxed, so that the inputs that come more often stay small.
        publication: Box<Publication>,
        /// Frames in the shard's own data lane. They have their turn first: among them may be a message whose request was
        /// answered, by another shard, before this one was sent.
        lane_frames: usize,
    },
    /// A request is answered, and another may follow.
    RequestDone {
        /// The connection.
        conn: ConnId,
    },
    /// The HTTP exchange ended without an upgrade: close once the response is sent.
    HttpDone {
        /// The connection.
        conn: ConnId,
    },
    /// What came in could not be read as HTTP: close once the answer is sent, if there is one.
    HttpFailed {
        /// The connection.
        conn: ConnId,
    },
    /// The 101, or the head of an event stream's response, was handed over by [`Input::Respond`]: from now on the
    /// connection speaks WebSocket, or is sent events.
    Upgraded {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes of WebSocket have come in. They are unmasked in place. What comes in from an event stream's peer says
    /// nothing.
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
    /// The rules have changed. They hold for what happens from now on: what was let in by the old ones stays. Rooms
    /// that there are go by the new ones within some turns.
    Configure(Box<Rules>),
    /// A peer has sent something. Data frames only if [`ShardCore::takes_data`] has just said so.
    Frame(ShardFrame),
    /// Time has passed, and there may be work left: once a turn.
    Turn {
        /// Payload bytes that wait in the shard's own data lane.
        lane_bytes: usize,
    },
}

/// What was decided of a request that had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session counts everywhere: the 101, or an event stream's head, may be sent.
    Granted,
    /// The message is on its way to all members.
    Published,
    /// There was no room for the message, and nothing of it was sent.
    Busy,
    /// Another room holds the room's id.
    NameCollision,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The shard's memory is nearly used up.
    #[error("the server's memory is full")]
    MemoryFull,
    /// The node, or the shard's descriptor table, has as many connections as it may.
    #[error("the server has as many connections as it may")]
    ConnectionsMax,
}

impl Refusal {
    /// All refusals with their names in metrics and logs, in the order of their numbers.
    pub const NAMES: [(&'static str, Refusal); 2] = [
        ("memory_full", Refusal::MemoryFull),
        ("connections_max", Refusal::ConnectionsMax),
    ];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// How much its line in the log matters.
    pub fn severity(self) -> Severity {
        match self {
            Refusal::MemoryFull | Refusal::ConnectionsMax => Severity::Warn,
        }
    }
}

/// What the shell does to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Close our half: the peer has all there is, and what it still sends is read until it ends.
    HalfClose,
    /// The HTTP request under way is the last: close once it is answered, or at once if there is none.
    Finish,
    /// Shut both halves; the read that follows ends the connection.
    Shutdown,
}

/// Frames for one other shard that wait for room in its lane.
#[derive(Debug, Default)]
struct Outgoing {
    frames: VecDeque<ShardFrame>,
    /// Frames that ever were in the queue, and those that have left it.
    pushed: u64,
    left: u64,
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
    room_policies: RoomPolicies,
    /// While rooms take up new settings: the next place of their table.
    reconfiguring: Option<u32>,
    stats: Arc<ShardStats>,
    meter: Meter,
    codecs: Codecs,
    /// Payload bytes in the shard's own data lane, as of this turn.
    lane_bytes: usize,
    /// When what is handled now came in, as exactly as the shell knows.
    moment: Option<Moment>,
    /// The time of the last input.
    now: Tick,

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
    /// Messages of connections that are no members. Few connections have one.
    posts: HashMap<ConnId, posts::Post>,
    /// Those whose message waits for frames that were in the data lane before it, in their order.
    posts_behind: VecDeque<ConnId>,
    /// Those whose message waits, in part, for room in a lane.
    posts_leaving: Vec<posts::Leaving>,
    event_streams: usize,
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
    drain: Option<drain::Drain>,
    farewells: Farewells,
    /// Ends when there is no connection left.
    stopping: bool,
}

impl ShardCore {
    /// An empty shard.
    pub fn new(config: ShardConfig, now: Tick) -> Self {
        let ShardConfig {
            me,
            shards,
            room_secret,
            limits,
            rooms: room_policies,
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
            room_policies,
            reconfiguring: None,
            stats,
            meter,
            codecs,
            lane_bytes: 0,
            moment: None,
            now,
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
            posts: HashMap::default(),
            posts_behind: VecDeque::new(),
            posts_leaving: Vec::new(),
            event_streams: 0,
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
            drain: None,
            farewells: Farewells::new(shards),
            stopping: false,
        }
    }

    /// Makes a connection, or says why not.
    ///
    /// # Errors
    /// The shell answers a refused connection with 503.
    pub fn admit(&mut self, now: Tick) -> Result<ConnId, Refusal> {
        if self.meter.bytes() > self.limits.memory_bytes_max / 100 * MEMORY_REFUSE_PERCENT {
            return Err(Refusal::MemoryFull);
        }
        let conn = self.connections.insert(Connection::new(now));
        self.wheel
            .set(conn.index, now.plus(self.limits.handshake_ms));
        self.stats.accepted.add(1);
        self.stats.connections.set(self.connections.len() as u64);
        if let Some(drain) = &mut self.drain {
            drain.add(conn);
        }
        Ok(conn)
    }

    /// Says when what is handled from here on came in. Without it no lag is counted.
    pub fn set_moment(&mut self, moment: Moment) {
        self.moment = Some(moment);
    }

    /// The one way in for all else. Drain the `poll_*` and [`send_frames`](Self::send_frames) after it.
    pub fn handle(&mut self, now: Tick, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Upgrade {
                conn,
                target,
                compression,
            } => self.upgrade(conn, &target, compression),
            Input::Respond { conn, bytes } => self.respond(conn, bytes),
            Input::RequestBegun { conn } => self.request_begun(now, conn),
            Input::BodyReceived { conn, bytes } => self.body_received(conn, bytes),
            Input::Publish {
                conn,
                room,
                publication,
                lane_frames,
            } => self.post(now, conn, &room, *publication, lane_frames),
            Input::RequestDone { conn } => self.request_done(now, conn),
            Input::HttpDone { conn } => self.http_done(now, conn, CloseReason::RequestDone),
            Input::HttpFailed { conn } => self.http_done(now, conn, CloseReason::BadRequest),
            Input::Upgraded { conn } => self.upgraded(now, conn),
            Input::Received { conn, bytes } => self.received(now, conn, bytes),
            Input::Writable { conn } => self.writable(now, conn),
            Input::Ended { conn } => self.ended(conn),
            Input::Configure(rules) => self.configure(*rules),
            Input::Frame(frame) => self.frame(now, frame),
            Input::Turn { lane_bytes } => self.turn(now, lane_bytes),
        }
        self.close_overflowing(now);
    }

    fn turn(&mut self, now: Tick, lane_bytes: usize) {
        self.codecs.begin_turn();
        self.publish_posts_behind(now);
        self.resume(now);
        self.fire_timers(now);
        self.drain_some(now);
        self.reconfigure_some();
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
        self.stats.event_streams.set(self.event_streams as u64);
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
            && self.stalled.is_none()
            && self.reconfiguring.is_none())
            || self.drain.as_ref().is_some_and(drain::Drain::has_more)
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
        let drain = self.drain.as_ref().and_then(drain::Drain::next_at);
        let deadlines = self.wheel.next().into_iter();
        deadlines.chain(overdue).chain(drain).min()
    }

    /// A request that was decided.
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

    /// From which severity on ends of connections are to be told by [`poll_farewell`](Self::poll_farewell).
    /// None are until this says so.
    pub fn tell_farewells(&mut self, from: Severity) {
        self.farewells.tell(from);
    }

    /// A connection that begins to end, to be written to the log. Its socket is still open unless it ended by itself.
    pub fn poll_farewell(&mut self) -> Option<Farewell> {
        self.farewells.poll()
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
        self.stopping && self.connections.is_empty()
    }

    /// Whether the shard is closing its connections. Who is admitted meanwhile is served, and closed with
    /// the rest.
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
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
