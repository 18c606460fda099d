//! The figures of two runs side by side, and which of them count.
//!
//! A figure counts where the target decides it. In a closed loop that is the rate: latency is the same thing
//! again (messages under way, divided by the rate), and its tail leaves out what was never sent. In an open loop
//! the rate was given, and it is the latency.

use serde::Serialize;

use crate::report::units::{bytes, number, percent, time};
use crate::report::{Percentiles, Report, words};

/// A quantile counts if so many values lie beyond it: fewer are chance.
const VALUES_BEYOND_MIN: f64 = 100.0;
/// Memory a connection counts from so many connections on: below, it is what the process has anyway.
const CONNECTIONS_MIN: u64 = 1000;
/// Handshakes a second count if opening the connections took at least so long.
const CONNECT_SECONDS_MIN: f64 = 0.5;

/// What a figure's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Something a second.
    PerSecond,
    /// Times.
    Microseconds,
    /// CPU times.
    Nanoseconds,
    /// Memory.
    Bytes,
}

impl Unit {
    /// A value of this unit as text.
    pub fn format(self, value: f64) -> String {
        match self {
            Unit::PerSecond => number(value),
            Unit::Microseconds => time(value),
            Unit::Nanoseconds => format!("{} ns", number(value)),
            Unit::Bytes if value.abs() < 100_000.0 => format!("{} bytes", number(value)),
            Unit::Bytes => bytes(value),
        }
    }
}

/// What came of one figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It does not count here, or one of the runs does not have it.
    Shown,
    /// It changed by no more than is allowed.
    Same,
    /// It is better by more than that.
    Better,
    /// It is worse by more than that.
    Worse,
}

/// One figure of both runs.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Whether more is better.
    pub more_is_better: bool,
    /// A's value.
    pub a: Option<f64>,
    /// B's value.
    pub b: Option<f64>,
    /// B's difference to A as a share of A; `None` where A is not above 0 or one is missing.
    pub change: Option<f64>,
    /// What came of it.
    pub mark: Mark,
}

impl Figure {
    /// Why it makes B worse, if it does.
    pub fn worse_because(&self) -> Option<String> {
        let (a, b) = (self.a?, self.b?);
        (self.mark == Mark::Worse).then(|| {
            let change = self.change.map_or(String::new(), |change| {
                format!(
                    " ({}{})",
                    if change > 0.0 { "+" } else { "" },
                    percent(change)
                )
            });
            let (a, b) = (self.unit.format(a), self.unit.format(b));
            format!("{}: {a} became {b}{change}", self.name)
        })
    }
}

/// How to find a figure, whether it counts in a run, and whether it is the same thing in two.
struct Kind {
    name: &'static str,
    unit: Unit,
    more_is_better: bool,
    value: fn(&Report) -> Option<f64>,
    counts: fn(&Report) -> bool,
    comparable: fn(&Report, &Report) -> bool,
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "messages/s",
        unit: Unit::PerSecond,
        more_is_better: true,
        value: |report| {
            report
                .loop_kind
                .as_ref()
                .map(|_| report.messages_per_second)
        },
        counts: |report| is_loop(report, "closed"),
        comparable: |_, _| true,
    },
    Kind {
        name: "latency p50",
        unit: Unit::Microseconds,
        more_is_better: false,
        value: |report| report.latency_microseconds.map(|latency| latency.p50),
        counts: |report| counts_open(report, 0.5),
        comparable: |_, _| true,
    },
    Kind {
        name: "latency p99",
        unit: Unit::Microseconds,
        more_is_better: false,
        value: |report| report.latency_microseconds.map(|latency| latency.p99),
        counts: |report| counts_open(report, 0.99),
        comparable: |_, _| true,
    },
    Kind {
        name: "latency p99.9",
        unit: Unit::Microseconds,
        more_is_better: false,
        value: |report| report.latency_microseconds.map(|latency| latency.p999),
        counts: |report| counts_open(report, 0.999),
        comparable: |_, _| true,
    },
    Kind {
        name: "handshake p99",
        unit: Unit::Microseconds,
        more_is_better: false,
        value: |report| report.handshake_microseconds.map(|handshake| handshake.p99),
        counts: |report| {
            let open = report.handshakes_per_second_offered.is_some();
            open && has_beyond(report.handshake_microseconds, 0.99)
        },
        comparable: |_, _| true,
    },
    Kind {
        name: "handshakes/s",
        unit: Unit::PerSecond,
        more_is_better: true,
        value: |report| Some(report.handshakes_per_second),
        counts: |report| {
            let closed = report.handshakes_per_second_offered.is_none();
            closed && report.connect_seconds >= CONNECT_SECONDS_MIN
        },
        comparable: |_, _| true,
    },
    Kind {
        name: "target's CPU a message",
        unit: Unit::Nanoseconds,
        more_is_better: false,
        value: words::cpu_a_message,
        counts: |_| true,
        // What slow members have not read is work of the target, and no message yet.
        comparable: |a, b| slow_members(a) == slow_members(b),
    },
    Kind {
        name: "target's user bytes a connection",
        unit: Unit::Bytes,
        more_is_better: false,
        value: |report| report.target.as_ref()?.user_bytes_a_connection,
        counts: |report| report.connected >= CONNECTIONS_MIN,
        comparable: |_, _| true,
    },
];

/// How many read slowly, and how slowly.
fn slow_members(report: &Report) -> Option<(u32, u32)> {
    let slow = report.slow.as_ref().filter(|slow| slow.members > 0)?;
    Some((slow.members, slow.bytes_per_second))
}

fn is_loop(report: &Report, kind: &str) -> bool {
    report.loop_kind.as_deref() == Some(kind)
}

fn counts_open(report: &Report, quantile: f64) -> bool {
    is_loop(report, "open") && has_beyond(report.latency_microseconds, quantile)
}

/// Whether enough values lie beyond a quantile. Counted in whole values, as 1 - 0.99 is not quite 0.01.
fn has_beyond(times: Option<Percentiles>, quantile: f64) -> bool {
    times.is_some_and(|times| times.count as f64 * (1.0 - quantile) + 1e-6 >= VALUES_BEYOND_MIN)
}

/// The figures that either run has.
pub fn of(a: &Report, b: &Report, max_regress: f64) -> Vec<Figure> {
    let figures = KINDS.iter().filter_map(|kind| {
        let values = ((kind.value)(a), (kind.value)(b));
        if values == (None, None) {
            return None;
        }
        let counts = (kind.counts)(a) && (kind.counts)(b) && (kind.comparable)(a, b);
        Some(Figure {
            name: kind.name,
            unit: kind.unit,
            more_is_better: kind.more_is_better,
            a: values.0,
            b: values.1,
            change: match values {
                (Some(a), Some(b)) if a > 0.0 => Some((b - a) / a),
                _ => None,
            },
            mark: match values {
                (Some(a), Some(b)) if counts => mark(a, b, kind.more_is_better, max_regress),
                _ => Mark::Shown,
            },
        })
    });
    figures.collect()
}

/// What came of a figure that counts.
fn mark(a: f64, b: f64, more_is_better: bool, max_regress: f64) -> Mark {
    let gain = if more_is_better { b - a } else { a - b };
    let allowed = a.abs() * max_regress;
    if gain < -allowed {
        Mark::Worse
    } else if gain > allowed {
        Mark::Better
    } else {
        Mark::Same
    }
}
