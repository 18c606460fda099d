//! Event streams: sessions that an HTTP response carries.

use bytes::Bytes;

use super::ShardCore;
use crate::close::CloseReason;
use crate::dialect::events;
use crate::encoded::Encoded;
use crate::tick::Tick;
use crate::{ConnId, SessionId};

impl ShardCore {
    /// The head of the response is handed over: what follows it first.
    pub(super) fn begin_stream(&mut self, conn: ConnId, session: SessionId) {
        self.put_in_stream(session, events::opening(spread_percent(conn)).into());
    }

    /// A stream's peer answers no ping: a comment at each interval shows its system, and proxies on the way, that
    /// the stream is alive. One that is gone is found out when its system does not take what is sent.
    pub(super) fn stream_heartbeat(&mut self, now: Tick, conn: ConnId) {
        if self.has_outlived(now, conn) {
            return;
        }
        let interval = self.heartbeat_interval(conn);
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if now.since(connection.beat) >= interval {
            connection.beat = now;
            if let Some(session) = connection.session {
                self.put_in_stream(session, Bytes::from_static(events::HEARTBEAT));
            }
        }
        self.schedule(now, conn);
    }

    /// Ends a stream for a reason of ours, with a last event that says it.
    pub(super) fn close_stream(
        &mut self,
        now: Tick,
        conn: ConnId,
        session: SessionId,
        reason: CloseReason,
    ) {
        self.begin_closing(now, conn, reason, false, true);
        let last = events::closing(reason.entry(), spread_percent(conn));
        self.put_in_stream(session, last.into());
    }

    fn put_in_stream(&mut self, session: SessionId, bytes: Bytes) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.outbox.push(Encoded::verbatim(bytes, &self.meter));
        if !entry.flush.in_prompt && entry.flush.open && !entry.flush.blocked {
            entry.flush.in_prompt = true;
            self.prompt.push_back(session);
        }
    }
}

/// A stream's share of the time to wait before it comes back, 50 to 150 percent.
fn spread_percent(conn: ConnId) -> u64 {
    let hash = (conn.index ^ conn.generation.rotate_left(16)).wrapping_mul(0x85EB_CA6B);
    50 + u64::from(hash >> 16) % 101
}
