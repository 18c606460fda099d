//! All that an operator sets.

use std::net::{Ipv4Addr, SocketAddr};

use ringmain_core::{Compression, Limits, RoomSettings};
use ringmain_proto::ws::deflate::{Rules, WindowBits};
use ringmain_router::cluster::ClusterName;
use ringmain_rt::{IoChoice, TcpOptions};
use ringmain_shard::Origins;
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;

use super::cluster::{Cluster, Node, ServerList};
use super::cpus::CpuSelection;
use super::origins::{OriginList, OriginMissing};
use super::sections::Sections;
use super::tls::FilePath;
use super::value::{
    Address, AdminAddress, ByteSize, Count, Io, LogFilter, LogFormat, Seconds, SlowConsumer, Switch,
};

/// One field a key; [`KEYS`](super::keys::KEYS) says what each means and allows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // The table of keys says it all, once.
pub struct Settings {
    pub listen: Address,
    pub tls_listen: AdminAddress,
    pub tls_cert: FilePath,
    pub tls_key: FilePath,
    pub tls_handshakes_max: Count,
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
    pub keep_alive_seconds: Seconds,
    pub origins: OriginList,
    pub origin_missing: OriginMissing,
    pub outbox_soft_bytes: ByteSize,
    pub outbox_soft_seconds: Seconds,
    pub slow_consumer: SlowConsumer,
    pub queue_bytes_max: ByteSize,
    pub queue_messages_max: Count,
    pub heartbeat_seconds: Seconds,
    pub pong_wait_seconds: Seconds,
    pub close_handshake_seconds: Seconds,
    pub ready_delay_seconds: Seconds,
    pub drain_seconds: Seconds,
    pub lifetime_seconds: Seconds,
    pub tcp_user_timeout_seconds: Seconds,
    pub tcp_notsent_bytes_max: ByteSize,
    pub compression: Switch,
    pub compression_bytes_min: ByteSize,
    pub compression_level: Count,
    pub compression_takeover: Switch,
    pub compression_window_bits: Count,
    pub nats: ServerList,
    pub cluster_name: Cluster,
    pub node_name: Node,
    pub log: LogFilter,
    pub log_format: LogFormat,
    #[serde(skip)]
    pub sections: Sections,
}

impl Default for Settings {
    fn default() -> Self {
        let (limits, rooms) = (Limits::default(), RoomSettings::default());
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Settings {
            listen: Address(local(8000)),
            tls_listen: AdminAddress::Off,
            tls_cert: FilePath::default(),
            tls_key: FilePath::default(),
            tls_handshakes_max: Count(4096),
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
            keep_alive_seconds: seconds(limits.keep_alive_ms),
            origins: OriginList(Origins::default().allowed),
            origin_missing: OriginMissing::Allow,
            outbox_soft_bytes: bytes(limits.outbox_soft_bytes),
            outbox_soft_seconds: seconds(limits.outbox_soft_ms),
            slow_consumer: SlowConsumer(rooms.slow_consumer),
            queue_bytes_max: ByteSize(0),
            queue_messages_max: Count(rooms.queue_messages_max as u64),
            heartbeat_seconds: seconds(limits.heartbeat_ms),
            pong_wait_seconds: seconds(limits.pong_wait_ms),
            close_handshake_seconds: seconds(limits.close_handshake_ms),
            ready_delay_seconds: Seconds(0.0),
            drain_seconds: Seconds(60.0),
            lifetime_seconds: seconds(limits.lifetime_ms),
            tcp_user_timeout_seconds: Seconds(30.0),
            tcp_notsent_bytes_max: ByteSize(0),
            compression: Switch(false),
            compression_bytes_min: ByteSize(256),
            compression_level: Count(4),
            compression_takeover: Switch(false),
            compression_window_bits: Count(u64::from(WindowBits::MAX.get())),
            nats: ServerList::default(),
            cluster_name: Cluster(default_cluster()),
            node_name: Node(None),
            log: LogFilter::level(LevelFilter::INFO),
            log_format: LogFormat::Text,
            sections: Sections::default(),
        }
    }
}

impl Settings {
    /// The bounds of a shard whose share of the memory is this.
    pub fn limits(&self, memory_bytes_max: usize) -> Limits {
        Limits {
            refused_publish: self.sections.auth.refused_publish,
            request_head_bytes_max: self.request_head_bytes_max.0 as usize,
            handshake_ms: self.handshake_seconds.milliseconds(),
            keep_alive_ms: self.keep_alive_seconds.milliseconds(),
            message_bytes_max: self.message_bytes_max.0 as usize,
            outbox_soft_bytes: self.outbox_soft_bytes.0 as usize,
            outbox_soft_ms: self.outbox_soft_seconds.milliseconds(),
            heartbeat_ms: self.heartbeat_seconds.milliseconds(),
            pong_wait_ms: self.pong_wait_seconds.milliseconds(),
            close_handshake_ms: self.close_handshake_seconds.milliseconds(),
            lifetime_ms: self.lifetime_seconds.milliseconds(),
            memory_bytes_max,
            compression: self.compression.0.then(|| self.compression()),
            connection_rates: self.sections.limits.connection_rates(),
            rate_action: self.sections.limits.rate_action.0,
            connections_per_address: self.sections.limits.connections_per_address.0 as u32,
            connections_per_user: self.sections.limits.connections_per_user.0 as u32,
            connections_per_user_cluster: self.sections.limits.connections_per_user_cluster.0
                as u32,
            address_rate: self.sections.limits.address_rate(),
            block: self.sections.limits.block(),
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

impl Settings {
    /// What the system does for connections.
    pub fn tcp(&self) -> TcpOptions {
        let milliseconds = self.tcp_user_timeout_seconds.milliseconds();
        TcpOptions {
            user_timeout_ms: u32::try_from(milliseconds).unwrap_or(u32::MAX),
            notsent_bytes_max: u32::try_from(self.tcp_notsent_bytes_max.0).unwrap_or(u32::MAX),
        }
    }
}

fn bytes(bytes: usize) -> ByteSize {
    ByteSize(bytes as u64)
}

fn seconds(milliseconds: u64) -> Seconds {
    Seconds(milliseconds as f64 / 1000.0)
}

/// The cluster of nodes that name none.
fn default_cluster() -> ClusterName {
    // It keeps the rules of names: a test holds that.
    "main".parse().unwrap_or_else(|_| unreachable!())
}

#[cfg(test)]
mod tests {
    use ringmain_core::RoomPolicies;

    use super::*;

    #[test]
    fn the_defaults_are_the_bounds_of_the_core() {
        let default = Limits::default();
        let settings = Settings::default();
        assert_eq!(settings.limits(default.memory_bytes_max), default);
        assert_eq!(settings.room_policies(), RoomPolicies::default());
    }
}
