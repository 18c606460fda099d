//! The numbers of the process as Prometheus and OpenMetrics read them.

mod histograms;

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use ringmain_core::close::CloseReason;
use ringmain_core::stats::{Cell64, Metric, MetricKind};
use ringmain_core::{DropReason, Refusal, RefusedStatus, ShardStats};
use ringmain_rt::Backend;
use tracing_appender::non_blocking::ErrorCounter;

use crate::control::numbers::{Numbers, State};
use crate::host;

/// The content type of the text for a reader that asks for OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of the older text form, for all others.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the metrics are made of.
pub struct Sources {
    /// The numbers of each shard, in order.
    pub shards: Vec<Arc<ShardStats>>,
    /// Long turns of each shard, as the watchdog counts them.
    pub stalls: Arc<[Cell64]>,
    /// What the shards run on.
    pub backend: Backend,
    /// The control plane's own.
    pub control: Arc<Numbers>,
    /// Lines of the log that were dropped.
    pub log_dropped: ErrorCounter,
}

/// Writes the metrics down.
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Metrics of these sources.
    pub fn new(sources: Sources) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector {
            start: SystemTime::now(),
        }));
        let ours = registry.sub_registry_with_prefix("ringmain");
        ours.register_collector(Box::new(NodeCollector {
            backend: sources.backend,
            shards: sources.shards.len() as u64,
            control: sources.control,
            log_dropped: sources.log_dropped,
        }));
        let labels = 0..sources.shards.len();
        ours.register_collector(Box::new(ShardCollector {
            labels: labels.map(|index| index.to_string()).collect(),
            shards: sources.shards,
            stalls: sources.stalls,
        }));
        Metrics { registry }
    }

    /// The numbers in OpenMetrics' form.
    ///
    /// # Errors
    /// A metric could not be written; none of ours does that.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The numbers in Prometheus's older text form.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn prometheus_text(&self) -> Result<String, fmt::Error> {
        Ok(counters_by_full_name(&self.text()?))
    }
}

/// OpenMetrics gives a counter's help and type without the suffix `_total` that its samples have.
/// Readers of the older form, which is the same otherwise, would not know the samples' type.
fn counters_by_full_name(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.splitn(4, ' ');
        let words = [(); 4].map(|()| words.next().unwrap_or_default());
        let is_counter = match words {
            ["#", "HELP", name, _] => lines.peek() == Some(&&*format!("# TYPE {name} counter")),
            ["#", "TYPE", _, "counter"] => true,
            _ => false,
        };
        if is_counter {
            let [mark, word, name, rest] = words;
            text.push_str(&format!("{mark} {word} {name}_total {rest}\n"));
        } else if line != "# EOF" {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

type Labels<'a> = [(&'static str, &'a str)];

/// One metric with all its samples.
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: MetricKind,
}

impl Family<'_> {
    fn encode<'s>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (Vec<(&'static str, &'s str)>, u64)>,
    ) -> fmt::Result {
        let kind = match self.kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
        };
        let help = format!("{}.", self.help);
        let mut family = encoder.encode_descriptor(self.name, &help, None, kind)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                self.encode_value(&mut family, value)?;
            } else {
                let labels: &Labels<'_> = &labels;
                self.encode_value(&mut family.encode_family(&labels)?, value)?;
            }
        }
        Ok(())
    }

    fn encode_value(&self, sample: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
        match self.kind {
            MetricKind::Counter => sample.encode_counter::<NoLabelSet, u64, f64>(&value, None),
            // Beyond what a gauge's 64 bits with sign hold there are no such numbers.
            MetricKind::Gauge => sample.encode_gauge(&(value as i64)),
        }
    }
}

fn counter<'a>(name: &'a str, help: &'a str) -> Family<'a> {
    Family {
        name,
        help,
        kind: MetricKind::Counter,
    }
}

fn gauge<'a>(name: &'a str, help: &'a str) -> Family<'a> {
    Family {
        name,
        help,
        kind: MetricKind::Gauge,
    }
}

/// What every process has, under the names that Prometheus's own libraries use.
#[derive(Debug)]
struct ProcessCollector {
    start: SystemTime,
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
struct NodeCollector {
    backend: Backend,
    shards: u64,
    control: Arc<Numbers>,
    log_dropped: ErrorCounter,
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

/// What each shard has.
#[derive(Debug)]
struct ShardCollector {
    labels: Vec<String>,
    shards: Vec<Arc<ShardStats>>,
    stalls: Arc<[Cell64]>,
}

impl Collector for ShardCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_numbers(&mut encoder)?;
        self.encode_reasons(&mut encoder)?;
        self.encode_refusals(&mut encoder)?;
        self.encode_histograms(&mut encoder)?;
        counter("turns_stalled", "Turns that took longer than 100 ms").encode(
            &mut encoder,
            self.stalls
                .iter()
                .zip(&self.labels)
                .map(|(cell, shard)| (vec![("shard", shard.as_str())], cell.get())),
        )
    }
}

/// One number of all shards.
struct Column {
    metric: Metric,
    values: Vec<u64>,
}

impl ShardCollector {
    fn columns(&self) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for (shard, stats) in self.shards.iter().enumerate() {
            let mut index = 0;
            stats.each(|metric, value| {
                if shard == 0 {
                    let values = Vec::with_capacity(self.shards.len());
                    columns.push(Column { metric, values });
                }
                if let Some(column) = columns.get_mut(index) {
                    column.values.push(value);
                }
                index += 1;
            });
        }
        columns
    }

    fn encode_numbers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let columns = self.columns();
        for Column { metric, values } in &columns {
            if lane_and_way(metric.name).is_some() {
                continue;
            }
            let samples = self.labels.iter().zip(values);
            Family {
                name: metric.name,
                help: metric.help,
                kind: metric.kind,
            }
            .encode(
                encoder,
                samples.map(|(shard, &value)| (vec![("shard", shard.as_str())], value)),
            )?;
        }
        self.encode_mesh(encoder, &columns, "out", "Frames sent to other shards")?;
        self.encode_mesh(encoder, &columns, "in", "Frames received from other shards")
    }

    /// The frames of both lanes as one metric with a label.
    fn encode_mesh(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        columns: &[Column],
        way: &str,
        help: &str,
    ) -> fmt::Result {
        let samples = columns.iter().flat_map(|Column { metric, values }| {
            let lane = lane_and_way(metric.name).filter(|found| found.1 == way);
            let shards = self.labels.iter().zip(values);
            shards.filter_map(move |(shard, &value)| {
                Some((vec![("shard", shard.as_str()), ("lane", lane?.0)], value))
            })
        });
        counter(&format!("mesh_frames_{way}"), help).encode(encoder, samples)
    }

    fn encode_reasons(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let shards = || self.labels.iter().zip(&self.shards);
        let drops = shards().flat_map(|(shard, stats)| {
            let reasons = DropReason::NAMES.iter().zip(&stats.drops);
            reasons.map(|((name, _), cell)| {
                let labels = vec![("shard", shard.as_str()), ("reason", *name)];
                (labels, cell.get())
            })
        });
        counter("drops", "Messages that did not reach a member").encode(encoder, drops)?;
        let closes = shards().flat_map(|(shard, stats)| {
            let reasons = CloseReason::CATALOGUE.iter().zip(&stats.closes);
            reasons.map(|(entry, cell)| {
                let labels = vec![("shard", shard.as_str()), ("reason", entry.name)];
                (labels, cell.get())
            })
        });
        counter("closes", "Connections ended").encode(encoder, closes)
    }

    fn encode_refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let shards = || self.labels.iter().zip(&self.shards);
        let refusals = shards().flat_map(|(shard, stats)| {
            let reasons = Refusal::NAMES.iter().zip(&stats.refusals);
            reasons.map(|((name, _), cell)| {
                let labels = vec![("shard", shard.as_str()), ("reason", *name)];
                (labels, cell.get())
            })
        });
        let help = "Connections answered with 503 at accept";
        counter("refused", help).encode(encoder, refusals)?;
        let requests = shards().flat_map(|(shard, stats)| {
            let statuses = RefusedStatus::all().zip(&stats.refused_requests);
            statuses.map(|(status, cell)| {
                let labels = vec![("shard", shard.as_str()), ("status", status.label())];
                (labels, cell.get())
            })
        });
        let help = "HTTP requests answered with an error";
        counter("requests_refused", help).encode(encoder, requests)?;
        let withheld = shards().map(|(shard, stats)| {
            let cells = (stats.closes_withheld.iter())
                .chain(&stats.refusals_withheld)
                .chain(&stats.refused_requests_withheld);
            let lines = cells.map(Cell64::get).sum();
            (vec![("shard", shard.as_str())], lines)
        });
        let help =
            "Lines of the log about closes and refusals beyond its rate, told as a number only";
        counter("log_lines_withheld", help).encode(encoder, withheld)
    }
}

/// Lane and way of a shard's number of mesh frames, such as `mesh_data_frames_out`.
fn lane_and_way(name: &'static str) -> Option<(&'static str, &'static str)> {
    name.strip_prefix("mesh_")?.split_once("_frames_")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sources() -> Sources {
        let (lines, _writer) = tracing_appender::non_blocking(std::io::sink());
        Sources {
            shards: vec![Arc::default(), Arc::default()],
            stalls: Arc::new([Cell64::default(), Cell64::default()]),
            backend: Backend::Epoll,
            control: Arc::default(),
            log_dropped: lines.error_counter(),
        }
    }

    pub(super) fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    #[test]
    fn every_number_of_every_shard_is_there() {
        let sources = sources();
        sources.shards[1].connections.set(7);
        sources.shards[1].messages_in.add(3);
        let names = sources.shards[0].clone();
        let text = Metrics::new(sources).text().unwrap();
        assert!(has(&text, r#"ringmain_connections{shard="0"} 0"#), "{text}");
        assert!(has(&text, r#"ringmain_connections{shard="1"} 7"#), "{text}");
        assert!(
            has(&text, r#"ringmain_messages_in_total{shard="1"} 3"#),
            "{text}"
        );
        names.each(|metric, _| {
            let suffix = match metric.kind {
                MetricKind::Counter => "_total",
                MetricKind::Gauge => "",
            };
            if !metric.name.starts_with("mesh_") {
                let line = format!("ringmain_{}{suffix}{{shard=\"0\"}} 0", metric.name);
                assert!(has(&text, &line), "{line}\n{text}");
            }
        });
    }

    #[test]
    fn mesh_frames_are_one_metric_with_lanes() {
        let sources = sources();
        sources.shards[0].mesh_data_frames_out.add(1);
        sources.shards[0].mesh_control_frames_out.add(2);
        sources.shards[1].mesh_data_frames_in.add(3);
        sources.shards[1].mesh_control_frames_in.add(4);
        let text = Metrics::new(sources).text().unwrap();
        for line in [
            r#"ringmain_mesh_frames_out_total{shard="0",lane="data"} 1"#,
            r#"ringmain_mesh_frames_out_total{shard="0",lane="control"} 2"#,
            r#"ringmain_mesh_frames_in_total{shard="1",lane="data"} 3"#,
            r#"ringmain_mesh_frames_in_total{shard="1",lane="control"} 4"#,
        ] {
            assert!(has(&text, line), "{line}\n{text}");
        }
        assert!(!text.contains("mesh_data"), "{text}");
        assert_eq!(text.matches("# TYPE ringmain_mesh_frames_out ").count(), 1);
    }

    #[test]
    fn drops_and_closes_are_by_name() {
        let sources = sources();
        sources.shards[0].dropped(DropReason::LaneFull, 5);
        sources.shards[1].closed(CloseReason::SlowConsumer);
        let text = Metrics::new(sources).text().unwrap();
        assert!(has(
            &text,
            r#"ringmain_drops_total{shard="0",reason="lane_full"} 5"#
        ));
        assert!(has(
            &text,
            r#"ringmain_closes_total{shard="1",reason="slow_consumer"} 1"#
        ));
        for entry in CloseReason::CATALOGUE {
            assert!(
                text.contains(&format!("reason=\"{}\"", entry.name)),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn refusals_are_by_reason_and_status() {
        let sources = sources();
        sources.shards[0].refusals[Refusal::MemoryFull as usize].add(2);
        sources.shards[1].refused_requests[RefusedStatus::of(404).index()].add(3);
        sources.shards[1].refused_requests[RefusedStatus::of(418).index()].add(4);
        sources.shards[1].refusals_withheld[Refusal::MemoryFull as usize].add(5);
        sources.shards[1].refused_requests_withheld[RefusedStatus::of(404).index()].add(6);
        let text = Metrics::new(sources).text().unwrap();
        for line in [
            r#"ringmain_refused_total{shard="0",reason="memory_full"} 2"#,
            r#"ringmain_refused_total{shard="1",reason="connections_max"} 0"#,
            r#"ringmain_requests_refused_total{shard="1",status="404"} 3"#,
            r#"ringmain_requests_refused_total{shard="1",status="other"} 4"#,
            r#"ringmain_log_lines_withheld_total{shard="1"} 11"#,
        ] {
            assert!(has(&text, line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_node_says_what_it_is() {
        let sources = sources();
        sources.stalls[1].add(2);
        sources.control.configured(1000, 5000);
        sources.control.reloads_refused.add(3);
        sources.control.state.set(State::Draining as u64);
        sources.control.drain_connections_left.set(17);
        let text = Metrics::new(sources).text().unwrap();
        let build = format!(
            "ringmain_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        );
        for line in [
            build.as_str(),
            r#"ringmain_io_backend{backend="epoll"} 1"#,
            "ringmain_shards 2",
            "ringmain_connections_max 1000",
            r#"ringmain_reloads_total{outcome="applied"} 0"#,
            r#"ringmain_reloads_total{outcome="refused"} 3"#,
            r#"ringmain_state{state="serving"} 0"#,
            r#"ringmain_state{state="draining"} 1"#,
            "ringmain_drain_connections_left 17",
            "ringmain_shard_memory_bytes_max 5000",
            "ringmain_log_lines_dropped_total 0",
            r#"ringmain_turns_stalled_total{shard="1"} 2"#,
        ] {
            assert!(has(&text, line), "{line}\n{text}");
        }
        assert!(text.contains("\nprocess_start_time_seconds "), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }

    /// Readers of the older text form know only these types, and OpenMetrics ends with its mark.
    #[test]
    fn the_text_is_openmetrics() {
        let text = Metrics::new(sources()).text().unwrap();
        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("\n# TYPE ringmain_accepted counter\n"));
        let mut families = std::collections::HashSet::new();
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let (family, kind) = line["# TYPE ".len()..].split_once(' ').unwrap();
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(families.insert(family), "{line} twice");
        }
        assert!(text.lines().all(|line| !line.is_empty()));
    }

    #[test]
    fn in_the_older_form_every_sample_has_its_help_and_type_above_it() {
        let text = Metrics::new(sources()).prometheus_text().unwrap();
        let (mut help, mut kind) = ("", "");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split(' ').next().unwrap();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                kind = rest.split(' ').next().unwrap();
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                let name = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix).filter(|name| *name == kind))
                    .unwrap_or(name);
                assert_eq!((help, kind), (name, name), "{line}");
            }
        }
        assert!(
            text.contains("# TYPE ringmain_accepted_total counter\n"),
            "{text}"
        );
    }
}
