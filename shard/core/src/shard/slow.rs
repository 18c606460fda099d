//! Consumers that read too slowly, as their rooms have it.

use super::ShardCore;
use crate::SessionId;
use crate::limits::Limits;
use crate::room_settings::{RoomSettings, SlowConsumer};
use crate::session::{OutboxState, Session};
use crate::stats::ShardStats;
use crate::tick::Tick;
use crate::wheel::Wheel;

/// The bounds of outboxes, and what follows when one is passed.
pub(super) struct OutboxBounds {
    now: Tick,
    soft: usize,
    soft_ms: u64,
    hard: usize,
}

impl OutboxBounds {
    pub(super) fn new(now: Tick, limits: &Limits) -> Self {
        OutboxBounds {
            now,
            soft: limits.outbox_soft(),
            soft_ms: limits.outbox_soft_ms,
            hard: limits.outbox_hard(),
        }
    }

    /// Whether a session must be held to them after something was put into its outbox. Asked for every delivery.
    #[inline]
    pub(super) fn are_passed(&self, session: &Session, drops: bool) -> bool {
        session.outbox.bytes() > self.soft || (drops && session.flush.blocked)
    }

    /// Holds a session to them when [they are passed](Self::are_passed). Where its room drops, `dropping` has the
    /// room's settings.
    #[cold]
    pub(super) fn hold(
        &self,
        id: SessionId,
        session: &mut Session,
        dropping: Option<&RoomSettings>,
        stats: &ShardStats,
        wheel: &mut Wheel,
        overflowing: &mut Vec<SessionId>,
    ) {
        if let Some(settings) = dropping {
            if session.flush.blocked || session.outbox.bytes() > self.hard {
                stats.dropped_by_policy(session.make_room(settings));
                if session.outbox.bytes() > self.hard {
                    overflowing.push(id);
                }
            }
            return;
        }
        match session.watch_outbox(self.now, self.soft, self.hard) {
            OutboxState::Known => {}
            OutboxState::BecameSlow => {
                let at = self.now.plus(self.soft_ms);
                wheel.set_earlier(session.conn.index, at);
            }
            OutboxState::Overflowing => overflowing.push(id),
        }
    }
}

impl ShardCore {
    /// What is set for the room of a session, if it drops messages for slow consumers.
    pub(super) fn dropping_room(&self, session: SessionId) -> Option<RoomSettings> {
        let membership = self.sessions.get(session)?.membership?;
        let settings = self.rooms.get(membership.room)?.settings;
        (settings.slow_consumer != SlowConsumer::Disconnect).then_some(settings)
    }

    /// A reply has made an outbox larger than its soft bound. In rooms that drop, publications make room for it.
    pub(super) fn outbox_above_soft(&mut self, now: Tick, session: SessionId) {
        let dropping = self.dropping_room(session);
        let bounds = OutboxBounds::new(now, &self.limits);
        if let Some(entry) = self.sessions.get_mut(session) {
            let (stats, wheel, overflowing) = (&self.stats, &mut self.wheel, &mut self.overflowing);
            bounds.hold(session, entry, dropping.as_ref(), stats, wheel, overflowing);
        }
    }

    /// A socket has taken less than it was offered: from here on its session is slow.
    pub(super) fn became_slow(&mut self, session: SessionId) {
        let Some(settings) = self.dropping_room(session) else {
            return;
        };
        if let Some(entry) = self.sessions.get_mut(session) {
            self.stats.dropped_by_policy(entry.make_room(&settings));
        }
    }

    /// Whether a session has been above its soft bound for too long. In rooms that drop, nobody is: what waits
    /// there is bounded in another way.
    pub(super) fn is_too_slow(&mut self, now: Tick, session: SessionId) -> bool {
        let since = self
            .sessions
            .get(session)
            .and_then(|entry| entry.slow_since);
        if since.is_none_or(|since| now.since(since) < self.limits.outbox_soft_ms) {
            return false;
        }
        // The room may have been set to drop after it became slow.
        if self.dropping_room(session).is_none() {
            return true;
        }
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.slow_since = None;
        }
        false
    }
}
