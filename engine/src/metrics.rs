//! The numbers of the process as Prometheus and OpenMetrics read them.

mod cluster;
mod family;
mod histograms;
mod node;
mod shards;
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::registry::Registry;
use ringmain_core::ShardStats;
use ringmain_core::stats::Cell64;
use ringmain_nats::Handle;
use ringmain_rt::Backend;
use tracing_appender::non_blocking::ErrorCounter;

use crate::control::numbers::Numbers;
use family::{Family, Labels, counter, gauge};
use node::{NodeCollector, ProcessCollector};
use shards::ShardCollector;

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
    /// The link with other nodes, where there is one.
    pub cluster: Option<Handle>,
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
        if let Some(cluster) = sources.cluster {
            ours.register_collector(Box::new(cluster::ClusterCollector(cluster)));
        }
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

#[cfg(test)]
mod tests {
    use ringmain_core::close::CloseReason;
    use ringmain_core::stats::MetricKind;
    use ringmain_core::{DropReason, Refusal, RefusedStatus, RefusedToken};

    use super::*;
    use crate::control::numbers::State;

    pub(super) fn sources() -> Sources {
        let (lines, _writer) = tracing_appender::non_blocking(std::io::sink());
        Sources {
            shards: vec![Arc::default(), Arc::default()],
            stalls: Arc::new([Cell64::default(), Cell64::default()]),
            backend: Backend::Epoll,
            control: Arc::default(),
            log_dropped: lines.error_counter(),
            cluster: None,
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
        sources.shards[1].token_refused(RefusedToken::Expired);
        sources.shards[1].refused_requests_withheld[RefusedStatus::of(404).index()].add(6);
        let text = Metrics::new(sources).text().unwrap();
        for line in [
            r#"ringmain_refused_total{shard="0",reason="memory_full"} 2"#,
            r#"ringmain_refused_total{shard="1",reason="connections_max"} 0"#,
            r#"ringmain_tokens_refused_total{shard="1",reason="expired"} 1"#,
            r#"ringmain_tokens_refused_total{shard="1",reason="rights"} 0"#,
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
