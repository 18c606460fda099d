//! Messages that are published by HTTP: by connections that are members of no room.
//!
//! A publisher holds the room, without counting among those with members, from its request until its message is on
//! its way. A room that this shard has no cell of is asked for at home, and the message waits for the answer; so it
//! does while the room, or a shard that it goes to, takes no more. Nothing of it is sent before all can take it, and
//! after a while it is refused instead.
//!
//! It is answered once it lies in the lane of every shard that it goes to, and before its turn comes what lies in this
//! shard's own lane. So a message that is sent after another was answered arrives after it, whichever shards took them: a
//! client need not keep to one connection.

use ringmain_router::{PeerId, Publication, RoomName, Subject, SubjectId};

use super::leases::PostGate;
use super::{Ending, ShardCore, Verdict};
use crate::ConnId;
use crate::connection::{Pause, Stage};
use crate::limits::{MEMORY_REFUSE_PERCENT, POST_WAIT_MS};
use crate::rates::RateLimit;
use crate::room::RoomKey;
use crate::tick::Tick;

/// What one connection publishes by HTTP.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// Bytes of the body that have come in.
    body_bytes: usize,
    /// The message and its room, once it is whole.
    publication: Option<(RoomKey, Publication)>,
    /// How many data frames are taken in, counted from the start, before it has its turn; `None` once it has it.
    after_frames: Option<u64>,
    /// Whose address it counts for.
    address: Option<SubjectId>,
    /// Its address's rate lets it pass.
    has_paid: bool,
}

/// A published message that is answered once it has left for all shards.
#[derive(Debug)]
pub(super) struct Leaving {
    conn: ConnId,
    /// Its place in the queue of each of these shards.
    places: Vec<(PeerId, u64)>,
}

impl ShardCore {
    /// Whether there is memory for the body of a request.
    pub fn takes_bodies(&self) -> bool {
        self.meter.bytes() <= self.limits.memory_bytes_max / 100 * MEMORY_REFUSE_PERCENT
    }

    /// A request has begun: it has its time to come in whole.
    pub(super) fn request_begun(&mut self, now: Tick, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn)
            && connection.stage == Stage::Http
            && !connection.finishing
        {
            connection.reason = None;
            // Its time runs from now, in a drain too.
            connection.beat = now;
            self.wheel
                .set(conn.index, now.plus(self.limits.handshake_ms));
        }
    }

    /// A request is answered: the next one may follow.
    pub(super) fn request_done(&mut self, now: Tick, conn: ConnId) {
        self.forget_post(conn);
        if let Some(connection) = self.connections.get_mut(conn)
            && connection.stage == Stage::Http
            && !connection.finishing
        {
            connection
                .reason
                .get_or_insert(crate::CloseReason::RequestDone);
            // Another may have come with it, whose beginning nobody saw.
            connection.beat = now;
            self.wheel
                .set(conn.index, now.plus(self.limits.keep_alive_ms));
        }
    }

    pub(super) fn body_received(&mut self, conn: ConnId, bytes: usize) {
        if self.connections.get(conn).is_some() {
            self.posts.entry(conn).or_default().body_bytes += bytes;
            self.meter.hold(bytes);
            self.stats.bytes_in.add(bytes as u64);
        }
    }

    /// Takes a whole message of a connection that is no member.
    pub(super) fn post(
        &mut self,
        now: Tick,
        conn: ConnId,
        name: &RoomName,
        (mut publication, from): (Publication, Option<Subject<'_>>),
        lane_frames: usize,
    ) {
        publication.began = self.moment;
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage != Stage::Http {
            // It was closed while the request was on its way: who waits for a verdict is told again.
            self.closes.push_back((conn, Ending::Shutdown));
            return;
        }
        connection.stage = Stage::Publishing;
        self.wheel.set(conn.index, now.plus(POST_WAIT_MS));
        self.stats.messages_in.add(1);
        let Some(key) = self.room_named(name) else {
            return self.answer_post(now, conn, Verdict::NameCollision);
        };
        let after_frames = self.stats.mesh_data_frames_in.get() + lane_frames as u64;
        let is_behind = !self.has_taken(after_frames);
        let post = self.posts.entry(conn).or_default();
        post.publication = Some((key, publication));
        post.address = from.map(|from| self.room_secret.subject(from));
        if is_behind {
            post.after_frames = Some(after_frames);
            self.posts_behind.push_back(conn);
        }
        self.publish_post(now, conn);
        self.update_interest(key);
    }

    /// Publishes what a connection waits to publish, or lets it wait for what is lacking. The caller looks after the
    /// room's interest.
    pub(super) fn publish_post(&mut self, now: Tick, conn: ConnId) {
        let Some(post) = self.posts.get_mut(&conn) else {
            return;
        };
        let (has_turn, address) = (post.after_frames.is_none(), post.address);
        let Some((key, publication)) = post.publication.take() else {
            return;
        };
        let is_held = self
            .rooms
            .get(key)
            .is_some_and(|room| room.interest.cell().is_some());
        let pause = self.room_pause(key);
        let mut gate = None;
        if is_held && has_turn && pause.is_none() {
            match self.gate_of_post(now, conn, key) {
                PostGate::Open => {
                    let others = self.publish(now, key, publication);
                    return self.leave_post(now, conn, others);
                }
                PostGate::Closed(limit, wait_ms) => {
                    self.exceeded(limit);
                    if limit == RateLimit::AddressMessages
                        && let Some(address) = address
                    {
                        self.report(now, address);
                    }
                    let retry_s = u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
                    let verdict = Verdict::TooFast { limit, retry_s };
                    return self.answer_post(now, conn, verdict);
                }
                PostGate::Waits(of) => gate = Some(of),
            }
        }
        if let Some(post) = self.posts.get_mut(&conn) {
            post.publication = Some((key, publication));
        }
        if let Some(room) = self.rooms.get_mut(key) {
            room.publishers.push(conn);
        }
        if let Some(of) = gate {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.pause = Some(Pause::Lease);
            }
            self.wait_at_gate(now, of, conn, true);
        }
        // Whoever has no turn yet is seen to when it has.
        if let Some(pause) = pause.filter(|_| has_turn) {
            self.pause_post(conn, key, pause);
        }
    }

    fn gate_of_post(&mut self, now: Tick, conn: ConnId, key: RoomKey) -> PostGate {
        let Some(post) = self.posts.get(&conn) else {
            return PostGate::Open;
        };
        let (address, mut has_paid) = (post.address, post.has_paid);
        let gate = self.post_gate(now, key, address, &mut has_paid);
        if let Some(post) = self.posts.get_mut(&conn) {
            post.has_paid = has_paid;
        }
        gate
    }

    /// Whether as many data frames were taken in, and are with their rooms.
    fn has_taken(&self, after_frames: u64) -> bool {
        self.stats.mesh_data_frames_in.get() >= after_frames && self.stalled.is_none()
    }

    /// Goes on with messages whose turn has come.
    pub(super) fn publish_posts_behind(&mut self, now: Tick) {
        while let Some(&conn) = self.posts_behind.front() {
            let after_frames = self.posts.get(&conn).and_then(|post| post.after_frames);
            if after_frames.is_some_and(|frames| !self.has_taken(frames)) {
                return;
            }
            self.posts_behind.pop_front();
            if let Some(post) = self.posts.get_mut(&conn) {
                post.after_frames = None;
            }
            self.resume_post(now, conn);
        }
    }

    /// Answers a message that was published, or does so when it has left.
    fn leave_post(&mut self, now: Tick, conn: ConnId, others: u64) {
        let place = |peer: PeerId| Some((peer, self.outgoing.get(peer.index())?.pushed));
        let places: Vec<_> = PeerId::in_mask(others).filter_map(place).collect();
        if places.is_empty() {
            return self.answer_post(now, conn, Verdict::Published);
        }
        self.posts_leaving.push(Leaving { conn, places });
    }

    /// Answers the messages that lie in all lanes that they go to. Bounded by what may wait for lanes.
    pub(super) fn answer_posts_that_left(&mut self, now: Tick) {
        if self.posts_leaving.is_empty() {
            return;
        }
        let outgoing = &self.outgoing;
        let has_left = |leaving: &mut Leaving| {
            let places = &leaving.places;
            places
                .iter()
                .all(|&(peer, place)| outgoing[peer.index()].left >= place)
        };
        let left: Vec<_> = self.posts_leaving.extract_if(.., has_left).collect();
        for leaving in left {
            self.answer_left_post(now, leaving.conn);
        }
    }

    /// Unless it was answered when its time was over.
    fn answer_left_post(&mut self, now: Tick, conn: ConnId) {
        let connection = self.connections.get(conn);
        let waits = connection.is_some_and(|connection| connection.stage == Stage::Publishing)
            && self
                .posts
                .get(&conn)
                .is_some_and(|post| post.publication.is_none());
        if waits {
            self.answer_post(now, conn, Verdict::Published);
        }
    }

    fn pause_post(&mut self, conn: ConnId, key: RoomKey, pause: Pause) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        connection.pause = Some(pause);
        self.stats.publishers_paused.add(1);
        match (pause, self.rooms.get_mut(key)) {
            (Pause::Room, Some(room)) => room.paused.push(conn),
            (Pause::Outgoing(peer), _) => self.outgoing[peer.index()].paused.push(conn),
            _ => {}
        }
    }

    /// There may be room for what a connection waits to publish.
    pub(super) fn resume_post(&mut self, now: Tick, conn: ConnId) {
        let post = self.posts.get(&conn);
        let Some(&(key, _)) = post.and_then(|post| post.publication.as_ref()) else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(key) {
            room.publishers.retain(|&publisher| publisher != conn);
        }
        self.publish_post(now, conn);
        self.update_interest(key);
    }

    /// A message has waited as long as it may: nothing of it was sent, and nothing will be. One that was published and
    /// only waits for room in a lane is on its way.
    pub(super) fn give_up_post(&mut self, now: Tick, conn: ConnId) {
        if self
            .posts
            .get(&conn)
            .is_some_and(|post| post.publication.is_none())
        {
            self.posts_leaving.retain(|leaving| leaving.conn != conn);
            return self.answer_post(now, conn, Verdict::Published);
        }
        self.stats.http_publications_refused.add(1);
        self.forget_post(conn);
        self.answer_post(now, conn, Verdict::Busy);
    }

    pub(super) fn answer_post(&mut self, now: Tick, conn: ConnId, verdict: Verdict) {
        if verdict == Verdict::Published {
            self.stats.http_publications.add(1);
        }
        self.forget_post(conn);
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        connection.stage = Stage::Http;
        connection.pause = None;
        self.wheel
            .set(conn.index, now.plus(self.limits.handshake_ms));
        self.verdicts.push_back((conn, verdict));
    }

    /// Lets go of what a connection was to publish, wherever it waits.
    pub(super) fn forget_post(&mut self, conn: ConnId) {
        if self.posts.is_empty() {
            return;
        }
        let Some(post) = self.posts.remove(&conn) else {
            return;
        };
        self.meter.release(post.body_bytes);
        let Some((key, _)) = post.publication else {
            return;
        };
        let pause = self
            .connections
            .get_mut(conn)
            .and_then(|connection| connection.pause.take());
        if let Some(Pause::Outgoing(peer)) = pause {
            self.outgoing[peer.index()].paused.retain(|&c| c != conn);
        }
        if let Some(room) = self.rooms.get_mut(key) {
            room.publishers.retain(|&publisher| publisher != conn);
            room.paused.retain(|&paused| paused != conn);
        }
        self.update_interest(key);
    }

    /// Bytes of a request's body that wait here.
    pub(super) fn posted_bytes(&self, conn: ConnId) -> usize {
        self.posts.get(&conn).map_or(0, |post| post.body_bytes)
    }
}
