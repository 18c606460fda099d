//! Taking up new rules.

use super::{Rules, ShardCore, parser_settings};
use crate::limits::TURN_ROOMS_CONFIGURED_MAX;

impl ShardCore {
    pub(super) fn configure(&mut self, rules: Rules) {
        self.parser_settings = parser_settings(&rules.limits);
        if self.limits.compression != rules.limits.compression {
            self.codecs.configure(rules.limits.compression);
        }
        let rates_changed = self.limits.address_gate() != rules.limits.address_gate()
            || self.limits.rate_action != rules.limits.rate_action;
        self.limits = rules.limits;
        if rates_changed {
            self.wake_at_all_gates();
        }
        if self.room_policies != rules.rooms {
            self.rooms_have_rates = rules.rooms.have_rates();
            self.room_policies = rules.rooms;
            self.reconfiguring = Some(0);
        }
    }

    /// Gives new settings to some of the rooms that there are.
    pub(super) fn reconfigure_some(&mut self) {
        let Some(place) = self.reconfiguring else {
            return;
        };
        let end = self.rooms.end();
        let stop = end.min(place.saturating_add(TURN_ROOMS_CONFIGURED_MAX));
        for index in place..stop {
            if let Some((_, room)) = self.rooms.at_mut(index) {
                room.settings = *self.room_policies.of(&room.name);
            }
        }
        self.reconfiguring = (stop < end).then_some(stop);
        if self.reconfiguring.is_none() {
            self.wake_at_all_gates();
        }
    }
}
