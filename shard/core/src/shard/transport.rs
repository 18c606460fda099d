//! What the shell's transports tell: TLS is a layer between socket and core that the core does not see.

use super::ShardCore;
use crate::ConnId;
use crate::close::CloseReason;
use crate::tick::Tick;

impl ShardCore {
    /// Nothing can be read or sent any more; the peer is given time to read why.
    pub(super) fn tls_failed(&mut self, now: Tick, conn: ConnId, why: &str) {
        self.begin_closing(now, conn, CloseReason::TlsFailed, false, true);
        self.farewells.explain(conn, why);
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        let session = connection.session;
        let session = session.and_then(|session| self.sessions.get(session));
        let is_empty = session.is_none_or(|entry| entry.outbox.is_empty());
        match connection.http.is_none() && is_empty {
            true => self.flushed(conn),
            // It would wait in vain.
            false => self.end(conn),
        }
    }

    /// A transport keeps so much now.
    pub(super) fn transport_holds(&mut self, conn: ConnId, bytes: usize) {
        if self.connections.get(conn).is_none() {
            return;
        }
        self.let_transport_go(conn);
        if bytes > 0 {
            self.meter.hold(bytes);
            self.transports.insert(conn, bytes);
        }
    }

    /// What a transport keeps counts no more: it is about to be freed.
    pub(super) fn let_transport_go(&mut self, conn: ConnId) {
        if !self.transports.is_empty()
            && let Some(bytes) = self.transports.remove(&conn)
        {
            self.meter.release(bytes);
        }
    }
}
