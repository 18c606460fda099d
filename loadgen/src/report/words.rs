//! What every output says in the same words.

use std::time::{Duration, UNIX_EPOCH};

use super::units::{bytes, count, number, percent, seconds};
use super::{Percentiles, Report};
use crate::observe::TargetFindings;

/// Processes of the target that are named.
const PROCESSES_MAX: usize = 8;

/// A figure's name and value.
pub type Row = (&'static str, String);

/// Which loop it is. Where no messages are sent, which loop the handshakes are.
pub fn loop_named(report: &Report) -> String {
    let kind = report.loop_kind.as_deref();
    match (kind, report.in_flight, report.messages_per_second_offered) {
        (Some(kind), Some(in_flight), _) => format!("{kind} loop with {in_flight} in flight"),
        (Some(kind), _, Some(rate)) => format!("{kind} loop at {} messages/s", number(rate)),
        (Some(kind), ..) => format!("{kind} loop"),
        (None, ..) if report.handshakes_at_once => "handshakes all at once".to_owned(),
        (None, ..) => format!("handshakes in {}", handshake_loop(report)),
    }
}

fn handshake_loop(report: &Report) -> String {
    match report.handshakes_per_second_offered {
        Some(rate) => format!("an open loop at {}/s", number(rate)),
        None => "a closed loop".to_owned(),
    }
}

/// The run in one line.
pub fn title(report: &Report) -> String {
    format!(
        "{} {}: {} connections, {}, {}",
        report.mode,
        report.url,
        count(u64::from(report.connections)),
        loop_named(report),
        seconds(report.duration_seconds),
    )
}

/// What is said where nothing is amiss.
pub fn nothing_amiss(report: &Report) -> String {
    if report.expected > 0 {
        format!(
            "Delivered whole: {} messages. Nothing lost, duplicated, reordered or corrupt.",
            count(report.received)
        )
    } else if report.connected < u64::from(report.connections) {
        format!(
            "{} of {} connections had opened; no message was sent.",
            count(report.connected),
            count(u64::from(report.connections)),
        )
    } else {
        format!(
            "All {} connections opened and stayed open; no message was sent.",
            count(report.connected)
        )
    }
}

/// What to say of a run that somebody ended before its time.
pub fn interrupted(report: &Report) -> Option<String> {
    let what = if report.measured_at_seconds.is_none() {
        "before all connections were open".to_owned()
    } else if report.duration_seconds == 0.0 {
        "before anything was measured".to_owned()
    } else {
        let measured = seconds(report.duration_seconds);
        format!("and rates and times are of {measured}")
    };
    report
        .interrupted
        .then(|| format!("the run was ended before its time, {what}"))
}

/// What was run.
pub fn settings(report: &Report) -> Vec<Row> {
    let mut rows = vec![
        ("target", report.url.clone()),
        ("scenario", report.mode.clone()),
        ("loop", loop_named(report)),
    ];
    if report.loop_kind.is_some() {
        rows.push(("handshakes", handshake_loop(report)));
    }
    rows.push(("connections", count(u64::from(report.connections))));
    let counts = [("rooms", report.rooms), ("publishers", report.publishers)];
    rows.extend(
        counts
            .iter()
            .filter_map(|&(name, value)| value.map(|value| (name, count(u64::from(value))))),
    );
    if report.expected > 0 || report.loop_kind.is_some() {
        rows.push(("payload", format!("{} bytes", report.payload_bytes)));
    }
    if report.loop_kind.is_some() {
        rows.push(("warm-up", seconds(report.warmup_seconds)));
    }
    rows.push(("measured for", seconds(report.duration_seconds)));
    let cpus: Vec<_> = report.cpus.iter().map(usize::to_string).collect();
    rows.push(("load runs in", threads(report)));
    if !cpus.is_empty() {
        rows.push(("load's cores", cpus.join(", ")));
    }
    rows
}

/// How many threads on what.
pub fn threads(report: &Report) -> String {
    match report.threads {
        1 => format!("1 thread on {}", report.io),
        threads => format!("{threads} threads on {}", report.io),
    }
}

/// The words of the command line, quoted where a shell needs it.
pub fn command(report: &Report) -> impl Iterator<Item = String> {
    report.command.iter().map(|word| quoted(word))
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:,./%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The times that were measured, by name.
pub fn times(report: &Report) -> Vec<(&'static str, Percentiles)> {
    let times = [
        ("latency", report.latency_microseconds),
        ("service", report.service_microseconds),
        ("send lag", report.send_lag_microseconds),
        ("handshake", report.handshake_microseconds),
        (
            "handshake service",
            // Without a rate both are the same.
            report
                .handshakes_per_second_offered
                .and(report.handshake_service_microseconds),
        ),
        ("handshake lag", report.handshake_lag_microseconds),
        (
            "back after storm",
            report
                .storm
                .as_ref()
                .and_then(|storm| storm.back_microseconds),
        ),
    ];
    let times = times.into_iter();
    times
        .filter_map(|(name, times)| Some((name, times?)))
        .collect()
}

/// What was found of the target, but for its metrics.
pub fn target(report: &Report) -> Vec<Row> {
    let Some(target) = &report.target else {
        return Vec::new();
    };
    let cpu_share = target
        .cpu_seconds
        .filter(|_| report.duration_seconds > 0.0)
        .map(|cpu| cpu / report.duration_seconds);
    let rows = [
        ("process", process(target)),
        (
            "CPU time",
            target
                .cpu_seconds
                .zip(cpu_share)
                .map(|(cpu, share)| format!("{} ({} of a core)", seconds(cpu), percent(share))),
        ),
        (
            "CPU a message",
            cpu_a_message(report).map(|cpu| format!("{} ns", number(cpu))),
        ),
        (
            "user bytes a connection",
            target.user_bytes_a_connection.map(bytes_exact),
        ),
        (
            "kernel bytes a connection",
            target.kernel_bytes_a_connection.map(bytes_exact),
        ),
    ];
    let growth = target.memory_growth_share.map(percent);
    let rows = rows.into_iter().chain([("memory growth", growth)]);
    rows.filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Which process was watched, or which ones: then the reader must know that the figures are of all.
fn process(target: &TargetFindings) -> Option<String> {
    let ids: Vec<_> = target.pids.iter().map(u32::to_string).collect();
    if ids.is_empty() {
        return target.pid.map(|pid| pid.to_string());
    }
    let (shown, dots) = match ids.get(..PROCESSES_MAX) {
        Some(first) if ids.len() > PROCESSES_MAX => (first, " ..."),
        _ => (&ids[..], ""),
    };
    Some(format!(
        "{} that share the listener, added up: {}{dots}",
        ids.len(),
        shown.join(", ")
    ))
}

/// The target's CPU time a message in nanoseconds. Where few messages are sent it is the cost of all else.
pub fn cpu_a_message(report: &Report) -> Option<f64> {
    report.loop_kind.as_ref()?;
    report.target.as_ref()?.cpu_nanoseconds_a_message
}

/// Bytes a connection: people compare these to the byte until they are many.
fn bytes_exact(value: f64) -> String {
    if value.abs() < 100_000.0 {
        format!("{} bytes", number(value))
    } else {
        bytes(value)
    }
}

/// The host in one line.
pub fn host(report: &Report) -> String {
    let host = &report.host;
    format!(
        "{}, {} cores, {}, Linux {}; ringmain-load {}, {}",
        host.cpu,
        host.cores,
        bytes(host.memory_bytes as f64),
        host.kernel,
        host.version,
        ended_at(report),
    )
}

/// The end of the run, as mail and HTTP write dates.
pub fn ended_at(report: &Report) -> String {
    // The library writes years of four digits only.
    const YEAR_9999: u64 = 253_402_300_799;
    let since = Duration::from_secs(report.host.ended_at.min(YEAR_9999));
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_loop_is_named() {
        assert_eq!(
            loop_named(&sample::closed()),
            "closed loop with 4 in flight"
        );
        assert_eq!(loop_named(&sample::open()), "open loop at 5,000 messages/s");
        let mut idle = sample::idle();
        assert_eq!(loop_named(&idle), "handshakes in a closed loop");
        let at_once = Report {
            handshakes_at_once: true,
            ..idle.clone()
        };
        assert_eq!(loop_named(&at_once), "handshakes all at once");
        idle.handshakes_per_second_offered = Some(200.0);
        assert_eq!(loop_named(&idle), "handshakes in an open loop at 200/s");
    }

    #[test]
    fn processes_that_were_added_up_are_named() {
        let mut report = sample::closed();
        assert_eq!(target(&report)[0], ("process", "123".to_owned()));
        let found = report.target.get_or_insert_default();
        (found.pid, found.pids) = (None, (10..20).collect());
        let row = &target(&report)[0].1;
        assert!(row.starts_with("10 that share the listener"), "{row}");
        assert!(row.ends_with("10, 11, 12, 13, 14, 15, 16, 17 ..."), "{row}");
    }

    #[test]
    fn a_command_can_be_given_to_a_shell_again() {
        let words = ["load", "--url", "ws://h/a?b=1", "it's", ""].map(quoted);
        assert_eq!(words.join(" "), r"load --url 'ws://h/a?b=1' 'it'\''s' ''");
    }
}
