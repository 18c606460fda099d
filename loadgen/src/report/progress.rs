//! The line that shows how a run goes.

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::{SECOND_NS, to_seconds};
use crate::settings::Settings;
use crate::tally::{Count, Tally};

/// The shortest time over which a rate is reckoned.
const RATE_NS_MIN: u64 = SECOND_NS / 4;

/// A line on standard error that is written over again; none where that is not a terminal.
pub struct Progress {
    line: ProgressBar,
    connections: u64,
    last_ns: u64,
    last_received: u64,
    rate: f64,
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
            connections: u64::from(settings.connections),
            last_ns: 0,
            last_received: 0,
            rate: 0.0,
        }
    }

    /// Shows what is being done, and the counters.
    pub fn show(&mut self, doing: &str, now_ns: u64, tally: &Tally) {
        if self.line.is_hidden() {
            return;
        }
        let received = tally[Count::Received];
        let since_ns = now_ns.saturating_sub(self.last_ns);
        if since_ns >= RATE_NS_MIN {
            self.rate = received.saturating_sub(self.last_received) as f64 / to_seconds(since_ns);
            self.last_ns = now_ns;
            self.last_received = received;
        }
        let errors = tally[Count::Refused] + tally[Count::Failed] + tally[Count::Dropped];
        self.line.set_message(format!(
            "{doing}: {} of {} connections, {} messages/s, {} errors",
            HumanCount(tally[Count::Open]),
            HumanCount(self.connections),
            HumanCount(self.rate as u64),
            HumanCount(errors),
        ));
        self.line.tick();
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.line.finish_and_clear();
    }
}
