//! The flush: one write for all that is queued for a session.

use std::io::IoSlice;

use bytes::Bytes;

use super::ShardCore;
use crate::connection::{Connection, Pause, Stage};
use crate::encoded::Encoded;
use crate::limits::WRITE_SLICES_MAX;
use crate::outbox::Outbox;
use crate::stats::DropReason;
use crate::tick::Tick;
use crate::{ConnId, SessionId};

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The socket took this many bytes. If these are fewer than it was offered, the shell hands in
    /// [`Input::Writable`](super::Input::Writable) once it takes more.
    Wrote(usize),
    /// The socket is gone.
    Gone,
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

/// Offers the front of an outbox to `send` and takes off what it took.
fn write_outbox(
    outbox: &mut Outbox,
    conn: ConnId,
    send: impl FnOnce(ConnId, &[IoSlice<'_>]) -> WriteOutcome,
) -> (After, usize) {
    let (outcome, offered) = if outbox.entries() == 1 {
        // The common case, apart: a full array of slices takes longer to clear than this to send.
        let mut slices = [IoSlice::new(&[]); 2];
        let (filled, offered) = outbox.slices(&mut slices);
        (send(conn, &slices[..filled]), offered)
    } else {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let (filled, offered) = outbox.slices(&mut slices);
        (send(conn, &slices[..filled]), offered)
    };
    let WriteOutcome::Wrote(bytes) = outcome else {
        return (After::Gone, 0);
    };
    outbox.sent(bytes);
    let after = match bytes {
        _ if bytes < offered => After::Blocked,
        _ if outbox.is_empty() => After::Empty,
        _ => After::More,
    };
    (after, bytes)
}

impl ShardCore {
    /// Makes one write by `send`, for the session or HTTP exchange whose turn it is. Returns `false`
    /// when nothing is to be written in this turn.
    pub fn poll_write(
        &mut self,
        now: Tick,
        send: impl FnOnce(ConnId, &[IoSlice<'_>]) -> WriteOutcome,
    ) -> bool {
        while let Some(conn) = self.http_due.pop_front() {
            if self
                .connections
                .get(conn)
                .is_some_and(|connection| connection.http.is_some())
            {
                self.write_http(now, conn, send);
                return true;
            }
        }
        while let Some((session, from_bulk)) = self.next_to_flush() {
            let Some(entry) = self.sessions.get_mut(session) else {
                continue;
            };
            match from_bulk {
                true => entry.flush.in_bulk = false,
                false => entry.flush.in_prompt = false,
            }
            if entry.outbox.is_empty() || entry.flush.blocked || !entry.flush.open {
                continue;
            }
            if from_bulk {
                self.bulk_writes_left -= 1;
            }
            self.write_session(now, session, send);
            return true;
        }
        false
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

    fn write_session(
        &mut self,
        now: Tick,
        session: SessionId,
        send: impl FnOnce(ConnId, &[IoSlice<'_>]) -> WriteOutcome,
    ) {
        let soft = self.limits.outbox_soft();
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let conn = entry.conn;
        let (after, bytes) = write_outbox(&mut entry.outbox, conn, send);
        self.stats.writes.add(1);
        self.stats.bytes_out.add(bytes as u64);
        if entry.slow_since.is_some() && entry.outbox.bytes() <= soft {
            entry.slow_since = None;
        }
        let has_room = entry.flush.paused && entry.outbox.bytes() <= soft / 2;
        if has_room {
            entry.flush.paused = false;
        }
        let closing = entry.flush.closing;
        match after {
            After::Empty => {}
            After::Blocked => entry.flush.blocked = true,
            After::More if entry.flush.in_bulk => {}
            After::More => {
                entry.flush.in_bulk = true;
                self.bulk.push_back(session);
            }
            After::Gone => return self.write_failed(now, conn),
        }
        if has_room {
            self.unpause(conn, Pause::Outbox);
        }
        if closing && after == After::Empty {
            self.flushed(now, conn);
        }
    }

    fn write_http(
        &mut self,
        now: Tick,
        conn: ConnId,
        send: impl FnOnce(ConnId, &[IoSlice<'_>]) -> WriteOutcome,
    ) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let Some(outbox) = &mut connection.http else {
            return;
        };
        let (after, bytes) = write_outbox(outbox, conn, send);
        self.stats.writes.add(1);
        self.stats.bytes_out.add(bytes as u64);
        match after {
            After::Empty => {
                connection.http = None;
                self.http_sent(now, conn);
            }
            After::More => self.http_due.push_back(conn),
            After::Blocked => connection.http_blocked = true,
            After::Gone => self.write_failed(now, conn),
        }
    }

    /// All HTTP is out: what the session has queued may follow.
    fn http_sent(&mut self, now: Tick, conn: ConnId) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        let session = connection
            .session
            .and_then(|session| self.sessions.get(session));
        let is_empty = session.is_none_or(|entry| entry.outbox.is_empty());
        match connection.stage {
            Stage::Closing { .. } if is_empty => self.flushed(now, conn),
            // It may have been upgraded, and even closed again, while the 101 was on its way.
            Stage::Open | Stage::Closing { .. } => self.open_outbox(conn),
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
        if is_first {
            self.http_due.push_back(conn);
        }
    }

    pub(super) fn writable(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if std::mem::take(&mut connection.http_blocked) {
            self.http_due.push_back(conn);
        }
        let Some(session) = connection.session else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.flush.blocked = false;
        if entry.flush.open && !entry.outbox.is_empty() && !entry.flush.in_bulk {
            entry.flush.in_bulk = true;
            self.bulk.push_back(session);
        }
    }

    /// The socket takes nothing any more: what was queued is lost, and counted.
    fn write_failed(&mut self, now: Tick, conn: ConnId) {
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
        self.end(now, conn);
    }

    /// Whether something is queued for a connection and on its way: not held back by the socket.
    pub fn is_flushing(&self, conn: ConnId) -> bool {
        let session = self
            .connections
            .get(conn)
            .and_then(|connection| connection.session);
        let entry = session.and_then(|session| self.sessions.get(session));
        entry.is_some_and(|entry| {
            entry.flush.open && !entry.flush.blocked && !entry.outbox.is_empty()
        })
    }

    /// The largest holders of memory, to be closed when there is none left.
    pub(super) fn held_by(&self, connection: &Connection) -> usize {
        let unread = connection.unread.as_ref().map_or(0, |unread| unread.len());
        let session = connection
            .session
            .and_then(|session| self.sessions.get(session));
        connection.parser.held_bytes() + unread + session.map_or(0, |entry| entry.outbox.bytes())
    }
}
