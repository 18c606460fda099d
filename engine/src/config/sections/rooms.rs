//! `[[rooms]]`: settings for rooms by the pattern of their names.

use ringmain_core::{Pattern, Rate, RoomPolicies, RoomSettings};
use serde::{Deserialize, Deserializer, de};

use super::{Limits, Section, limits};
use crate::config::Settings;
use crate::config::keys;
use crate::config::value::{ByteSize, Count, SlowConsumer};

/// One entry. What it does not set is as the key of the same name outside of all sections says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooms {
    /// Which rooms.
    #[serde(rename = "match", deserialize_with = "pattern")]
    pub pattern: Pattern,
    /// What becomes of a member that reads too slowly.
    pub slow_consumer: Option<SlowConsumer>,
    /// Bytes that may wait for it.
    pub queue_bytes_max: Option<ByteSize>,
    /// Messages that may wait for it.
    pub queue_messages_max: Option<Count>,
    /// Messages a second that the room takes.
    pub room_message_rate: Option<Count>,
    /// As many at once.
    pub room_message_burst: Option<Count>,
}

pub(super) fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
    Pattern::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl Section for Rooms {
    const NAME: &'static str = "rooms";
    const EXAMPLE: &'static str = r#"Settings of rooms by the pattern of their names. In `match`, * stands for any characters. The first entry that
matches decides; what it does not set, and rooms that none matches, are as the keys above say.
[[rooms]]
match = "chat:*"
slow_consumer = "drop_oldest"
queue_bytes_max = "64KiB"
queue_messages_max = 100
room_message_rate = 200    # as in [limits]; 0: no limit
room_message_burst = 500
"#;

    fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(bytes) = self.queue_bytes_max {
            keys::allows("queue_bytes_max", bytes.0 as f64)
                .map_err(|problem| ("queue_bytes_max", problem))?;
        }
        if let Some(messages) = self.queue_messages_max {
            keys::allows("queue_messages_max", messages.0 as f64)
                .map_err(|problem| ("queue_messages_max", problem))?;
        }
        for (name, number) in [
            ("room_message_rate", self.room_message_rate),
            ("room_message_burst", self.room_message_burst),
        ] {
            limits::check_number(name, number.map_or(0, |it| it.0))?;
        }
        if self.room_message_burst.is_some() && self.room_message_rate.is_none() {
            let problem = "a burst is a part of its rate: set `room_message_rate` here too";
            return Err(("room_message_burst", problem.to_owned()));
        }
        Ok(())
    }

    fn toml(&self) -> String {
        let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut lines = vec![format!("match = {}", text(self.pattern.as_str()))];
        if let Some(policy) = self.slow_consumer {
            lines.push(format!("slow_consumer = {}", text(&policy.to_string())));
        }
        if let Some(bytes) = self.queue_bytes_max {
            lines.push(format!("queue_bytes_max = {}", text(&bytes.to_string())));
        }
        if let Some(messages) = self.queue_messages_max {
            lines.push(format!("queue_messages_max = {messages}"));
        }
        if let Some(rate) = self.room_message_rate {
            lines.push(format!("room_message_rate = {rate}"));
        }
        if let Some(burst) = self.room_message_burst {
            lines.push(format!("room_message_burst = {burst}"));
        }
        lines.join("\n") + "\n"
    }
}

impl Rooms {
    /// The rate of the rooms; a burst is its rate's, not that of another.
    fn message_rate(&self, all: &Limits) -> Option<Rate> {
        match self.room_message_rate {
            Some(rate) => limits::rate(rate.0, self.room_message_burst.map_or(0, |it| it.0)),
            None => all.room_rate(),
        }
    }
}

impl Settings {
    /// What is set for rooms.
    pub fn room_policies(&self) -> RoomPolicies {
        let entries = self.sections.rooms.iter().map(|entry| {
            let settings = RoomSettings {
                slow_consumer: entry.slow_consumer.unwrap_or(self.slow_consumer).0,
                queue_bytes_max: self.queue_bytes(entry.queue_bytes_max),
                queue_messages_max: entry
                    .queue_messages_max
                    .unwrap_or(self.queue_messages_max)
                    .0 as usize,
                message_rate: entry.message_rate(&self.sections.limits),
            };
            (entry.pattern.clone(), settings)
        });
        let default = RoomSettings {
            slow_consumer: self.slow_consumer.0,
            queue_bytes_max: self.queue_bytes(None),
            queue_messages_max: self.queue_messages_max.0 as usize,
            message_rate: self.sections.limits.room_rate(),
        };
        RoomPolicies::new(entries.collect(), default)
    }

    /// Bytes of a queue, of which 0 means as many as the outbox's soft bound.
    fn queue_bytes(&self, entry: Option<ByteSize>) -> usize {
        match entry.unwrap_or(self.queue_bytes_max).0 {
            0 => self.outbox_soft_bytes.0 as usize,
            bytes => bytes as usize,
        }
    }

    /// The first queue that is larger than the outbox's soft bound, at which its member is not read any more: the path
    /// of its key, and its bytes.
    pub fn queue_above_outbox(&self) -> Option<(String, ByteSize)> {
        let entries = self.sections.rooms.iter().enumerate();
        let entries = entries.filter_map(|(index, entry)| {
            Some((
                format!("rooms[{index}].queue_bytes_max"),
                entry.queue_bytes_max?,
            ))
        });
        std::iter::once(("queue_bytes_max".to_owned(), self.queue_bytes_max))
            .chain(entries)
            .find(|(_, bytes)| bytes.0 > self.outbox_soft_bytes.0)
    }
}
