//! The result of a run, for people and for programs.

pub mod files;
mod hints;
mod hlog;
pub mod host;
mod html;
pub mod progress;
#[cfg(test)]
pub mod sample;
pub mod scenario;
pub mod table;
pub mod timeline;
pub mod units;
mod validity;
pub mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::CreationError;
use ringmain_rt::Backend;
use serde::{Deserialize, Serialize};

use crate::clock::to_seconds;
use crate::control::Findings;
use crate::delivery::DeliveryRow;
use crate::measure::Times;
use crate::observe::TargetFindings;
use crate::plan::Plan;
use crate::settings::{Pace, Settings, Work};
use crate::tally::Count;
use host::HostFacts;
use scenario::{SlowFindings, StormFindings, VisitFindings};
use timeline::Moment;

/// Rows of the proof of delivery that a report has.
const DELIVERY_ROWS_MAX: usize = 10_000;

/// What `--json` writes. Times are in the unit that the name ends with; counts are of the whole run,
/// warming up included, rates and latencies of the measurement alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Whether the figures can be taken at their word: the load generator was not what held them down.
    pub valid: bool,
    /// Why not.
    pub invalid_because: Vec<String>,
    /// Somebody ended the run before its time: the figures are of a shorter one.
    #[serde(default)]
    pub interrupted: bool,
    /// The command line, word by word.
    #[serde(default)]
    pub command: Vec<String>,
    /// The scenario.
    pub mode: String,
    /// `closed`: latency is of messages sent as answers allowed. `open`: sent by the clock, and counted
    /// from the time at which each was due. `None` where none are sent.
    #[serde(rename = "loop")]
    pub loop_kind: Option<String>,
    /// The target.
    pub url: String,
    /// Connections asked for.
    pub connections: u32,
    /// Connections opened.
    pub connected: u64,
    /// Connections that were not opened, refused ones included.
    pub failed: u64,
    /// Of these, the ones that the server refused.
    pub refused: u64,
    /// Connections that were open and ended before the load generator closed them.
    pub connections_lost: u64,
    /// Rooms, where there are any.
    pub rooms: Option<u32>,
    /// Publishers, where there are any.
    pub publishers: Option<u32>,
    /// Whether publishers receive their own messages, in `fanout`; older versions did not say.
    #[serde(default)]
    pub own: Option<bool>,
    /// Payload of each message; several sizes with their weights.
    pub payload_bytes: String,
    /// Messages of each sender under way at once, in a closed loop.
    pub in_flight: Option<u32>,
    /// Messages a second asked for, in an open loop.
    pub messages_per_second_offered: Option<f64>,
    /// Messages a second sent in an open loop's measurement; below those asked for, the load generator or
    /// the server's unread sockets held them up.
    pub messages_per_second_sent: Option<f64>,
    /// The measurement; of holding the connections in `idle`.
    pub duration_seconds: f64,
    /// Sending before it.
    pub warmup_seconds: f64,
    /// When the measurement began, in seconds of the run, as the timeline counts them.
    #[serde(default)]
    pub measured_at_seconds: Option<f64>,
    /// The measurement's beginning by CLOCK_MONOTONIC, in seconds.
    pub measured_from: Option<f64>,
    /// Its end.
    pub measured_to: Option<f64>,
    /// Messages sent.
    pub sent: u64,
    /// Messages of an open loop that were due but which a socket had no room for.
    pub unsent: u64,
    /// Messages that should have arrived.
    pub expected: u64,
    /// Messages that arrived whole, each counted once.
    pub received: u64,
    /// Of those expected, the ones that did not arrive whole.
    pub lost: u64,
    /// Messages that arrived again.
    pub duplicated: u64,
    /// Messages that arrived after a later one of the same publisher.
    pub reordered: u64,
    /// Messages that arrived changed; they are among the lost, too.
    pub corrupt: u64,
    /// Messages that arrived at somebody who should not get them.
    pub unexpected: u64,
    /// Times that a closed loop went on without an answer.
    pub stalled: u64,
    /// Pings answered.
    pub pings: u64,
    /// Those who came and went.
    pub visits: Option<VisitFindings>,
    /// Those who read slowly.
    pub slow: Option<SlowFindings>,
    /// The storm.
    pub storm: Option<StormFindings>,
    /// Messages received a second: round trips in `echo`, deliveries in `fanout`, 0 in `idle`.
    pub messages_per_second: f64,
    /// Payload received a second.
    pub bytes_per_second: f64,
    /// From sending, or from being due in an open loop, to arrival.
    pub latency_microseconds: Option<Percentiles>,
    /// Open loop: from being sent to arrival, whatever the delay before.
    pub service_microseconds: Option<Percentiles>,
    /// The distribution of the latency, finer towards its end.
    pub latency_curve: Vec<CurvePoint>,
    /// The same of the service time.
    #[serde(default)]
    pub service_curve: Vec<CurvePoint>,
    /// Open loop: from being due to being sent. Large values mean that the load generator was too slow.
    pub send_lag_microseconds: Option<Percentiles>,
    /// From when a connection was to begin, by `--rate`, to the end of its handshake.
    pub handshake_microseconds: Option<Percentiles>,
    /// From its beginning to the end of its handshake.
    pub handshake_service_microseconds: Option<Percentiles>,
    /// With `--rate`: from when a connection was to begin to its beginning, but for those that waited because too many
    /// others were under way.
    #[serde(default)]
    pub handshake_lag_microseconds: Option<Percentiles>,
    /// The distribution of the former.
    #[serde(default)]
    pub handshake_curve: Vec<CurvePoint>,
    /// The distribution of the latter.
    #[serde(default)]
    pub handshake_service_curve: Vec<CurvePoint>,
    /// Handshakes begun a second, if so many were asked for: then they are an open loop.
    #[serde(default)]
    pub handshakes_per_second_offered: Option<f64>,
    /// All handshakes began at once: `connect --storm`.
    #[serde(default)]
    pub handshakes_at_once: bool,
    /// From the start until the last connection was opened or failed.
    pub connect_seconds: f64,
    /// Handshakes a second in that time.
    pub handshakes_per_second: f64,
    /// CPU time of all threads, user and system, in the measurement.
    pub cpu_seconds: f64,
    /// CPU time of all threads on the busiest core in the measurement, divided by its duration.
    pub busy_share: f64,
    /// The same share of each thread, the control thread's last.
    pub busy_shares: Vec<f64>,
    /// Where the handshakes are what is measured, in `connect` and `storm`: the busiest core's share of its busiest half
    /// second while connections were opened, or came back.
    #[serde(default)]
    pub handshakes_busy_share: Option<f64>,
    /// The run in stretches of a second or more, from its start.
    pub timeline: Vec<Moment>,
    /// By room and publisher, those with something amiss first.
    pub deliveries: Vec<DeliveryRow>,
    /// Rows that found no room there.
    pub deliveries_left_out: usize,
    /// Threads that carried connections.
    pub threads: usize,
    /// The cores they were pinned to.
    pub cpus: Vec<usize>,
    /// `io_uring` or `epoll`.
    pub io: String,
    /// The host of the load.
    pub host: HostFacts,
    /// The share by which the target's memory may grow, in a soak.
    pub growth_share_max: Option<f64>,
    /// What the target says of itself, and its kernel of its process; `None` if neither was asked.
    pub target: Option<TargetFindings>,
    /// Connections that failed or were lost, by kind; and those that the server did not close when asked to.
    pub errors: BTreeMap<String, u64>,
    /// What is known of these errors, and what to do.
    #[serde(default)]
    pub hints: Vec<String>,
}

/// Points of a distribution, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half were no more.
    pub p50: f64,
    /// 90% were no more.
    pub p90: f64,
    /// 99% were no more.
    pub p99: f64,
    /// 99.9% were no more.
    pub p999: f64,
    /// The most.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// How many there were.
    pub count: u64,
}

/// One point of a distribution.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The share of the values, from 0 to 1, that are no more.
    pub quantile: f64,
    /// Than this.
    pub microseconds: f64,
}

/// The points of a distribution at 0, 0.1 ... 0.9, then ever closer to 1 as long as values are left.
fn curve(times: &Times) -> Vec<CurvePoint> {
    let mut points = Vec::new();
    if times.is_empty() {
        return points;
    }
    let mut left = 1.0;
    while left * times.len() as f64 >= 0.5 {
        points.extend((0..9).map(|step| {
            let quantile = 1.0 - left * (1.0 - f64::from(step) / 10.0);
            CurvePoint {
                quantile,
                microseconds: times.value_at_quantile(quantile) as f64 / 1e3,
            }
        }));
        left /= 10.0;
    }
    points.push(CurvePoint {
        quantile: 1.0,
        microseconds: times.max() as f64 / 1e3,
    });
    points
}

impl Percentiles {
    /// Of a histogram in nanoseconds; `None` if it is empty.
    fn of(times: &Times) -> Option<Percentiles> {
        if times.is_empty() {
            return None;
        }
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        Some(Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: times.max() as f64 / 1e3,
            mean: times.mean() / 1e3,
            count: times.len(),
        })
    }
}

impl Report {
    /// Puts a run's findings together; the process may use so many cores.
    ///
    /// # Errors
    /// Never with the bounds that are used.
    pub fn new(
        settings: &Settings,
        plan: &Plan,
        cores: usize,
        backend: Backend,
        findings: &Findings,
    ) -> Result<Report, CreationError> {
        let record = &findings.record;
        let count = |count| record.tally[count];
        let window = findings.window;
        let duration = window.map_or(0.0, |window| to_seconds(window.measured_ns()));
        let a_second = |amount: f64| {
            if duration > 0.0 {
                amount / duration
            } else {
                0.0
            }
        };
        let measured = match settings.work {
            // The probe's messages come after the time that is measured.
            Work::Idle { .. } => 0.0,
            _ => a_second(count(Count::ReceivedMeasured) as f64),
        };
        let connect_seconds = to_seconds(findings.connect_ns);
        let cpu_busiest = validity::busiest_core(plan, findings);
        let names = Names::of(settings);
        let busy_shares: Vec<f64> = findings
            .cpu
            .iter()
            .map(|cpu| a_second(cpu.as_secs_f64()))
            .collect();
        let sent_a_second = a_second(count(Count::SentMeasured) as f64);
        let (deliveries, deliveries_left_out) = findings.deliveries.rows(
            |publisher| publisher % names.rooms.unwrap_or(1),
            DELIVERY_ROWS_MAX,
        );
        let mut report = Report {
            valid: true,
            invalid_because: Vec::new(),
            interrupted: findings.interrupted,
            command: std::iter::once(env!("CARGO_BIN_NAME").to_owned())
                .chain(std::env::args().skip(1))
                .collect(),
            mode: settings.scenario.to_owned(),
            loop_kind: names.loop_kind.map(str::to_owned),
            url: settings.target.url.clone(),
            connections: settings.connections,
            connected: count(Count::Connected),
            failed: count(Count::Failed) + count(Count::Refused),
            refused: count(Count::Refused),
            connections_lost: count(Count::Dropped),
            rooms: names.rooms,
            publishers: names.publishers,
            own: names.own,
            payload_bytes: settings.sizes.to_string(),
            in_flight: names.in_flight,
            messages_per_second_offered: names.rate,
            messages_per_second_sent: names.rate.map(|_| sent_a_second),
            duration_seconds: duration,
            warmup_seconds: to_seconds(settings.warmup_ns),
            measured_at_seconds: window.map(|window| to_seconds(window.from_ns)),
            measured_from: findings
                .window_monotonic
                .map(|(from, _)| from.as_secs_f64()),
            measured_to: findings.window_monotonic.map(|(_, to)| to.as_secs_f64()),
            sent: count(Count::Sent),
            unsent: count(Count::Unsent),
            expected: count(Count::Expected),
            received: count(Count::Received),
            lost: count(Count::Expected).saturating_sub(count(Count::Received)),
            duplicated: count(Count::Duplicated),
            reordered: count(Count::Reordered),
            corrupt: count(Count::Corrupt),
            unexpected: count(Count::Unexpected),
            stalled: count(Count::Stalled),
            pings: count(Count::Pings),
            visits: VisitFindings::of(settings, record),
            slow: SlowFindings::of(settings, record),
            storm: StormFindings::of(settings, record),
            messages_per_second: measured,
            bytes_per_second: a_second(count(Count::BytesMeasured) as f64),
            latency_microseconds: Percentiles::of(&record.latency),
            service_microseconds: Percentiles::of(&record.service),
            latency_curve: curve(&record.latency),
            service_curve: curve(&record.service),
            send_lag_microseconds: Percentiles::of(&record.lag),
            handshake_microseconds: Percentiles::of(&record.handshakes),
            handshake_service_microseconds: Percentiles::of(&record.handshakes_service),
            handshake_lag_microseconds: settings
                .handshake_rate
                .and(Percentiles::of(&record.handshakes_lag)),
            handshake_curve: curve(&record.handshakes),
            handshake_service_curve: curve(&record.handshakes_service),
            handshakes_per_second_offered: settings.handshake_rate,
            handshakes_at_once: settings.handshakes_max == u32::MAX,
            connect_seconds,
            handshakes_per_second: count(Count::Connected) as f64 / connect_seconds.max(1e-9),
            cpu_seconds: findings.cpu.iter().sum::<Duration>().as_secs_f64(),
            busy_share: a_second(cpu_busiest.as_secs_f64()),
            busy_shares,
            handshakes_busy_share: validity::handshakes_busy_share(plan, findings),
            timeline: findings.timeline.moments()?,
            deliveries,
            deliveries_left_out,
            threads: plan.threads,
            cpus: plan.cpus.clone(),
            io: backend.to_string(),
            host: HostFacts::look(cores),
            growth_share_max: settings.growth_max,
            target: findings.target.clone(),
            errors: record.failures.counts(),
            hints: record.failures.hints(),
        };
        report.hints.extend(hints::of_deliveries(settings, &report));
        report.invalid_because = validity::doubts(&report, settings);
        report.valid = report.invalid_because.is_empty();
        Ok(report)
    }

    /// What is amiss, in words; empty if nothing is.
    pub fn faults(&self) -> Vec<String> {
        let faults = [
            (self.failed, "connections failed"),
            (self.connections_lost, "connections lost"),
            (self.lost, "messages lost"),
            (self.duplicated, "duplicated"),
            (self.reordered, "reordered"),
            (self.corrupt, "corrupt"),
            (self.unexpected, "unexpected"),
            (
                self.visits.as_ref().map_or(0, |visits| visits.missed),
                "messages missed by visitors",
            ),
        ];
        let faults = faults.iter().filter(|(count, _)| *count > 0);
        let mut faults: Vec<_> = faults
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        faults.extend(self.grown());
        faults
    }

    /// What to say of the target's memory, if it has grown by more than it may.
    fn grown(&self) -> Option<String> {
        let grown = self.target.as_ref()?.memory_growth_share?;
        let most = self.growth_share_max.filter(|most| grown > *most)?;
        Some(format!(
            "the target's memory grew by {:.1}% ({:.1}% is allowed)",
            grown * 100.0,
            most * 100.0
        ))
    }
}

/// What the settings are called in the report.
struct Names {
    loop_kind: Option<&'static str>,
    rooms: Option<u32>,
    publishers: Option<u32>,
    own: Option<bool>,
    in_flight: Option<u32>,
    rate: Option<f64>,
}

impl Names {
    fn of(settings: &Settings) -> Names {
        let (rooms, publishers) = match settings.work {
            Work::Echo { .. } => (None, None),
            Work::Fanout {
                rooms, publishers, ..
            } => (Some(rooms), Some(publishers)),
            Work::Idle { rooms, .. } => (Some(rooms), None),
        };
        let (loop_kind, in_flight, rate) = match settings.pace() {
            Some(Pace::Closed { in_flight }) => (Some("closed"), Some(in_flight), None),
            Some(Pace::Open { rate }) => (Some("open"), None, Some(rate)),
            None => (None, None, None),
        };
        Names {
            loop_kind,
            rooms,
            publishers,
            own: match settings.work {
                Work::Fanout { own, .. } if settings.scenario == "fanout" => Some(own),
                _ => None,
            },
            in_flight,
            rate,
        }
    }
}
