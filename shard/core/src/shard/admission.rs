//! Sessions whose first message is a token: they join their room once it is taken.

use super::ShardCore;
use crate::ConnId;
use crate::access::Pass;
use crate::close::CloseReason;
use crate::connection::{Pause, Stage};
use crate::dialect::{Awaiting, DialectState, Target};
use crate::session::Session;
use crate::tick::Tick;

impl ShardCore {
    /// A token that came as a first message, to be answered by [`Input::Admitted`](super::Input::Admitted) or
    /// [`Input::TokenRefused`](super::Input::TokenRefused).
    pub fn poll_token(&mut self) -> Option<(ConnId, Vec<u8>)> {
        self.tokens.pop_front()
    }

    pub(super) fn admitted(&mut self, now: Tick, conn: ConnId, target: &Target, pass: Pass) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let (Stage::Open, Some(session)) = (connection.stage, connection.session) else {
            return;
        };
        connection.expiry = pass.expiry;
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        if !matches!(entry.dialect, DialectState::Awaiting(Awaiting::Answer)) {
            return;
        }
        entry.dialect = DialectState::of(target, crate::Access::Granted(pass));
        self.schedule(now, conn);
        match target {
            Target::Echo => self.unpause(conn, Pause::Admission),
            Target::Raw { room, .. } | Target::Events { room } => self.join(session, room),
        }
    }

    pub(super) fn token_refused(&mut self, now: Tick, conn: ConnId, why: &str) {
        self.close(now, conn, CloseReason::TokenRefused, why);
    }

    /// Why a connection ends whose [`Expiry`](crate::Expiry) has come.
    pub(super) fn expired(&self, conn: ConnId) -> CloseReason {
        let session = self.connections.get(conn).and_then(|entry| entry.session);
        let dialect = session.and_then(|session| Some(self.sessions.get(session)?.dialect));
        match dialect {
            Some(DialectState::Awaiting(_)) => CloseReason::TokenTimeout,
            _ => CloseReason::TokenExpired,
        }
    }
}

/// Whether a session waits for its token to be looked at, or for the room that it leads to.
#[inline]
pub(super) fn is_awaited(session: &Session) -> bool {
    match session.membership {
        None => matches!(session.dialect, DialectState::Awaiting(Awaiting::Answer)),
        Some(membership) => membership.position.is_none(),
    }
}
