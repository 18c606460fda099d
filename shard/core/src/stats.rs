//! What one shard counts. One writer, the shard; read by the control plane at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::close::{CloseReason, Severity};
use crate::histogram::Histogram;
use crate::rates::RateLimit;
use crate::refused_token::RefusedToken;
use crate::shard::Refusal;

/// A number that its one writer changes by a plain load and store.
#[derive(Debug, Default)]
pub struct Cell64(AtomicU64);

impl Cell64 {
    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds to the value. Only the owning shard may.
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    /// Sets the value. Only the owning shard may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Messages that did not reach a member, by why. The names are the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// Another shard's lane stayed full for a second: all members there miss the publication.
    LaneFull,
    /// The consumer was closed for reading too slowly, with this in its outbox.
    SlowConsumer,
    /// The connection was closed for want of memory, with this in its outbox.
    MemoryFull,
    /// The connection ended, with this in its outbox.
    PeerGone,
    /// The consumer was slow, and its room has it that newer messages take the place of the oldest.
    DropOldest,
    /// The consumer was slow, and its room has it that only the newest message waits.
    KeepLatest,
    /// The sender may not publish in its room.
    NotPermitted,
}

impl DropReason {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, DropReason); 7] = [
        ("lane_full", DropReason::LaneFull),
        ("slow_consumer", DropReason::SlowConsumer),
        ("memory_full", DropReason::MemoryFull),
        ("peer_gone", DropReason::PeerGone),
        ("drop_oldest", DropReason::DropOldest),
        ("keep_latest", DropReason::KeepLatest),
        ("not_permitted", DropReason::NotPermitted),
    ];
}

/// The HTTP status of a refused request, as a place in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedStatus(u8);

impl RefusedStatus {
    /// The statuses that have a place of their own, and their labels.
    const KNOWN: [(u16, &'static str); 14] = [
        (400, "400"),
        (401, "401"),
        (403, "403"),
        (404, "404"),
        (405, "405"),
        (408, "408"),
        (409, "409"),
        (413, "413"),
        (414, "414"),
        (415, "415"),
        (426, "426"),
        (429, "429"),
        (431, "431"),
        (503, "503"),
    ];

    /// How many places there are: one for all others.
    pub const COUNT: usize = Self::KNOWN.len() + 1;

    /// The place of a status.
    pub fn of(status: u16) -> Self {
        let place = Self::KNOWN.iter().position(|(known, _)| *known == status);
        RefusedStatus(place.unwrap_or(Self::KNOWN.len()) as u8)
    }

    /// All places.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(RefusedStatus)
    }

    /// Its place.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// Its label in the metrics.
    pub fn label(self) -> &'static str {
        Self::KNOWN
            .get(self.index())
            .map_or("other", |(_, label)| label)
    }

    /// How much its line in the log matters: requests that lead nowhere are of no interest one by one, those that lack a
    /// right or come too often are worth a line, and what the server cannot serve is its trouble.
    pub fn severity(self) -> Severity {
        match Self::KNOWN.get(self.index()) {
            Some((401 | 403 | 409 | 429, _)) => Severity::Info,
            Some((503, _)) | None => Severity::Warn,
            Some(_) => Severity::Debug,
        }
    }
}

/// Whether a metric only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Name and meaning of one number a shard.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name without the prefix `ringmain_` and without the suffix `_total`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
}

/// How TLS handshakes have ended. The names are the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TlsHandshake {
    /// Whole, with a signature.
    Full,
    /// Resumed by a ticket: without one.
    Resumed,
    /// One side could not go on; the log says why.
    Failed,
    /// The peer spoke plain HTTP.
    PlainHttp,
    /// The connection ended before it was done: by the peer, or for want of time.
    Unfinished,
}

impl TlsHandshake {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, TlsHandshake); 5] = [
        ("full", TlsHandshake::Full),
        ("resumed", TlsHandshake::Resumed),
        ("failed", TlsHandshake::Failed),
        ("plain_http", TlsHandshake::PlainHttp),
        ("unfinished", TlsHandshake::Unfinished),
    ];
}

macro_rules! shard_stats {
    ($($kind:ident $field:ident $help:literal;)*) => {
        /// The numbers of one shard.
        #[derive(Debug, Default)]
        pub struct ShardStats {
            $(#[doc = $help] pub $field: Cell64,)*
            /// Messages lost, by [`DropReason`].
            pub drops: [Cell64; DropReason::NAMES.len()],
            /// Connections ended, by [`CloseReason`].
            pub closes: [Cell64; CloseReason::CATALOGUE.len()],
            /// TLS handshakes ended, by [`TlsHandshake`].
            pub tls_handshakes: [Cell64; TlsHandshake::NAMES.len()],
            /// Connections that were not let in, by [`Refusal`].
            pub refusals: [Cell64; Refusal::NAMES.len()],
            /// Requests answered with an error, by [`RefusedStatus`].
            pub refused_requests: [Cell64; RefusedStatus::COUNT],
            /// Tokens that were refused, of requests and first messages, by [`RefusedToken`].
            pub tokens_refused: [Cell64; RefusedToken::NAMES.len()],
            /// What was beyond a rate, by [`RateLimit`].
            pub rates_exceeded: [Cell64; RateLimit::NAMES.len()],
            /// Lines about closes that the log's rate limit withheld, by [`CloseReason`].
            pub closes_withheld: [Cell64; CloseReason::CATALOGUE.len()],
            /// Lines about refused connections that it withheld, by [`Refusal`].
            pub refusals_withheld: [Cell64; Refusal::NAMES.len()],
            /// Lines about refused requests that it withheld, by [`RefusedStatus`].
            pub refused_requests_withheld: [Cell64; RefusedStatus::COUNT],
            /// From the beginning of a publication's handling on its publisher's shard to when the last byte
            /// for a member was handed to the kernel; every delivery of this shard.
            pub delivery_lag: Histogram,
            /// From the first thing that a turn handled to the end of its writes.
            pub turn_time: Histogram,
        }

        impl ShardStats {
            /// Name, meaning and value of every plain number.
            pub fn each(&self, mut visit: impl FnMut(Metric, u64)) {
                $(visit(
                    Metric { name: stringify!($field), help: $help, kind: MetricKind::$kind },
                    self.$field.get(),
                );)*
            }
        }
    };
}

shard_stats! {
    Gauge connections "Open connections, those in their handshake included";
    Gauge sessions "Open sessions";
    Gauge event_streams "Open sessions that are event streams";
    Gauge rooms "Rooms with members or publishers on this shard";
    Gauge rooms_home "Rooms whose home is this shard";
    Gauge members "Members of rooms on this shard";
    Gauge memory_bytes "Bytes in outboxes, unfinished messages and TLS records, and the shard's data lane";
    Gauge subjects_kept "Addresses and users with connections, of those that this shard keeps count of";
    Gauge listening "Whether the shard accepts connections: 1 until it is drained";
    Gauge tls_connections "Open connections that speak TLS";
    Gauge tls_handshaking "TLS handshakes under way";
    Counter accepted "Connections accepted";
    Counter messages_in "Messages received";
    Counter messages_out "Messages queued for delivery to a connection";
    Counter bytes_in "Bytes received";
    Counter bytes_out "Bytes sent";
    Counter writes "Write calls; messages_out divided by this is the coalescing";
    Counter reads "Read calls that returned bytes";
    Counter pings "Heartbeat pings sent";
    Counter mesh_data_frames_out "Publications sent to other shards";
    Counter mesh_data_frames_in "Publications received from other shards";
    Counter mesh_control_frames_out "Control frames sent to other shards";
    Counter mesh_control_frames_in "Control frames received from other shards";
    Counter room_gaps "Publications that a room's members on some other shard missed";
    Counter publishers_paused "Times a connection was not read for want of room downstream";
    Counter http_publications "Messages that HTTP requests have published";
    Counter http_publications_refused "Messages of HTTP requests that found no room for a second, answered with 503";
    Counter messages_over_rate "Messages received and dropped, since they were beyond a rate";
    Counter offences "Limits broken, as the subjects' keeper counts them for its block list";
    Counter offences_lost "Limits broken that went unpunished, for want of room";
    Counter blocks "Times an address or a user was blocked";
    Counter orders_refused "Orders of an operator to close a user's connections that came when too many waited";
    Counter proxy_headers_refused "Connections of trusted proxies that did not begin with a PROXY header, answered with 400";
    Counter origins_refused "Requests refused for their Origin header";
    Counter deflated_messages "Messages compressed; a publication counts once for all members that share it";
    Counter deflated_bytes_in "Bytes of these messages before compression";
    Counter deflated_bytes_out "Bytes of these messages as they were sent";
    Counter inflated_messages "Compressed messages received";
    Counter inflated_bytes_in "Bytes of these messages as they were received";
    Counter inflated_bytes_out "Bytes of these messages after decompression";
    Gauge compression_context_bytes "Bytes that connections keep for compression with context takeover";
    Counter turns "Turns of the shard's loop";
    Counter turns_over_budget "Turns that left work for the next one";
}

impl ShardStats {
    /// Counts lost messages. Only the owning shard may.
    pub fn dropped(&self, reason: DropReason, messages: u64) {
        self.drops[reason as usize].add(messages);
    }

    /// Counts messages that a room's policy has dropped. Only the owning shard may.
    pub fn dropped_by_policy(&self, dropped: Option<(DropReason, u64)>) {
        if let Some((reason, messages)) = dropped {
            self.dropped(reason, messages);
        }
    }

    /// Counts a refused token. Only the owning shard may.
    pub fn token_refused(&self, reason: RefusedToken) {
        self.tokens_refused[reason as usize].add(1);
    }

    /// Counts an ended connection. Only the owning shard may.
    pub fn closed(&self, reason: CloseReason) {
        self.closes[reason as usize].add(1);
    }
}
