//! Spans of time, as histograms of each shard.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use ringmain_core::ShardStats;
use ringmain_core::histogram::{BOUNDS_US, Histogram};

use super::{Labels, ShardCollector};

impl ShardCollector {
    pub(super) fn encode_histograms(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "From the beginning of a publication's handling to the handing over of its last byte for a member to the kernel";
        self.encode_histogram(encoder, "delivery_lag_seconds", help, |stats| {
            &stats.delivery_lag
        })?;
        let help =
            "From the first thing that a turn of the shard's loop handles to the end of its writes";
        self.encode_histogram(encoder, "turn_seconds", help, |stats| &stats.turn_time)
    }

    fn encode_histogram(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&ShardStats) -> &Histogram,
    ) -> fmt::Result {
        let help = format!("{help}.");
        let mut family = encoder.encode_descriptor(name, &help, None, MetricType::Histogram)?;
        for (shard, stats) in self.labels.iter().zip(&self.shards) {
            let reading = of(stats).read();
            let bounds = BOUNDS_US.iter().map(|&bound| seconds(bound));
            let bounds = bounds.chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(reading.buckets).collect();
            let labels: &Labels<'_> = &[("shard", shard.as_str())];
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    seconds(reading.sum_us),
                    reading.count(),
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::super::tests::{has, sources};

    #[test]
    fn spans_of_time_are_histograms_in_seconds() {
        let sources = sources();
        sources.shards[0].delivery_lag.record(10, 2);
        sources.shards[0].delivery_lag.record(11, 3);
        sources.shards[0].delivery_lag.record(60_000_000, 1);
        let text = Metrics::new(sources).text().unwrap();
        for line in [
            "# TYPE ringmain_delivery_lag_seconds histogram",
            r#"ringmain_delivery_lag_seconds_bucket{le="0.00001",shard="0"} 2"#,
            r#"ringmain_delivery_lag_seconds_bucket{le="0.000025",shard="0"} 5"#,
            r#"ringmain_delivery_lag_seconds_bucket{le="30.0",shard="0"} 5"#,
            r#"ringmain_delivery_lag_seconds_bucket{le="+Inf",shard="0"} 6"#,
            r#"ringmain_delivery_lag_seconds_count{shard="0"} 6"#,
            r#"ringmain_delivery_lag_seconds_sum{shard="0"} 60.000053"#,
            "# TYPE ringmain_turn_seconds histogram",
            r#"ringmain_turn_seconds_count{shard="1"} 0"#,
        ] {
            assert!(has(&text, line), "{line}\n{text}");
        }
    }
}
