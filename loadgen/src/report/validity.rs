//! Whether the load generator measured the target, or itself.

use super::Report;
use crate::settings::Settings;

/// An open loop that sent less than this share of what was due in its time did not offer the load asked for.
const SENT_SHARE_MIN: f64 = 0.99;

/// Why a run's figures cannot be taken at their word; empty if they can.
pub fn doubts(report: &Report, settings: &Settings) -> Vec<String> {
    let mut doubts = Vec::new();
    // Without messages or a storm nothing waits for the load generator.
    let is_busy_with_it = report.loop_kind.is_some() || report.storm.is_some();
    if is_busy_with_it && report.busy_share >= settings.busy_max {
        doubts.push(format!(
            "the load generator was the bottleneck: its busiest thread worked {:.0}% of the time, and beyond {:.0}% it is \
             not known who waits for whom. Give it more --cpus, or fewer messages",
            report.busy_share * 100.0,
            settings.busy_max * 100.0,
        ));
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
    if let (Some(offered), Some(sent)) = (
        report.messages_per_second_offered,
        report.messages_per_second_sent,
    ) && sent < offered * SENT_SHARE_MIN
    {
        doubts.push(format!(
            "{sent:.0} messages a second were sent of the {offered:.0} asked for: the sockets took no more. Ask for a \
             lower --rate-messages, or for more --connections to send them",
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
