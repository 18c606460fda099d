//! Consumers that read too slowly, as their rooms have it.

use super::ShardCore;
use crate::SessionId;
use crate::room_settings::{RoomSettings, SlowConsumer};
use crate::session::OutboxState;
use crate::tick::Tick;

impl ShardCore {
    /// What is set for the room of a session, if it drops messages for slow consumers.
    pub(super) fn dropping_room(&self, session: SessionId) -> Option<RoomSettings> {
        let membership = self.sessions.get(session)?.membership?;
        let settings = self.rooms.get(membership.room)?.settings;
        (settings.slow_consumer != SlowConsumer::Disconnect).then_some(settings)
    }

    /// A reply has made an outbox larger than its soft bound. In rooms that drop, publications make room for it.
    pub(super) fn outbox_above_soft(&mut self, now: Tick, session: SessionId) {
        let (soft, hard) = (self.limits.outbox_soft(), self.limits.outbox_hard());
        let dropping = self.dropping_room(session);
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        if let Some(settings) = dropping {
            if entry.flush.blocked || entry.outbox.bytes() > hard {
                self.stats.dropped_by_policy(entry.make_room(&settings));
            }
            if entry.outbox.bytes() > hard {
                self.overflowing.push(session);
            }
            return;
        }
        match entry.watch_outbox(now, soft, hard) {
            OutboxState::Known => {}
            OutboxState::BecameSlow => {
                let at = now.plus(self.limits.outbox_soft_ms);
                self.wheel.set_earlier(entry.conn.index, at);
            }
            OutboxState::Overflowing => self.overflowing.push(session),
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
