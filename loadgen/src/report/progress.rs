//! The line that shows how a run goes.

use std::collections::BTreeMap;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::{SECOND_NS, to_seconds};
use crate::job::Job;
use crate::settings::Settings;
use crate::tally::{Count, Tally};

/// The shortest time over which a rate is reckoned.
const RATE_NS_MIN: u64 = SECOND_NS / 4;
/// Kinds of errors that the line has room for.
const KINDS_MAX: usize = 3;

/// A line on standard error that is written over again; none where that is not a terminal.
pub struct Progress {
    line: ProgressBar,
    quiet: bool,
    connections: u64,
    last_ns: u64,
    last: Tally,
    handshakes_per_second: f64,
    messages_per_second: f64,
}

impl Progress {
    /// The line of one run; none if it is to be quiet.
    pub fn new(settings: &Settings) -> Self {
        let target = if settings.quiet {
            ProgressDrawTarget::hidden()
        } else {
            // Hides itself where standard error is not a terminal.
            ProgressDrawTarget::stderr_with_hz(10)
        };
        let line = ProgressBar::with_draw_target(None, target);
        // The default style shows no message; a template that does not parse leaves that as it is.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4}  {msg}") {
            line.set_style(style);
        }
        Progress {
            line,
            quiet: settings.quiet,
            connections: u64::from(settings.connections_and_visitors()),
            last_ns: 0,
            last: Tally::default(),
            handshakes_per_second: 0.0,
            messages_per_second: 0.0,
        }
    }

    /// Shows what is being done, the counters, and the errors by kind.
    pub fn show(&mut self, doing: &str, job: &Job) {
        if self.line.is_hidden() {
            return;
        }
        let tally = job.tally();
        self.reckon(job.clock.now_ns(), &tally);
        self.line.set_message(format!(
            "{doing}: {} of {} connections, {}{}",
            HumanCount(tally[Count::Open]),
            HumanCount(self.connections),
            self.rate(&tally),
            errors(&job.failures().counts()),
        ));
        self.line.tick();
    }

    /// Reckons the rates, once enough time has gone by.
    fn reckon(&mut self, now_ns: u64, tally: &Tally) {
        let since_ns = now_ns.saturating_sub(self.last_ns);
        if since_ns >= RATE_NS_MIN {
            let grown = |count| tally[count].saturating_sub(self.last[count]) as f64;
            let seconds = to_seconds(since_ns);
            self.handshakes_per_second = grown(Count::Connected) / seconds;
            self.messages_per_second = grown(Count::Received) / seconds;
            self.last_ns = now_ns;
            self.last = tally.clone();
        }
    }

    /// Handshakes until there are messages.
    fn rate(&self, tally: &Tally) -> String {
        if tally[Count::Sent] == 0 {
            format!(
                "{} handshakes/s",
                HumanCount(self.handshakes_per_second as u64)
            )
        } else {
            format!("{} messages/s", HumanCount(self.messages_per_second as u64))
        }
    }

    /// Says something on a line of its own.
    pub fn say(&self, words: &str) {
        if !self.quiet {
            self.line.suspend(|| eprintln!("{words}"));
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.line.finish_and_clear();
    }
}

/// The most frequent kinds, and how many more there are.
fn errors(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return ", no errors".to_owned();
    }
    let mut kinds: Vec<_> = counts.iter().collect();
    kinds.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
    let shown = kinds.iter().take(KINDS_MAX);
    let shown: Vec<_> = shown
        .map(|(kind, count)| format!("{} {kind}", HumanCount(**count)))
        .collect();
    let others: u64 = kinds.iter().skip(KINDS_MAX).map(|(_, count)| **count).sum();
    match others {
        0 => format!(", errors: {}", shown.join(", ")),
        _ => format!(
            ", errors: {}, {} others",
            shown.join(", "),
            HumanCount(others)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_by_kind_the_most_frequent_first_and_none_is_left_out() {
        let counts = |pairs: &[(&str, u64)]| {
            let pairs = pairs
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count));
            errors(&pairs.collect())
        };
        assert_eq!(counts(&[]), ", no errors");
        assert_eq!(
            counts(&[("http_503", 1), ("reset", 2000)]),
            ", errors: 2,000 reset, 1 http_503"
        );
        assert_eq!(
            counts(&[("a", 1), ("b", 5), ("c", 4), ("d", 3), ("e", 1)]),
            ", errors: 5 b, 4 c, 3 d, 2 others"
        );
    }
}
