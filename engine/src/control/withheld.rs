//! Tells how many lines about closes and refusals the log's rate limit has withheld.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringmain_core::stats::Cell64;
use ringmain_core::{CloseReason, Refusal, RefusedStatus, Severity, ShardStats};
use ringmain_shard::{CLOSE_TARGET, REFUSE_TARGET};

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(1);

/// One kind of line: a reason to close, or to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Closes for a reason.
    Close(CloseReason),
    /// Refused connections.
    Refusal(Refusal),
    /// Refused requests.
    Request(RefusedStatus),
}

impl Kind {
    fn all() -> impl Iterator<Item = Kind> {
        let closes = CloseReason::CATALOGUE
            .iter()
            .map(|entry| Kind::Close(entry.reason));
        let refusals = Refusal::NAMES.iter().map(|(_, name)| Kind::Refusal(*name));
        let requests = RefusedStatus::all().map(Kind::Request);
        closes.chain(refusals).chain(requests)
    }

    fn cell(self, stats: &ShardStats) -> &Cell64 {
        match self {
            Kind::Close(reason) => &stats.closes_withheld[reason as usize],
            Kind::Refusal(refusal) => &stats.refusals_withheld[refusal as usize],
            Kind::Request(status) => &stats.refused_requests_withheld[status.index()],
        }
    }

    fn severity(self) -> Severity {
        match self {
            Kind::Close(reason) => reason.entry().severity,
            Kind::Refusal(refusal) => refusal.severity(),
            Kind::Request(status) => status.severity(),
        }
    }

    fn write(self, lines: u64, seconds: u64) {
        macro_rules! at_level {
            ($target:expr, $($fields:tt)*) => {
                match self.severity() {
                    Severity::Debug => tracing::debug!(target: $target, $($fields)*),
                    Severity::Info => tracing::info!(target: $target, $($fields)*),
                    Severity::Warn => tracing::warn!(target: $target, $($fields)*),
                }
            };
        }
        let more = grouped(lines);
        let time = match seconds {
            0 | 1 => "second".to_owned(),
            seconds => format!("{seconds} seconds"),
        };
        match self {
            Kind::Close(reason) => at_level!(
                CLOSE_TARGET,
                reason = reason.entry().name,
                more = lines,
                "and {more} more connections closed in the last {time}"
            ),
            Kind::Refusal(refusal) => at_level!(
                REFUSE_TARGET,
                reason = refusal.name(),
                more = lines,
                "and {more} more connections refused in the last {time}"
            ),
            Kind::Request(status) => at_level!(
                REFUSE_TARGET,
                status = status.label(),
                more = lines,
                "and {more} more requests refused in the last {time}"
            ),
        }
    }
}

/// What was told so far.
pub struct Withheld {
    shards: Vec<Arc<ShardStats>>,
    told: Vec<(Kind, u64)>,
    looked: Instant,
}

impl Withheld {
    /// Nothing yet, of these shards.
    pub fn new(shards: Vec<Arc<ShardStats>>) -> Self {
        Withheld {
            shards,
            told: Kind::all().map(|kind| (kind, 0)).collect(),
            looked: Instant::now(),
        }
    }

    /// Writes, once a second, a line for each reason of which lines were withheld since the last time.
    pub fn tell(&mut self) {
        let elapsed = self.looked.elapsed();
        if elapsed < INTERVAL {
            return;
        }
        self.looked = Instant::now();
        for (kind, lines) in self.news() {
            kind.write(lines, elapsed.as_secs());
        }
    }

    /// Lines withheld since the last time, by kind.
    fn news(&mut self) -> Vec<(Kind, u64)> {
        let shards = &self.shards;
        let news = self.told.iter_mut().filter_map(|(kind, told)| {
            let all: u64 = shards.iter().map(|stats| kind.cell(stats).get()).sum();
            let lines = all - std::mem::replace(told, all);
            (lines > 0).then_some((*kind, lines))
        });
        news.collect()
    }
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_told_once_and_of_all_shards_together() {
        let shards: Vec<Arc<ShardStats>> = vec![Arc::default(), Arc::default()];
        let mut withheld = Withheld::new(shards.clone());
        assert_eq!(withheld.news(), []);
        let reason = CloseReason::ProtocolError;
        shards[0].closes_withheld[reason as usize].add(1_000);
        shards[1].closes_withheld[reason as usize].add(234);
        let full = Refusal::ConnectionsMax;
        shards[1].refusals_withheld[full as usize].add(3);
        let expected = [(Kind::Close(reason), 1_234), (Kind::Refusal(full), 3)];
        assert_eq!(withheld.news(), expected);
        assert_eq!(withheld.news(), []);
        let found = RefusedStatus::of(404);
        shards[0].refused_requests_withheld[found.index()].add(1);
        assert_eq!(withheld.news(), [(Kind::Request(found), 1)]);
    }

    #[test]
    fn numbers_are_grouped() {
        let texts = [0, 12, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
