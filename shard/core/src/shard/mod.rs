//! One shard's decisions: the tables, the way in and the ways out.

mod admission;
mod cluster_users;
mod configure;
mod drain;
mod fanout;
mod frames;
mod input;
mod leases;
mod lifecycle;
mod orders;
mod paces;
mod posts;
mod publish;
mod quotas;
mod receive;
mod rooms;
mod slow;
mod stream;
mod timers;
mod transport;
mod verdict;
mod write;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::{ParserSettings, Role};
use ringmain_router::room::RoomMap;
use ringmain_router::{
    Generation, HomeTable, Moment, PeerId, Publication, RoomId, RoomKey as RoomSecret, ShardFrame,
};

use crate::alarms::Alarms;
use crate::close::{CloseReason, Severity};
use crate::compression::Codecs;
use crate::connection::Connection;
use crate::farewell::{Farewell, Farewells};
use crate::limits::{
    Limits, MEMORY_REFUSE_PERCENT, TURN_WRITES_MAX, TURN_WRITES_WHILE_FANNING_OUT,
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

pub use input::Input;
pub use verdict::{Ending, Refusal, Verdict};

/// What a shard is told when it is made.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Which shard it is.
    pub me: PeerId,
    /// How many shards the node has.
    pub shards: usize,
    /// Whether the node is linked to others: publications go to the control plane too.
    pub linked: bool,
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

/// Frames for one other peer that wait for room in its lane.
#[derive(Debug, Default)]
struct Outgoing {
    frames: VecDeque<ShardFrame>,
    /// Frames that ever were in the queue, and those that have left it.
    pushed: u64,
    left: u64,
    /// When the lane last took a frame, or the oldest of these began to wait.
    moved: Tick,
    /// It is the lane to other nodes, and has taken nothing for so long that publishers are not held back any more.
    is_stuck: bool,
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
    /// Waits for rates.
    alarms: Alarms<paces::Alarm>,
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
    /// Bytes that transports keep. Few connections have some.
    transports: HashMap<ConnId, usize>,
    quotas: quotas::Quotas,
    cluster_users: cluster_users::ClusterUsers,
    /// The node is linked to others.
    is_linked: bool,
    leases: leases::Leases,
    /// Some room has a rate.
    rooms_have_rates: bool,
    /// A publication from another shard whose room takes no more at present.
    stalled: Option<(RoomId, Generation, Arc<Publication>)>,

    /// Sessions with something to send, those with replies and deliveries to small rooms apart, so
    /// that these do not wait behind a large fan-out. Each session stands at most once in each.
    prompt: VecDeque<SessionId>,
    bulk: VecDeque<SessionId>,
    bulk_next: bool,
    /// Writes of the bulk queue that this turn may still make.
    bulk_writes_left: usize,
    /// Bytes of replies since the last flush.
    replied_bytes: usize,
    http_due: VecDeque<ConnId>,
    flush: write::Flush,
    /// Sessions whose outbox has passed its hard bound, to be closed at the end of the step.
    overflowing: Vec<SessionId>,
    /// Connections that may be read again, and have unread bytes to begin with.
    resumed: VecDeque<ConnId>,

    verdicts: VecDeque<(ConnId, Verdict)>,
    /// Tokens that came as a first message, and wait to be looked at.
    tokens: VecDeque<(ConnId, Vec<u8>)>,
    closes: VecDeque<(ConnId, Ending)>,
    readable: VecDeque<ConnId>,
    drain: Option<drain::Drain>,
    orders: orders::Orders,
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
            linked,
            room_secret,
            limits,
            rooms: room_policies,
            stats,
        } = config;
        // The control plane's place is the last.
        let peers = if linked {
            PeerId::CONTROL.index() + 1
        } else {
            shards
        };
        let parser_settings = parser_settings(&limits);
        let rooms_have_rates = room_policies.have_rates();
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
            alarms: Alarms::default(),
            due: Vec::new(),
            home: if linked {
                HomeTable::linked(me)
            } else {
                HomeTable::new(me)
            },
            generations: Generation::default(),
            untold: VecDeque::new(),
            scheduled: VecDeque::new(),
            outgoing: (0..peers).map(|_| Outgoing::default()).collect(),
            outgoing_full: 0,
            posts: HashMap::default(),
            posts_behind: VecDeque::new(),
            posts_leaving: Vec::new(),
            event_streams: 0,
            transports: HashMap::default(),
            quotas: quotas::Quotas::default(),
            cluster_users: cluster_users::ClusterUsers::default(),
            is_linked: linked,
            leases: leases::Leases::default(),
            rooms_have_rates,
            stalled: None,
            prompt: VecDeque::new(),
            bulk: VecDeque::new(),
            bulk_next: false,
            bulk_writes_left: 0,
            replied_bytes: 0,
            http_due: VecDeque::new(),
            flush: write::Flush::default(),
            overflowing: Vec::new(),
            resumed: VecDeque::new(),
            verdicts: VecDeque::new(),
            tokens: VecDeque::new(),
            closes: VecDeque::new(),
            readable: VecDeque::new(),
            drain: None,
            orders: orders::Orders::default(),
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
                access,
            } => self.upgrade(conn, &target, compression, access),
            Input::Admitted { conn, target, pass } => self.admitted(now, conn, &target, pass),
            Input::AdmittedAs {
                conn,
                target,
                pass,
                user,
            } => self.admitted_as(now, conn, (target, pass), user),
            Input::TokenRefused { conn, why } => self.token_refused(now, conn, &why),
            Input::Count { conn, subject } => self.count(now, conn, subject),
            Input::Owned { conn, user } => self.owned(conn, user),
            Input::Respond { conn, bytes } => self.respond(conn, bytes),
            Input::RequestBegun { conn } => self.request_begun(now, conn),
            Input::BodyReceived { conn, bytes } => self.body_received(conn, bytes),
            Input::Publish {
                conn,
                room,
                publication,
                from,
                lane_frames,
            } => self.post(now, conn, &room, (*publication, from), lane_frames),
            Input::RequestDone { conn } => self.request_done(now, conn),
            Input::HttpDone { conn } => self.http_done(now, conn, CloseReason::RequestDone),
            Input::HttpFailed { conn } => self.http_done(now, conn, CloseReason::BadRequest),
            Input::Upgraded { conn } => self.upgraded(now, conn),
            Input::Received { conn, bytes } => self.received(now, conn, bytes),
            Input::TlsFailed { conn, why } => self.tls_failed(now, conn, &why),
            Input::TransportHolds { conn, bytes } => self.transport_holds(conn, bytes),
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
        self.sound_alarms(now);
        self.resume(now);
        self.fire_timers(now);
        self.drain_some(now);
        self.carry_out_orders(now);
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
        self.stats.subjects_kept.set(self.subjects().1 as u64);
    }

    /// Whether there is work that needs no input but time: the next turn must come at once.
    pub fn has_work(&self) -> bool {
        !(self.scheduled.is_empty()
            && self.prompt.is_empty()
            && self.bulk.is_empty()
            && self.http_due.is_empty()
            && self.resumed.is_empty()
            && self.tokens.is_empty()
            && self.stalled.is_none()
            && self.orders.are_none()
            && self.reconfiguring.is_none())
            || self.drain.as_ref().is_some_and(drain::Drain::has_more)
    }

    /// Waits for rates that are under way: bounded by the connections and rooms that have a rate.
    pub fn alarms(&self) -> usize {
        self.alarms.len()
    }

    /// When the next turn must come if nothing happens before.
    pub fn poll_deadline(&self) -> Option<Tick> {
        let waiting = self.outgoing.iter().enumerate();
        let overdue = waiting
            .filter(|(_, outgoing)| !outgoing.frames.is_empty())
            .map(|(index, outgoing)| outgoing.moved.plus(outgoing.wait_ms(index)))
            .min();
        let drain = self.drain.as_ref().and_then(drain::Drain::next_at);
        let deadlines = self.wheel.next().into_iter();
        let alarms = self.alarms.next();
        deadlines.chain(overdue).chain(drain).chain(alarms).min()
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

    /// From which severity on ends of connections are to be told by [`poll_farewell`](Self::poll_farewell), if any.
    /// None are until this says so.
    pub fn tell_farewells(&mut self, from: Option<Severity>) {
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

    /// Whether everything is closed that [`ShardFrame::Stop`] asked to close, and what was published before is on its way
    /// to the other nodes.
    pub fn is_stopped(&self) -> bool {
        let to_others = self.outgoing.get(PeerId::CONTROL.index());
        let has_sent = to_others.is_none_or(|outgoing| outgoing.frames.is_empty());
        self.stopping && self.connections.is_empty() && has_sent
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
