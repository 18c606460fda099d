//! A metric as it is written down.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use ringmain_core::stats::MetricKind;

/// The labels of a sample.
pub(super) type Labels<'a> = [(&'static str, &'a str)];

/// One metric with all its samples.
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) help: &'a str,
    pub(super) kind: MetricKind,
}

impl Family<'_> {
    pub(super) fn encode<'s>(
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

pub(super) fn counter<'a>(name: &'a str, help: &'a str) -> Family<'a> {
    Family {
        name,
        help,
        kind: MetricKind::Counter,
    }
}

pub(super) fn gauge<'a>(name: &'a str, help: &'a str) -> Family<'a> {
    Family {
        name,
        help,
        kind: MetricKind::Gauge,
    }
}
