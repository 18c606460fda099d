//! What is due by time: handshakes, heartbeats, slow consumers, close handshakes.

use ringmain_proto::ws::{Opcode, Payload};

use super::ShardCore;
use crate::ConnId;
use crate::close::CloseReason;
use crate::connection::{Connection, Stage};
use crate::limits::{PING_FLUSH_LOOK_MS, TURN_TIMERS_MAX};
use crate::tick::Tick;

impl ShardCore {
    pub(super) fn fire_timers(&mut self, now: Tick) {
        let mut due = std::mem::take(&mut self.due);
        let all = self
            .wheel
            .advance(now, TURN_TIMERS_MAX, |owner| due.push(owner));
        if !all {
            self.stats.turns_over_budget.add(1);
        }
        for index in due.drain(..) {
            if let Some((conn, _)) = self.connections.at(index) {
                self.deadline(now, conn);
            }
        }
        self.due = due;
    }

    /// A connection's deadline has come, of whatever kind.
    fn deadline(&mut self, now: Tick, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        match connection.stage {
            Stage::Http | Stage::Joining | Stage::Granted => {
                // Unless it has been answered, and may just have nothing more to ask.
                connection
                    .reason
                    .get_or_insert(CloseReason::HandshakeTimeout);
                self.end(conn);
            }
            Stage::Publishing => self.give_up_post(now, conn),
            Stage::Open => self.heartbeat(now, conn),
            Stage::Streaming => self.stream_heartbeat(now, conn),
            Stage::Closing { .. } => self.end(conn),
            Stage::Ending => {}
        }
    }

    fn heartbeat(&mut self, now: Tick, conn: ConnId) {
        // A ping that still waits for its turn to be written is our delay, not the peer's.
        let is_flushing = self.is_flushing(conn);
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let session = connection.session;
        if connection.pinged && is_flushing {
            connection.beat = now;
        }
        if connection.pause.is_some() {
            // Who is not read cannot be heard.
            connection.heard(now);
        }
        if self.is_slow(now, conn) {
            return self.close_slow(now, conn);
        }
        let interval = self.heartbeat_interval(conn);
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let silent_ms = now.since(connection.beat);
        if connection.pinged && silent_ms >= self.limits.pong_wait_ms {
            connection.reason = Some(CloseReason::HeartbeatTimeout);
            return self.end(conn);
        }
        if !connection.pinged && silent_ms >= interval {
            connection.beat = now;
            connection.pinged = true;
            self.stats.pings.add(1);
            if let Some(session) = session {
                self.reply(now, session, Opcode::Ping, Payload::Borrowed(&[]));
            }
        }
        self.schedule(now, conn);
    }

    /// Whether a consumer's time above the soft bound is over.
    pub(super) fn is_slow(&self, now: Tick, conn: ConnId) -> bool {
        let connection = self.connections.get(conn);
        connection
            .and_then(|connection| connection.session)
            .and_then(|session| self.sessions.get(session)?.slow_since)
            .is_some_and(|since| now.since(since) >= self.limits.outbox_soft_ms)
    }

    /// A connection's own heartbeat interval, in milliseconds.
    pub(super) fn heartbeat_interval(&self, conn: ConnId) -> u64 {
        self.limits.heartbeat_ms * spread_percent(conn) / 100
    }

    /// Sets an open connection's next deadline.
    pub(super) fn schedule(&mut self, now: Tick, conn: ConnId) {
        let Some(&Connection {
            beat,
            pinged,
            session,
            ..
        }) = self.connections.get(conn)
        else {
            return;
        };
        let interval = self.heartbeat_interval(conn);
        let heartbeat = beat.plus(match pinged {
            true if self.is_flushing(conn) => self.limits.pong_wait_ms.min(PING_FLUSH_LOOK_MS),
            true => self.limits.pong_wait_ms,
            false => interval,
        });
        let slow = session.and_then(|session| self.sessions.get(session)?.slow_since);
        let slow = slow.map(|since| since.plus(self.limits.outbox_soft_ms));
        let at = slow.map_or(heartbeat, |slow| slow.min(heartbeat));
        self.wheel.set(conn.index, at.max(now.plus(1)));
    }
}

/// A connection's share of the heartbeat interval, 90 to 110 percent: connections that came
/// together shall not be pinged together for ever.
fn spread_percent(conn: ConnId) -> u64 {
    let hash = (conn.index ^ conn.generation.rotate_left(16)).wrapping_mul(0x9E37_79B9);
    90 + u64::from(hash >> 16) % 21
}
