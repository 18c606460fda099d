//! What must be the same in two runs for their figures to be comparable.

use std::fmt;

use crate::report::Report;
use crate::report::units::number;

/// A setting that two runs do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    name: &'static str,
    a: String,
    b: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (A: {}, B: {})", self.name, self.a, self.b)
    }
}

/// Differences in one line.
pub fn listed(differences: &[Difference]) -> String {
    let words: Vec<_> = differences.iter().map(Difference::to_string).collect();
    words.join(", ")
}

/// The settings that make two runs different things. Not among them are the target's address, how long it was
/// measured, how many members were slow (to compare with none is what that scenario is for), and the load generator's threads and cores.
fn settings(report: &Report) -> Vec<(&'static str, String)> {
    let count = |count: Option<u32>| count.map_or("none".to_owned(), |count| count.to_string());
    let rate = |rate: Option<f64>| rate.map_or("none".to_owned(), number);
    vec![
        ("scenario", report.mode.clone()),
        (
            "loop",
            report.loop_kind.clone().unwrap_or("none".to_owned()),
        ),
        ("connections", report.connections.to_string()),
        ("payload bytes", report.payload_bytes.to_string()),
        ("in flight", count(report.in_flight)),
        (
            "messages offered a second",
            rate(report.messages_per_second_offered),
        ),
        (
            "visits offered a second",
            rate(
                report
                    .visits
                    .as_ref()
                    .map(|visits| visits.per_second_offered),
            ),
        ),
        (
            "storm policy",
            report
                .storm
                .as_ref()
                .map_or("none".to_owned(), |storm| storm.policy.clone()),
        ),
        ("rooms", count(report.rooms)),
        ("publishers", count(report.publishers)),
        (
            "handshakes offered a second",
            rate(report.handshakes_per_second_offered),
        ),
        (
            "handshakes all at once",
            report.handshakes_at_once.to_string(),
        ),
        ("scheme", scheme(&report.url)),
    ]
}

/// What the target was spoken to in: encryption is a part of what each message and handshake costs.
fn scheme(url: &str) -> String {
    let (scheme, _) = url.split_once("://").unwrap_or_default();
    scheme.to_ascii_lowercase()
}

/// More of these settings, which files of older versions do not have; `None` also where a scenario has no such thing.
fn told(report: &Report) -> [(&'static str, Option<String>); 2] {
    let own = report.own.map(|own| if own { "yes" } else { "no" });
    let stay = report
        .visits
        .as_ref()
        .and_then(|visits| visits.stay_seconds);
    [
        ("own messages received", own.map(str::to_owned)),
        ("seconds of a visit", stay.map(number)),
    ]
}

/// The settings in which two runs differ.
pub fn differences(a: &Report, b: &Report) -> Vec<Difference> {
    let pairs = settings(a).into_iter().zip(settings(b));
    let pairs = pairs.map(|((name, a), (_, b))| (name, a, b));
    let told = told(a).into_iter().zip(told(b));
    let told = told.filter_map(|((name, a), (_, b))| Some((name, a?, b?)));
    let differing = pairs.chain(told).filter(|(_, a, b)| a != b);
    differing
        .map(|(name, a, b)| Difference { name, a, b })
        .collect()
}

/// Settings that only one of the files tells, since the other is of an older version: they may differ, or not.
pub fn untold(a: &Report, b: &Report) -> Vec<String> {
    let pairs = told(a).into_iter().zip(told(b));
    let untold = pairs.filter_map(|((name, a), (_, b))| match (a, b) {
        (Some(a), None) => Some(format!(
            "{name}: A {a}, B does not say (of an older version)"
        )),
        (None, Some(b)) => Some(format!(
            "{name}: A does not say (of an older version), B {b}"
        )),
        _ => None,
    });
    untold.collect()
}
