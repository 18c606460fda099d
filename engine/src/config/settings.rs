//! All that an operator sets.

use std::net::{Ipv4Addr, SocketAddr};

use ringmain_core::{Compression, Limits};
use ringmain_proto::ws::deflate::{Rules, WindowBits};
use ringmain_rt::IoChoice;
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;

use super::cpus::CpuSelection;
use super::value::{
    Address, AdminAddress, ByteSize, Count, Io, LogFilter, LogFormat, Seconds, Switch,
};

/// One field a key; [`KEYS`](super::keys::KEYS) says what each means and allows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The table of keys says it all, once.
pub struct Settings {
    pub listen: Address,
    pub admin: AdminAddress,
    pub shards: Count,
    pub cpus: CpuSelection,
    pub io: Io,
    pub backlog: Count,
    pub connections_max: Count,
    pub memory_bytes_max: ByteSize,
    pub message_bytes_max: ByteSize,
    pub request_head_bytes_max: ByteSize,
    pub handshake_seconds: Seconds,
    pub outbox_soft_bytes: ByteSize,
    pub outbox_soft_seconds: Seconds,
    pub heartbeat_seconds: Seconds,
    pub pong_wait_seconds: Seconds,
    pub close_handshake_seconds: Seconds,
    pub compression: Switch,
    pub compression_bytes_min: ByteSize,
    pub compression_level: Count,
    pub compression_takeover: Switch,
    pub compression_window_bits: Count,
    pub log: LogFilter,
    pub log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Settings {
            listen: Address(local(8000)),
            admin: AdminAddress::At(local(8001)),
            shards: Count(0),
            cpus: CpuSelection::Allowed,
            io: Io(IoChoice::Auto),
            backlog: Count(4096),
            connections_max: Count(1_000_000),
            memory_bytes_max: ByteSize(0),
            message_bytes_max: bytes(limits.message_bytes_max),
            request_head_bytes_max: bytes(limits.request_head_bytes_max),
            handshake_seconds: seconds(limits.handshake_ms),
            outbox_soft_bytes: bytes(limits.outbox_soft_bytes),
            outbox_soft_seconds: seconds(limits.outbox_soft_ms),
            heartbeat_seconds: seconds(limits.heartbeat_ms),
            pong_wait_seconds: seconds(limits.pong_wait_ms),
            close_handshake_seconds: seconds(limits.close_handshake_ms),
            compression: Switch(false),
            compression_bytes_min: ByteSize(256),
            compression_level: Count(4),
            compression_takeover: Switch(false),
            compression_window_bits: Count(u64::from(WindowBits::MAX.get())),
            log: LogFilter::level(LevelFilter::INFO),
            log_format: LogFormat::Text,
        }
    }
}

impl Settings {
    /// The bounds of a shard whose share of the memory is this.
    pub fn limits(&self, memory_bytes_max: usize) -> Limits {
        Limits {
            request_head_bytes_max: self.request_head_bytes_max.0 as usize,
            handshake_ms: self.handshake_seconds.milliseconds(),
            message_bytes_max: self.message_bytes_max.0 as usize,
            outbox_soft_bytes: self.outbox_soft_bytes.0 as usize,
            outbox_soft_ms: self.outbox_soft_seconds.milliseconds(),
            heartbeat_ms: self.heartbeat_seconds.milliseconds(),
            pong_wait_ms: self.pong_wait_seconds.milliseconds(),
            close_handshake_ms: self.close_handshake_seconds.milliseconds(),
            memory_bytes_max,
            compression: self.compression.0.then(|| self.compression()),
        }
    }

    fn compression(&self) -> Compression {
        Compression {
            level: self.compression_level.0 as u8,
            bytes_min: self.compression_bytes_min.0 as usize,
            rules: Rules {
                takeover: self.compression_takeover.0,
                window: WindowBits::new(self.compression_window_bits.0 as u8)
                    .unwrap_or(WindowBits::MAX),
            },
        }
    }
}

fn bytes(bytes: usize) -> ByteSize {
    ByteSize(bytes as u64)
}

fn seconds(milliseconds: u64) -> Seconds {
    Seconds(milliseconds as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_bounds_of_the_core() {
        let default = Limits::default();
        let settings = Settings::default();
        assert_eq!(settings.limits(default.memory_bytes_max), default);
    }
}
