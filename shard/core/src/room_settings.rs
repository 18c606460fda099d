//! What an operator sets for rooms, by their names.

use std::sync::Arc;

use ringmain_router::RoomName;
use ringmain_router::cluster::RoomRates;

use crate::gcra::Rate;
use crate::pattern::Pattern;

/// Patterns that a node may have. Each is held against a room's name once, when a shard makes the room.
pub const ROOM_PATTERNS_MAX: usize = 256;

/// What becomes of a member that reads more slowly than its room speaks. A member is slow while its socket does not
/// take what it is offered; what waits because the shard is busy is nobody's slowness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowConsumer {
    /// It is closed, once too much has waited for too long.
    #[default]
    Disconnect,
    /// The oldest publications that it has not begun to receive are dropped and counted.
    DropOldest,
    /// Only the newest publication waits for it; others are dropped and counted.
    KeepLatest,
}

/// The settings of one room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSettings {
    /// What becomes of a member that reads too slowly.
    pub slow_consumer: SlowConsumer,
    /// With [`SlowConsumer::DropOldest`]: bytes that may wait for such a member. The newest publication may always.
    pub queue_bytes_max: usize,
    /// With [`SlowConsumer::DropOldest`]: messages that may wait for such a member.
    pub queue_messages_max: usize,
    /// Messages that the room takes, from all its publishers together.
    pub message_rate: Option<Rate>,
}

impl Default for RoomSettings {
    fn default() -> Self {
        RoomSettings {
            slow_consumer: SlowConsumer::Disconnect,
            queue_bytes_max: 256 * 1024,
            queue_messages_max: 1_000,
            message_rate: None,
        }
    }
}

/// The settings of all rooms: the first pattern that matches a room's name decides. A clone is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomPolicies {
    entries: Arc<[(Pattern, RoomSettings)]>,
    default: RoomSettings,
}

impl RoomPolicies {
    /// Settings by pattern, and those of rooms that no pattern matches.
    pub fn new(entries: Vec<(Pattern, RoomSettings)>, default: RoomSettings) -> Self {
        debug_assert!(entries.len() <= ROOM_PATTERNS_MAX);
        RoomPolicies {
            entries: entries.into(),
            default,
        }
    }

    /// Whether any room has a rate.
    pub fn have_rates(&self) -> bool {
        let all = self.entries.iter().map(|(_, settings)| settings);
        all.chain([&self.default])
            .any(|settings| settings.message_rate.is_some())
    }

    /// The settings of one room.
    pub fn of(&self, name: &RoomName) -> &RoomSettings {
        let name = name.as_str();
        self.entries
            .iter()
            .find(|(pattern, _)| pattern.matches(name))
            .map_or(&self.default, |(_, settings)| settings)
    }
}

impl RoomRates for RoomPolicies {
    fn rate(&self, room: &RoomName) -> Option<Rate> {
        self.of(room).message_rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_decides() {
        let settings = |queue_messages_max| RoomSettings {
            queue_messages_max,
            ..RoomSettings::default()
        };
        let entries = [("chat:vip", 1), ("chat:*", 2), ("*", 3), ("chat:late", 4)]
            .into_iter()
            .filter_map(|(pattern, n)| Some((Pattern::new(pattern).ok()?, settings(n))));
        let policies = RoomPolicies::new(entries.collect(), settings(9));
        let of = |policies: &RoomPolicies, name: &str| {
            RoomName::new(name.as_bytes()).map(|name| policies.of(&name).queue_messages_max)
        };
        assert_eq!(of(&policies, "chat:vip"), Ok(1));
        assert_eq!(of(&policies, "chat:late"), Ok(2));
        assert_eq!(of(&policies, "news"), Ok(3));
        let policies = RoomPolicies::new(Vec::new(), settings(9));
        assert_eq!(of(&policies, "news"), Ok(9));
    }
}
