//! What only some scenarios have to tell.

use serde::{Deserialize, Serialize};

use super::units::{count, number};
use super::words::Row;
use super::{Percentiles, Report};
use crate::clock::to_seconds;
use crate::measure::Record;
use crate::settings::Settings;
use crate::tally::Count;

/// What the scenario found, for a table of names and values.
pub fn rows(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(visits) = &report.visits {
        let offered = number(visits.per_second_offered);
        rows.extend([
            (
                "visits",
                format!("{} ({offered}/s asked for)", count(visits.visits)),
            ),
            ("visits skipped", count(visits.skipped)),
            ("received by visitors", count(visits.received)),
            ("missed by visitors", count(visits.missed)),
        ]);
    }
    if let Some(slow) = &report.slow {
        let speed = count(u64::from(slow.bytes_per_second));
        let members = count(u64::from(slow.members));
        rows.extend([
            (
                "slow members",
                format!("{members}, each reading {speed} bytes/s"),
            ),
            ("slow members closed", count(slow.closed)),
            ("received by them", count(slow.received)),
            ("missed by them", count(slow.missed)),
        ]);
    }
    if let Some(storm) = &report.storm {
        rows.extend([
            (
                "came back",
                format!("{} by {}", count(storm.returned), storm.policy),
            ),
            ("attempts that failed", count(storm.retried)),
        ]);
    }
    rows
}

/// Visitors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VisitFindings {
    /// Visits a second that were asked for.
    pub per_second_offered: f64,
    /// How long each lasts; older versions did not say.
    #[serde(default)]
    pub stay_seconds: Option<f64>,
    /// Visits that took place, in the whole run.
    pub visits: u64,
    /// Visits that did not begin in time, since the visitor was still on its way out.
    pub skipped: u64,
    /// Messages that visitors received.
    pub received: u64,
    /// Messages that a visitor missed between two that it received.
    pub missed: u64,
}

/// Slow members.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlowFindings {
    /// How many there were.
    pub members: u32,
    /// Bytes a second that each of them read.
    pub bytes_per_second: u32,
    /// How many the server closed.
    pub closed: u64,
    /// Messages that they received.
    pub received: u64,
    /// Messages that one of them missed between two that it received: the server dropped these, as its
    /// policy may say.
    pub missed: u64,
}

/// A storm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StormFindings {
    /// How connections came back.
    pub policy: String,
    /// Connections that were open again at the end.
    pub returned: u64,
    /// Attempts that failed, and were made again.
    pub retried: u64,
    /// From the storm to being open again: half of all, nine in ten and so on were back by then.
    pub back_microseconds: Option<Percentiles>,
}

impl VisitFindings {
    /// Of a run; `None` if it had no visitors.
    pub fn of(settings: &Settings, record: &Record) -> Option<Self> {
        let visits = settings.visits?;
        Some(VisitFindings {
            per_second_offered: visits.rate,
            stay_seconds: Some(to_seconds(visits.stay_ns)),
            visits: record.tally[Count::Visits],
            skipped: record.tally[Count::VisitsSkipped],
            received: record.tally[Count::ReceivedAside],
            missed: record.tally[Count::MissedByVisitors],
        })
    }
}

impl SlowFindings {
    /// Of a run; `None` if nobody was to be slow.
    pub fn of(settings: &Settings, record: &Record) -> Option<Self> {
        let slow = settings.slow?;
        Some(SlowFindings {
            members: slow.count,
            bytes_per_second: slow.bytes_per_second,
            closed: record.tally[Count::SlowClosed],
            received: record.tally[Count::ReceivedAside],
            missed: record.tally[Count::MissedBySlow],
        })
    }
}

impl StormFindings {
    /// Of a run; `None` if there was no storm.
    pub fn of(settings: &Settings, record: &Record) -> Option<Self> {
        let policy = settings.storm?;
        Some(StormFindings {
            policy: policy.to_string(),
            returned: record.tally[Count::Returned],
            retried: record.tally[Count::Retried],
            back_microseconds: Percentiles::of(&record.returns),
        })
    }
}
