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
    /// Copies its value from the first to the second.
    pub keep: fn(&Settings, &mut Settings),
    /// Whether a reload changes it. If not, only a restart does.
    pub is_reloadable: bool,
    /// Whether its value is kept from all output.
    pub is_secret: bool,
}

/// What a key allows.
pub enum Allowed {
    /// What its type can read, in words.
    Text(&'static str),
    /// Texts in a list, which is one text with commas outside of the file.
    List(&'static str),
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
    /// The same key, which only a restart changes.
    const fn restart(mut self) -> Self {
        self.is_reloadable = false;
        self
    }

    /// The value outside of the allowed range, if it is.
    pub fn is_out_of_range(&self, settings: &Settings) -> bool {
        match &self.allowed {
            Allowed::Text(_) | Allowed::List(_) => false,
            Allowed::Number(range) => !range.contains((range.get)(settings)),
        }
    }

    /// The name of its environment variable.
    pub fn variable(&self) -> String {
        format!("RINGMAIN_{}", self.name.to_uppercase())
    }

    /// Its value as people may see it.
    pub fn told(&self, settings: &Settings) -> String {
        if self.is_secret {
            "(secret)".to_owned()
        } else {
            (self.show)(settings)
        }
    }

    /// Its value as TOML.
    pub fn toml(&self, settings: &Settings) -> String {
        self.quoted((self.show)(settings))
    }

    /// Its value as TOML, as people may see it.
    pub fn told_toml(&self, settings: &Settings) -> String {
        self.quoted(self.told(settings))
    }

    fn quoted(&self, text: String) -> String {
        match &self.allowed {
            Allowed::Number(_) if text.parse::<f64>().is_ok() => text,
            Allowed::List(_) => {
                let items = text.split(',').filter(|item| !item.is_empty());
                let items = items.map(|item| toml::Value::String(item.to_owned()));
                toml::Value::Array(items.collect()).to_string()
            }
            _ => toml::Value::String(text).to_string(),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allowed::Text(words) | Allowed::List(words) => f.write_str(words),
            Allowed::Number(range) => range.fmt(f),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (self.show(self.min), self.show(self.max));
        write!(f, "{min} to {max}")?;
        match self.zero {
            Some(meaning) => write!(f, ", or 0: {meaning}"),
            None => Ok(()),
        }
    }
}

impl Range {
    fn contains(&self, value: f64) -> bool {
        let is_zero = self.zero.is_some() && value == 0.0;
        is_zero || (self.min..=self.max).contains(&value)
    }

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
            keep: |from, to| to.$name.clone_from(&from.$name),
            is_reloadable: true,
            is_secret: false,
        }
    };
    ($name:ident, $meaning:literal, list: $words:literal) => {
        Key {
            name: stringify!($name),
            meaning: $meaning,
            allowed: Allowed::List($words),
            show: |settings| settings.$name.to_string(),
            keep: |from, to| to.$name.clone_from(&from.$name),
            is_reloadable: true,
            is_secret: false,
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
            keep: |from, to| to.$name.clone_from(&from.$name),
            is_reloadable: true,
            is_secret: false,
        }
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// All keys, in the order in which they are shown. Those that only a restart can change say so; whatever
/// else is added here has to be found by a reload in what the shards go by.
pub const KEYS: [Key; 41] = [
    key!(
        listen,
        "Where clients connect. Port 0: any free one, named at start.",
        text: "ADDRESS:PORT"
    )
    .restart(),
    key!(
        tls_listen,
        "Where clients connect by TLS, with wss:// and https://.",
        text: "ADDRESS:PORT, or off"
    )
    .restart(),
    key!(
        tls_cert,
        "The certificate's file in PEM: the server's own first, then those that vouch for it. A changed file is taken up\nwithin seconds, and no connection dropped. Further certificates, for further hosts: see [[tls]].",
        text: "a file's path"
    ),
    key!(
        tls_key,
        "The file of the certificate's private key in PEM, not encrypted; if empty, it stands in `tls_cert` too.",
        text: "a file's path"
    ),
    key!(
        tls_handshakes_max,
        "TLS handshakes that may be under way in the node, each for at most `handshake_seconds`; further connections are\nclosed with an alert.",
        Count: 1, 1_000_000
    ),
    key!(
        admin,
        "Where /health/live, /health/ready and /metrics are. There is no access control: keep it private.",
        text: "ADDRESS:PORT, or off"
    )
    .restart(),
    key!(
        shards,
        "Shards, each a thread. More than cores is allowed, and slower.",
        Count: 1, SHARDS_MAX, zero: "one a core of `cpus`"
    )
    .restart(),
    key!(
        cpus,
        "CPUs that the shards are pinned to, in turn.",
        text: "a list such as 0,2-3, or allowed: all that the process may use"
    )
    .restart(),
    key!(
        io,
        "How the shards do input and output. auto: io_uring where the system allows it, else epoll.",
        text: "auto, uring or epoll"
    )
    .restart(),
    key!(
        backlog,
        "Connections of a shard that may wait to be accepted. The kernel cuts it to net.core.somaxconn.",
        Count: 1, 65_535
    )
    .restart(),
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
        "Time that a client has for its opening handshake, or for a request with its body.",
        Seconds: 0.1, 600
    ),
    key!(
        keep_alive_seconds,
        "How long a connection without a WebSocket stays open for its next request.",
        Seconds: 0.1, 86_400
    ),
    key!(
        origins,
        "Whose pages may connect, publish and listen: browsers say in the header Origin which page asks.\nPages of named origins may use the user's credentials in requests; * lets in everybody's, without.",
        list: "same-host, https://example.com, https://*.example.com:8443, *://localhost:*, null, *"
    ),
    key!(
        origin_missing,
        "What becomes of requests without the header Origin, which only browsers have to send.",
        text: "allow or refuse"
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
        slow_consumer,
        "What becomes of a room's member that reads too slowly. disconnect: it is closed, as `outbox_soft_bytes` says.\ndrop_oldest: the oldest messages that wait for it are dropped. keep_latest: only the newest waits for it.\nDrops are counted (ringmain_drops_total). Rooms can have their own: see [[rooms]].",
        text: "disconnect, drop_oldest or keep_latest"
    ),
    key!(
        queue_bytes_max,
        "With drop_oldest: what may wait for a member that reads too slowly; at most `outbox_soft_bytes`. The newest\nmessage is always let in.",
        Bytes: KIB, MESSAGE_BYTES_CEILING, zero: "as `outbox_soft_bytes`"
    ),
    key!(
        queue_messages_max,
        "With drop_oldest: messages that may wait for a member that reads too slowly.",
        Count: 1, 1_000_000
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
        ready_delay_seconds,
        "After SIGTERM, time between /health/ready turning 503 and the drain: for load balancers to notice.\nNew connections are served meanwhile.",
        Seconds: 0, 3_600
    ),
    key!(
        drain_seconds,
        "Time over which a drain closes the connections, evenly and in random order, each after what is queued for it.\n0: all at once. The process ends at most `close_handshake_seconds` and a few seconds later.",
        Seconds: 0, 3_600
    ),
    key!(
        lifetime_seconds,
        "Time after which a client is closed with 1001 and told to come back at once, less up to a tenth, so that those\nthat came together do not return together: connections spread over new nodes.",
        Seconds: 1, 31_536_000, zero: "none"
    ),
    key!(
        tcp_user_timeout_seconds,
        "Time after which the system gives up a connection whose client acknowledges nothing, or takes nothing\n(TCP_USER_TIMEOUT). For connections made from now on.",
        Seconds: 1, 86_400, zero: "as the system has it"
    ),
    key!(
        tcp_notsent_bytes_max,
        "Bytes that may wait in the kernel for a client that reads slowly (TCP_NOTSENT_LOWAT); what is beyond waits in\nits outbox, where it counts and can be dropped. For connections made from now on.",
        Bytes: 4 * KIB, MESSAGE_BYTES_CEILING, zero: "as the system has it, net.ipv4.tcp_notsent_lowat"
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
        nats,
        "NATS servers over which rooms are shared with the other nodes of a cluster; empty for a node alone. How they are\nreached: see [cluster]. If one of them is tls://, all are reached by TLS, also those that servers tell of.",
        list: "nats://HOST:PORT, tls://HOST:PORT"
    )
    .restart(),
    key!(
        cluster_name,
        "The cluster's name: nodes that give the same share all rooms.",
        text: "1 to 32 letters, digits, - or _"
    )
    .restart(),
    key!(
        node_name,
        "This node's name, unique in its cluster. If empty, one is made up at each start.",
        text: "1 to 32 letters, digits, - or _, or nothing"
    )
    .restart(),
    key!(
        log,
        "What is logged to stderr.",
        text: "off, error, warn, info, debug or trace, or levels by target, such as info,ringmain_shard=debug"
    ),
    key!(
        log_format,
        "How a line of the log looks.",
        text: "text or json"
    )
    .restart(),
];

/// Whether a key allows a number; if not, what is wrong with it. For sections, whose keys mean the same.
pub fn allows(name: &str, value: f64) -> Result<(), String> {
    let Some(Allowed::Number(range)) = find(name).map(|key| &key.allowed) else {
        return Ok(());
    };
    if range.contains(value) {
        return Ok(());
    }
    let text = range.show(value);
    Err(format!("it is {text}; allowed: {range}"))
}

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    static TABLE: [Key; KEYS.len()] = KEYS;
    TABLE.iter().find(|key| key.name == name)
}
