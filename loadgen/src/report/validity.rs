//! Whether the load generator measured the target, or itself.

use std::time::Duration;

use super::Report;
use super::units::percent;
use crate::control::Findings;
use crate::settings::Settings;

/// An open loop that sent less than this share of what was due in its time did not offer the load asked for.
const SENT_SHARE_MIN: f64 = 0.99;

/// Opening connections for less than this is a burst, whose share of a thread's time is chance.
const HANDSHAKES_TIME_MIN: Duration = Duration::from_millis(500);

/// The share of its time that the busiest thread worked while connections were opened or came back; `None` where these
/// are not what is measured, or it was too short to say.
pub fn handshakes_busy_share(settings: &Settings, findings: &Findings) -> Option<f64> {
    let is_measured = settings.scenario == "connect" || settings.storm.is_some();
    let spent = findings.cpu_handshakes.iter();
    let shares = spent
        .filter(|(_, time)| is_measured && *time >= HANDSHAKES_TIME_MIN)
        .map(|(cpu, time)| cpu.as_secs_f64() / time.as_secs_f64());
    shares.reduce(f64::max)
}

/// Why a run's figures cannot be taken at their word; empty if they can.
pub fn doubts(report: &Report, settings: &Settings) -> Vec<String> {
    let mut doubts = Vec::new();
    // Without messages nothing waits for the load generator in the measurement.
    let sending = report
        .loop_kind
        .as_ref()
        .map(|_| (report.busy_share, "of the time", "fewer messages"));
    let connecting = report
        .handshakes_busy_share
        .map(|share| match report.storm {
            None => (share, "while connections were opened", "a lower --rate"),
            Some(_) => (share, "while they came back", "a gentler --policy"),
        });
    for (share, when, remedy) in sending.into_iter().chain(connecting) {
        if share >= settings.busy_max {
            doubts.push(format!(
                "the load generator was the bottleneck: its busiest thread worked {} {when}, and beyond {} it is \
                 not known who waits for whom. Give it more --cpus, or {remedy}",
                percent(share),
                percent(settings.busy_max),
            ));
        }
    }
    let lag_max = settings.lag_max_ns as f64 / 1e3;
    if let Some(lag) = report.send_lag_microseconds.filter(|lag| lag.p99 > lag_max) {
        doubts.push(format!(
            "the schedule was not kept: one message in a hundred was sent {:.1} ms late or later, and {:.1} ms are \
             allowed (--lag-max). Give the load generator more --cpus, or ask for a lower --rate-messages",
            lag.p99 / 1e3,
            lag_max / 1e3,
        ));
    }
    let handshake_lag = report.handshake_lag_microseconds;
    if settings.scenario == "connect"
        && let Some(lag) = handshake_lag.filter(|lag| lag.p99 > lag_max)
    {
        doubts.push(format!(
            "the schedule was not kept: one handshake in a hundred began {:.1} ms late or later, and {:.1} ms are allowed \
             (--lag-max). Give the load generator more --cpus, or ask for a lower --rate",
            lag.p99 / 1e3,
            lag_max / 1e3,
        ));
    }
    if let (Some(offered), Some(sent)) = (
        report.messages_per_second_offered,
        report.messages_per_second_sent,
    ) && sent < offered * SENT_SHARE_MIN
        && report.duration_seconds > 0.0
    {
        let missing = report.failed + report.connections_lost;
        let why = match missing {
            0 => "the sockets took no more. Ask for a lower --rate-messages, or for more --connections to send them".to_owned(),
            _ => format!("{missing} connections failed or were lost, and with them who was to send"),
        };
        doubts.push(format!(
            "{sent:.0} messages a second were sent of the {offered:.0} asked for: {why}",
        ));
    }
    let grown = report
        .target
        .as_ref()
        .and_then(|target| target.memory_growth_share);
    if settings.growth_max.is_some() && grown.is_none() {
        doubts.push(
            "the target's memory could not be followed for long enough to say whether it grew (--growth-max): run as the \
             target's user or root, or longer"
                .to_owned(),
        );
    }
    doubts
}
