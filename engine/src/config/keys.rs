//! The table of configuration keys: what each means, what it allows, and how it is shown.

use std::fmt;

use ringmain_core::limits::MESSAGE_BYTES_CEILING;
use ringmain_proto::ws::deflate::WindowBits;
use ringmain_router::SHARDS_MAX;

use super::settings::Settings;
use super::value::{ByteSize, Seconds};

/// One key of the configuration.
pub struct Key {
    /// Its name in the file; in the environment `RINGMAIN_` and the same in capitals.
    pub name: &'static str,
    /// What it means, in one or more lines.
    pub meaning: &'static str,
    /// What it allows.
    pub allowed: Allowed,
    /// Its value as text.
    pub show: fn(&Settings) -> String,
}

/// What a key allows.
pub enum Allowed {
    /// What its type can read, in words.
    Text(&'static str),
    /// A number within a range.
    Number(Range),
}

/// The range of a number.
pub struct Range {
    unit: Unit,
    min: f64,
    max: f64,
    /// What 0 stands for, where it is allowed beside the range.
    zero: Option<&'static str>,
    get: fn(&Settings) -> f64,
}

enum Unit {
    Count,
    Bytes,
    Seconds,
}

impl Key {
    /// The value outside of the allowed range, if it is.
    pub fn is_out_of_range(&self, settings: &Settings) -> bool {
        match &self.allowed {
            Allowed::Text(_) => false,
            Allowed::Number(range) => {
                let value = (range.get)(settings);
                let is_zero = range.zero.is_some() && value == 0.0;
                !is_zero && !(range.min..=range.max).contains(&value)
            }
        }
    }

    /// The name of its environment variable.
    pub fn variable(&self) -> String {
        format!("RINGMAIN_{}", self.name.to_uppercase())
    }

    /// Its value as TOML.
    pub fn toml(&self, settings: &Settings) -> String {
        let text = (self.show)(settings);
        match &self.allowed {
            Allowed::Number(_) if text.parse::<f64>().is_ok() => text,
            _ => toml::Value::String(text).to_string(),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Text(words) => f.write_str(words),
            Allowed::Number(range) => {
                let (min, max) = (range.show(range.min), range.show(range.max));
                write!(f, "{min} to {max}")?;
                match range.zero {
                    Some(meaning) => write!(f, ", or 0: {meaning}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Range {
    fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Count => value.to_string(),
            Unit::Bytes => ByteSize(value as u64).to_string(),
            Unit::Seconds => Seconds(value).to_string(),
        }
    }
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! key {
    ($name:ident, $meaning:literal, text: $words:literal) => {
        Key {
            name: stringify!($name),
            meaning: $meaning,
            allowed: Allowed::Text($words),
            show: |settings| settings.$name.to_string(),
        }
    };
    ($name:ident, $meaning:literal, $unit:ident: $min:expr, $max:expr $(, zero: $zero:literal)?) => {
        Key {
            name: stringify!($name),
            meaning: $meaning,
            allowed: Allowed::Number(Range {
                unit: Unit::$unit,
                min: $min as f64,
                max: $max as f64,
                zero: optional!($($zero)?),
                get: |settings| settings.$name.0 as f64,
            }),
            show: |settings| settings.$name.to_string(),
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// All keys, in the order in which they are shown.
pub const KEYS: [Key; 23] = [
    key!(
        listen,
        "Where clients connect. Port 0: any free one, named at start.",
        text: "ADDRESS:PORT"
    ),
    key!(
        admin,
        "Where /health/live, /health/ready and /metrics are. There is no access control: keep it private.",
        text: "ADDRESS:PORT, or off"
    ),
    key!(
        shards,
        "Shards, each a thread. More than cores is allowed, and slower.",
        Count: 1, SHARDS_MAX, zero: "one a core of `cpus`"
    ),
    key!(
        cpus,
        "CPUs that the shards are pinned to, in turn.",
        text: "a list such as 0,2-3, or allowed: all that the process may use"
    ),
    key!(
        io,
        "How the shards do input and output. auto: io_uring where the system allows it, else epoll.",
        text: "auto, uring or epoll"
    ),
    key!(
        backlog,
        "Connections of a shard that may wait to be accepted. The kernel cuts it to net.core.somaxconn.",
        Count: 1, 65_535
    ),
    key!(
        connections_max,
        "Connections that the node accepts; others are answered with 503. The descriptor limit may allow fewer.",
        Count: 1, 100_000_000
    ),
    key!(
        memory_bytes_max,
        "Memory for outboxes, unfinished messages and messages between shards; each shard has an equal share.",
        Bytes: MIB, 16 * TIB, zero: "3/4 of what the control group or the host has"
    ),
    key!(
        message_bytes_max,
        "The largest message from a client; a larger one closes its connection with 1009.",
        Bytes: 125, MESSAGE_BYTES_CEILING
    ),
    key!(
        request_head_bytes_max,
        "The largest request line with headers; a larger one is answered with 431.",
        Bytes: 8 * KIB, MIB
    ),
    key!(
        handshake_seconds,
        "Time that a client has for its opening handshake.",
        Seconds: 0.1, 600
    ),
    key!(
        outbox_soft_bytes,
        "A client is a slow consumer if for `outbox_soft_seconds` more than this waits to be sent to it.\nThe largest message is always let in; at twice the larger of both, at least 1MiB, it is one at once.",
        Bytes: 4 * KIB, MESSAGE_BYTES_CEILING
    ),
    key!(
        outbox_soft_seconds,
        "See `outbox_soft_bytes`.",
        Seconds: 0.1, 600
    ),
    key!(
        heartbeat_seconds,
        "Silence after which a client is pinged, give or take a tenth.",
        Seconds: 0.1, 86_400
    ),
    key!(
        pong_wait_seconds,
        "Time that a pinged client has for any sign of life.",
        Seconds: 0.1, 600
    ),
    key!(
        close_handshake_seconds,
        "Time that a client has to answer a close.",
        Seconds: 0.1, 600
    ),
    key!(
        compression,
        "Compress messages for clients that offer permessage-deflate. What is published to a room is compressed once a shard for all of its members.",
        text: "on or off"
    ),
    key!(
        compression_bytes_min,
        "Shorter messages are sent as they are.",
        Bytes: 1, MESSAGE_BYTES_CEILING
    ),
    key!(
        compression_level,
        "1 is fast; 9 makes messages smaller by some percent, and takes several times as long.",
        Count: 1, 9
    ),
    key!(
        compression_takeover,
        "Let messages refer to those before them on the same connection: short ones that are alike become half as long. But what\nis published is then compressed for each member by itself: 1KiB takes a core some 20 microseconds with a window of 12 bits,\n70 with 15. Each such connection holds up to twice the window: 1KiB with 9 bits, 8KiB with 12, 64KiB with 15; all of them\ntogether at most a quarter of `memory_bytes_max`: further connections are compressed without.",
        text: "on or off"
    ),
    key!(
        compression_window_bits,
        "The largest window: 2 to this power is how many bytes a message refers back. Less takes less memory, here and at the\nclient, and makes messages longer.",
        Count: WindowBits::MIN.get(), WindowBits::MAX.get()
    ),
    key!(
        log,
        "What is logged to stderr.",
        text: "off, error, warn, info, debug or trace, or levels by target, such as info,ringmain_shard=debug"
    ),
    key!(
        log_format,
        "How a line of the log looks.",
        text: "text or json"
    ),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    static TABLE: [Key; KEYS.len()] = KEYS;
    TABLE.iter().find(|key| key.name == name)
}
