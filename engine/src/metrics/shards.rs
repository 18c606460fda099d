//! The numbers that each shard has.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use ringmain_core::close::CloseReason;
use ringmain_core::stats::{Cell64, Metric};
use ringmain_core::{DropReason, RateLimit, Refusal, RefusedStatus, RefusedToken, ShardStats};

use super::{Family, counter};

/// What each shard has.
#[derive(Debug)]
pub(super) struct ShardCollector {
    pub(super) labels: Vec<String>,
    pub(super) shards: Vec<Arc<ShardStats>>,
    pub(super) stalls: Arc<[Cell64]>,
}

impl Collector for ShardCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_numbers(&mut encoder)?;
        self.encode_reasons(&mut encoder)?;
        self.encode_refusals(&mut encoder)?;
        self.encode_tokens(&mut encoder)?;
        self.encode_handshakes(&mut encoder)?;
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
        let help = "Connections that were not let in";
        counter("refused", help).encode(encoder, refusals)?;
        let exceeded = shards().flat_map(|(shard, stats)| {
            let limits = RateLimit::NAMES.iter().zip(&stats.rates_exceeded);
            limits.map(|((name, _), cell)| {
                let labels = vec![("shard", shard.as_str()), ("limit", *name)];
                (labels, cell.get())
            })
        });
        let help = "Times something was beyond a rate: a message, or a wait for it";
        counter("rates_exceeded", help).encode(encoder, exceeded)?;
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

    fn encode_tokens(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.labels.iter().zip(&self.shards);
        let tokens = shards.flat_map(|(shard, stats)| {
            let reasons = RefusedToken::NAMES.iter().zip(&stats.tokens_refused);
            reasons.map(|((name, _), cell)| {
                let labels = vec![("shard", shard.as_str()), ("reason", *name)];
                (labels, cell.get())
            })
        });
        let help = "Tokens that were refused, of requests and first messages, by why; rights is a good one that does not allow what was asked for";
        counter("tokens_refused", help).encode(encoder, tokens)
    }
}

/// Lane and way of a shard's number of mesh frames, such as `mesh_data_frames_out`.
fn lane_and_way(name: &'static str) -> Option<(&'static str, &'static str)> {
    name.strip_prefix("mesh_")?.split_once("_frames_")
}
