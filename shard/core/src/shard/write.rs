//! The flush: one write for all that is queued for a session.

use bytes::Bytes;
use ringmain_router::Moment;

use super::ShardCore;
use crate::batch::{Write, WriteOutcome, with_writes};
use crate::close::CloseReason;
use crate::connection::{Connection, Pause, Stage};
use crate::encoded::Encoded;
use crate::lag::Lags;
use crate::limits::{REPLIES_BYTES_BEFORE_FLUSH, TURN_WRITES_MAX};
use crate::outbox::Outbox;
use crate::stats::DropReason;
use crate::tick::Tick;
use crate::{ConnId, SessionId};

/// What the flush keeps from one time to the next, for its memory alone.
#[derive(Debug, Default)]
pub(super) struct Flush {
    due: Vec<Due>,
    offered: Vec<usize>,
    outcomes: Vec<WriteOutcome>,
    gathered: Vec<u8>,
}

/// Whose bytes are written.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// A connection's HTTP.
    Http(ConnId),
    Session(SessionId),
}

/// What a write has left behind.
#[derive(PartialEq, Eq)]
enum After {
    /// Everything is sent.
    Empty,
    /// More is to be sent now.
    More,
    /// More is to be sent once the socket takes it.
    Blocked,
    Gone,
}

/// Takes off an outbox what its socket took.
fn took(
    outbox: &mut Outbox,
    offered: usize,
    outcome: WriteOutcome,
    done: impl FnMut(&Encoded),
) -> (After, usize) {
    let (bytes, is_blocked) = match outcome {
        WriteOutcome::Wrote(bytes) => (bytes, bytes < offered),
        WriteOutcome::Took(bytes) => (bytes, false),
        WriteOutcome::Kept(bytes) => (bytes, true),
        WriteOutcome::Gone => return (After::Gone, 0),
    };
    outbox.sent_each(bytes, done);
    let after = match is_blocked {
        true => After::Blocked,
        false if outbox.is_empty() => After::Empty,
        false => After::More,
    };
    (after, bytes)
}

impl ShardCore {
    /// Writes, by one call of `send`, for the HTTP exchanges and sessions whose turn it is: at most one
    /// write each, and no more than `writes_max` or [`TURN_WRITES_MAX`]. `send` is to say how each write
    /// went, in their order, and returns when they were made, from which the lag of publications is reckoned.
    /// Returns how many there were.
    pub fn flush(
        &mut self,
        writes_max: usize,
        send: impl FnOnce(&[Write<'_>], &mut Vec<WriteOutcome>) -> Option<Moment>,
    ) -> usize {
        let mut flush = std::mem::take(&mut self.flush);
        self.replied_bytes = 0;
        self.choose(writes_max.min(TURN_WRITES_MAX), &mut flush.due);
        let mut sent = None;
        if !flush.due.is_empty() {
            let outboxes = flush.due.iter().filter_map(|&due| self.outbox_of(due));
            with_writes(outboxes, &mut flush.gathered, |writes| {
                flush.offered.extend(writes.iter().map(Write::bytes));
                sent = send(writes, &mut flush.outcomes);
            });
            debug_assert_eq!(flush.outcomes.len(), flush.due.len());
        }
        let writes = flush.due.len();
        let mut lags = Lags::new(sent);
        let went = flush.offered.drain(..).zip(flush.outcomes.drain(..));
        for (due, (offered, outcome)) in flush.due.drain(..).zip(went) {
            match due {
                Due::Http(conn) => self.wrote_http(conn, offered, outcome),
                Due::Session(session) => self.wrote_session(session, offered, outcome, &mut lags),
            }
        }
        lags.count(&self.stats.delivery_lag);
        self.flush = flush;
        self.stats.writes.add(writes as u64);
        writes
    }

    /// Whether so many bytes of replies wait that the next [`flush`](Self::flush) should not wait for the turn's end.
    #[inline]
    pub fn has_large_replies(&self) -> bool {
        self.replied_bytes >= REPLIES_BYTES_BEFORE_FLUSH
    }

    /// Chooses whose turn it is. They stay what they are until their writes are made.
    fn choose(&mut self, writes_max: usize, due: &mut Vec<Due>) {
        while due.len() < writes_max
            && let Some(conn) = self.http_due.pop_front()
        {
            if self
                .connections
                .get(conn)
                .is_some_and(|connection| connection.http.is_some())
            {
                due.push(Due::Http(conn));
            }
        }
        while due.len() < writes_max
            && let Some((session, from_bulk)) = self.next_to_flush()
        {
            let Some(entry) = self.sessions.get_mut(session) else {
                continue;
            };
            match from_bulk {
                true => entry.flush.in_bulk = false,
                false => entry.flush.in_prompt = false,
            }
            let is_due = entry.flush.open && !entry.flush.blocked && !entry.flush.in_batch;
            if !is_due || entry.outbox.is_empty() {
                continue;
            }
            if from_bulk {
                self.bulk_writes_left -= 1;
            }
            entry.flush.in_batch = true;
            due.push(Due::Session(session));
        }
    }

    /// The outbox that was chosen, and the connection that carries it.
    fn outbox_of(&self, due: Due) -> Option<(ConnId, &Outbox)> {
        match due {
            Due::Http(conn) => Some((conn, self.connections.get(conn)?.http.as_deref()?)),
            Due::Session(session) => {
                let entry = self.sessions.get(session)?;
                Some((entry.conn, &entry.outbox))
            }
        }
    }

    /// The next session of the two queues, which take turns, and whether it comes from the bulk.
    fn next_to_flush(&mut self) -> Option<(SessionId, bool)> {
        let bulk_is_open = self.bulk_writes_left > 0;
        let from_bulk = bulk_is_open && (self.bulk_next || self.prompt.is_empty());
        self.bulk_next = !from_bulk;
        if from_bulk && let Some(session) = self.bulk.pop_front() {
            return Some((session, true));
        }
        self.prompt.pop_front().map(|session| (session, false))
    }

    fn wrote_session(
        &mut self,
        session: SessionId,
        offered: usize,
        outcome: WriteOutcome,
        lags: &mut Lags,
    ) {
        let soft = self.limits.outbox_soft();
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let conn = entry.conn;
        entry.flush.in_batch = false;
        let (after, bytes) = took(&mut entry.outbox, offered, outcome, |encoded| {
            lags.add(encoded.began(), &self.stats.delivery_lag);
        });
        self.stats.bytes_out.add(bytes as u64);
        if entry.slow_since.is_some() && entry.outbox.bytes() <= soft {
            entry.slow_since = None;
        }
        let (is_paused, closing) = (entry.flush.paused, entry.flush.closing);
        match after {
            After::Empty => {}
            After::Blocked => {
                entry.flush.blocked = true;
                self.became_slow(session);
            }
            After::More if entry.flush.in_bulk => {}
            After::More => {
                entry.flush.in_bulk = true;
                self.bulk.push_back(session);
            }
            After::Gone => return self.write_failed(conn),
        }
        if is_paused {
            self.unpause_if_read(conn, session);
        }
        if closing && after == After::Empty {
            self.flushed(conn);
        }
    }

    /// Lets a connection that was not read for its full outbox go on, if there is room again. In a room that drops, new
    /// publications take the place of what is sent, so it need not be half empty.
    fn unpause_if_read(&mut self, conn: ConnId, session: SessionId) {
        let soft = self.limits.outbox_soft();
        let enough = match self.dropping_room(session) {
            Some(_) => soft - 1,
            None => soft / 2,
        };
        if let Some(entry) = self.sessions.get_mut(session)
            && entry.outbox.bytes() <= enough
        {
            entry.flush.paused = false;
            self.unpause(conn, Pause::Outbox);
        }
    }

    fn wrote_http(&mut self, conn: ConnId, offered: usize, outcome: WriteOutcome) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let Some(outbox) = &mut connection.http else {
            return;
        };
        let (after, bytes) = took(outbox, offered, outcome, |_| {});
        self.stats.bytes_out.add(bytes as u64);
        match after {
            After::Empty => {
                connection.http = None;
                self.http_sent(conn);
            }
            After::More => self.http_due.push_back(conn),
            After::Blocked => connection.http_blocked = true,
            After::Gone => self.write_failed(conn),
        }
    }

    /// All HTTP is out: what the session has queued may follow.
    fn http_sent(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        let session = connection
            .session
            .and_then(|session| self.sessions.get(session));
        let is_empty = session.is_none_or(|entry| entry.outbox.is_empty());
        match connection.stage {
            Stage::Closing { .. } if is_empty => self.flushed(conn),
            // It may have been upgraded, and even closed again, while the 101 was on its way.
            Stage::Open | Stage::Streaming | Stage::Closing { .. } => self.open_outbox(conn),
            _ => {}
        }
    }

    /// Lets a session's outbox flow, which the opening handshake has held back.
    pub(super) fn open_outbox(&mut self, conn: ConnId) {
        let Some(session) = self
            .connections
            .get(conn)
            .and_then(|connection| connection.session)
        else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.flush.open = true;
        if !entry.outbox.is_empty() && !entry.flush.in_bulk {
            entry.flush.in_bulk = true;
            self.bulk.push_back(session);
        }
    }

    pub(super) fn respond(&mut self, conn: ConnId, bytes: Bytes) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage == Stage::Ending || bytes.is_empty() {
            return;
        }
        let is_first = connection.http.is_none();
        let outbox = connection.http.get_or_insert_default();
        outbox.push(Encoded::verbatim(bytes, &self.meter));
        if outbox.bytes() > self.limits.outbox_hard() {
            // It asks and asks, and reads no answer.
            connection.reason = Some(CloseReason::SlowConsumer);
            return self.end(conn);
        }
        if is_first {
            self.http_due.push_back(conn);
        }
    }

    pub(super) fn writable(&mut self, now: Tick, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let mut http_is_sent = false;
        if std::mem::take(&mut connection.http_blocked) {
            // A transport may have kept the last of it.
            http_is_sent = connection.http.as_ref().is_some_and(|http| http.is_empty());
            match http_is_sent {
                true => connection.http = None,
                false => self.http_due.push_back(conn),
            }
        }
        if connection.pinged {
            // It has read: it is slow, not gone, and may not have come to the ping yet.
            connection.beat = now;
        }
        let session = connection.session;
        if http_is_sent {
            self.http_sent(conn);
        }
        let Some(session) = session else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let was_blocked = std::mem::take(&mut entry.flush.blocked);
        if was_blocked && entry.flush.closing && entry.outbox.is_empty() {
            return self.flushed(conn);
        }
        if entry.flush.open && !entry.outbox.is_empty() && !entry.flush.in_bulk {
            entry.flush.in_bulk = true;
            self.bulk.push_back(session);
        }
    }

    /// The socket takes nothing any more: what was queued is lost, and counted.
    fn write_failed(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        connection.http = None;
        if let Some(session) = connection.session {
            self.leave(session);
            if let Some(entry) = self.sessions.get_mut(session) {
                let lost = std::mem::take(&mut entry.outbox).messages();
                self.stats.dropped(DropReason::PeerGone, lost);
            }
        }
        self.end(conn);
    }

    /// Whether something is queued for a connection and on its way: not held back by the socket.
    pub fn is_flushing(&self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get(conn) else {
            return false;
        };
        if connection.http.is_some() && connection.stage != Stage::Ending {
            return !connection.http_blocked;
        }
        let session = connection.session;
        let entry = session.and_then(|session| self.sessions.get(session));
        entry.is_some_and(|entry| {
            entry.flush.open && !entry.flush.blocked && !entry.outbox.is_empty()
        })
    }

    /// The largest holders of memory, to be closed when there is none left.
    pub(super) fn held_by(&self, conn: ConnId, connection: &Connection) -> usize {
        let unread = connection.unread.as_ref().map_or(0, |unread| unread.len());
        let session = connection
            .session
            .and_then(|session| self.sessions.get(session));
        let contexts = session.map_or(0, |entry| self.codecs.held_by(entry.conn.index));
        connection.parser.held_bytes()
            + unread
            + contexts
            + session.map_or(0, |entry| entry.outbox.bytes())
            + connection.http.as_ref().map_or(0, |http| http.bytes())
            + self.posted_bytes(conn)
            + self.transports.get(&conn).copied().unwrap_or_default()
    }
}
