//! The numbers that a process, and a node, have once.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use ringmain_rt::Backend;
use tracing_appender::non_blocking::ErrorCounter;

use super::{counter, gauge};
use crate::control::numbers::{Numbers, State};
use crate::host;

/// What every process has, under the names that Prometheus's own libraries use.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    pub(super) start: SystemTime,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let start = self.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge(
            "process_start_time_seconds",
            "Start of the process, in seconds since 1970",
        )
        .encode(&mut encoder, [(vec![], start.as_secs())])?;
        gauge(
            "process_resident_memory_bytes",
            "Resident memory of the process",
        )
        .encode(
            &mut encoder,
            host::resident_bytes().map(|bytes| (vec![], bytes)),
        )
    }
}

/// What the node has once.
#[derive(Debug)]
pub(super) struct NodeCollector {
    pub(super) backend: Backend,
    pub(super) shards: u64,
    pub(super) control: Arc<Numbers>,
    pub(super) log_dropped: ErrorCounter,
}

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let backend = match self.backend {
            Backend::Uring => "uring",
            Backend::Epoll => "epoll",
        };
        let version = env!("CARGO_PKG_VERSION");
        gauge("build_info", "The version that runs")
            .encode(encoder, [(vec![("version", version)], 1)])?;
        gauge("io_backend", "What the shards do input and output with")
            .encode(encoder, [(vec![("backend", backend)], 1)])?;
        gauge("shards", "Shards of this node").encode(encoder, [(vec![], self.shards)])?;
        gauge("connections_max", "Connections that this node accepts")
            .encode(encoder, [(vec![], self.control.connections_max.get())])?;
        let help = "What memory_bytes of each shard may come to; from nine tenths on it refuses new connections";
        gauge("shard_memory_bytes_max", help).encode(
            encoder,
            [(vec![], self.control.shard_memory_bytes_max.get())],
        )?;
        self.encode_reloads(encoder)?;
        self.encode_end(encoder)?;
        self.encode_certificates(encoder)?;
        counter(
            "log_lines_dropped",
            "Lines of the log that were dropped because nobody took them in time",
        )
        .encode(encoder, [(vec![], self.log_dropped.dropped_lines() as u64)])
    }
}

impl NodeCollector {
    fn encode_end(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.control.state.get();
        gauge(
            "state",
            "How far the process is from its end: 1 for what it does now",
        )
        .encode(
            encoder,
            State::NAMES
                .map(|(name, state)| (vec![("state", name)], u64::from(state as u64 == now))),
        )?;
        gauge(
            "drain_connections_left",
            "Connections that a drain has still to close, once it has been asked for",
        )
        .encode(
            encoder,
            [(vec![], self.control.drain_connections_left.get())],
        )?;
        gauge(
            "drain_seconds_left",
            "Of the time that a drain has, what is left, once it has been asked for",
        )
        .encode(encoder, [(vec![], self.control.drain_seconds_left.get())])
    }

    fn encode_reloads(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let outcomes = [
            ("applied", &self.control.reloads_applied),
            ("refused", &self.control.reloads_refused),
        ];
        counter(
            "reloads",
            "Times the configuration was read again; refused is one that was invalid",
        )
        .encode(
            encoder,
            outcomes.map(|(outcome, cell)| (vec![("outcome", outcome)], cell.get())),
        )?;
        gauge(
            "configured_timestamp_seconds",
            "When the configuration that holds was read, in seconds since 1970",
        )
        .encode(
            encoder,
            [(vec![], self.control.configured_at_seconds.get())],
        )
    }
}
