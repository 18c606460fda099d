//! What is due by time: handshakes, heartbeats, slow consumers, close handshakes.

use ringmain_proto::ws::{Opcode, Payload};

use super::ShardCore;
use crate::ConnId;
use crate::close::CloseReason;
use crate::connection::{Connection, Pause, Stage};
use crate::limits::{Limits, PING_FLUSH_LOOK_MS, TURN_TIMERS_MAX};
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
        if self.give_up_count(now, conn) {
            return;
        }
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        match connection.stage {
            Stage::Http | Stage::Joining | Stage::Granted => {
                // Unless it has been answered, and may just have nothing more to ask.
                let reason = match connection.finishing {
                    true => CloseReason::Stopping,
                    false => CloseReason::HandshakeTimeout,
                };
                connection.reason.get_or_insert(reason);
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
        if matches!(
            connection.pause,
            Some(Pause::Room | Pause::Outgoing(_) | Pause::Rate | Pause::Lease | Pause::Admission)
        ) {
            // Who is not read, for no fault of its own, cannot be heard.
            connection.heard(now);
        }
        if self.has_outlived(now, conn) {
            return;
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

    /// Closes a connection that has been slow for too long, or has lived as long as it may. Returns whether it did.
    pub(super) fn has_outlived(&mut self, now: Tick, conn: ConnId) -> bool {
        let Some(&Connection {
            session,
            opened,
            expiry,
            ..
        }) = self.connections.get(conn)
        else {
            return true;
        };
        if session.is_some_and(|session| self.is_too_slow(now, session)) {
            self.close_slow(now, conn);
            return true;
        }
        if expiry.tick().is_some_and(|end| end <= now) {
            let reason = self.expired(conn);
            self.close(now, conn, reason, reason.entry().text);
            return true;
        }
        let is_over = lifetime_end(&self.limits, conn, opened).is_some_and(|end| end <= now);
        if is_over {
            let reason = CloseReason::LifetimeOver;
            self.close(now, conn, reason, reason.entry().text);
        }
        is_over
    }

    /// A connection's own heartbeat interval, in milliseconds.
    pub(super) fn heartbeat_interval(&self, conn: ConnId) -> u64 {
        self.limits.heartbeat_ms * spread_percent(conn) / 100
    }

    /// Sets an open connection's next deadline.
    pub(super) fn schedule(&mut self, now: Tick, conn: ConnId) {
        let Some(&Connection {
            beat,
            opened,
            pinged,
            session,
            expiry,
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
        let end = lifetime_end(&self.limits, conn, opened);
        let ends = slow.into_iter().chain(end).chain(expiry.tick());
        let at = ends.fold(heartbeat, Tick::min);
        self.wheel.set(conn.index, at.max(now.plus(1)));
    }
}

/// A number of a connection's own, by which those that came together part.
fn spread(conn: ConnId) -> u32 {
    (conn.index ^ conn.generation.rotate_left(16)).wrapping_mul(0x9E37_79B9)
}

/// A connection's share of the heartbeat interval, 90 to 110 percent: connections that came
/// together shall not be pinged together for ever.
fn spread_percent(conn: ConnId) -> u64 {
    90 + u64::from(spread(conn) >> 16) % 21
}

/// When a connection has lived as long as it may, if there is an end: 90 to 100 percent of the lifetime after it was
/// opened, so that those that came together do not come back together.
fn lifetime_end(limits: &Limits, conn: ConnId, opened: Tick) -> Option<Tick> {
    let lifetime = limits.lifetime_ms;
    let less = (lifetime / 10).saturating_mul(u64::from(spread(conn))) >> 32;
    (lifetime > 0).then(|| opened.plus(lifetime - less))
}
