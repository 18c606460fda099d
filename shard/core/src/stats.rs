//! What one shard counts. One writer, the shard; read by the control plane at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::close::CloseReason;

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
}

impl DropReason {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, DropReason); 4] = [
        ("lane_full", DropReason::LaneFull),
        ("slow_consumer", DropReason::SlowConsumer),
        ("memory_full", DropReason::MemoryFull),
        ("peer_gone", DropReason::PeerGone),
    ];
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
    Gauge rooms "Rooms with members on this shard";
    Gauge rooms_home "Rooms whose home is this shard";
    Gauge members "Members of rooms on this shard";
    Gauge memory_bytes "Bytes in outboxes, unfinished messages and the shard's data lane";
    Counter accepted "Connections accepted";
    Counter refused "Connections answered with 503 because the shard or the node was full";
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

    /// Counts an ended connection. Only the owning shard may.
    pub fn closed(&self, reason: CloseReason) {
        self.closes[reason as usize].add(1);
    }
}
