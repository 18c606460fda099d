//! The end, by a signal: not ready, then the drain, then the shards' own end.

use std::time::{Duration, Instant};

use super::Control;
use super::numbers::State;
use crate::config::Settings;

/// How often the end says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What the end may take beyond its configured times.
const MARGIN: Duration = Duration::from_secs(5);

/// An end under way.
pub(super) struct Ending {
    began: Instant,
    told: Instant,
    /// From the beginning to the drain.
    ready_delay: Duration,
    /// Over which connections are closed.
    drain: Duration,
    /// What a connection has for its end once its time has come.
    close: Duration,
    seed: u64,
    connections: u64,
    step: Step,
}

enum Step {
    /// Whoever sends connections here is given time to notice that it is not ready.
    Unready,
    /// Connections are closed.
    Drain {
        began: Instant,
        /// All shards know.
        is_taken: bool,
    },
    /// There are no connections: the shards end.
    Stop,
}

impl Ending {
    /// Begins now, with these times. `seed` decides the order in which connections are closed.
    fn new(settings: &Settings, seed: u64, connections: u64) -> Self {
        let now = Instant::now();
        Ending {
            began: now,
            told: now,
            ready_delay: settings.ready_delay_seconds.duration(),
            drain: settings.drain_seconds.duration(),
            close: settings.close_handshake_seconds.duration(),
            seed,
            connections,
            step: Step::Unready,
        }
    }

    /// How long ago the signal came.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether it takes longer than it may.
    pub(super) fn is_overdue(&self) -> bool {
        self.age() > self.ready_delay + self.drain + self.close + MARGIN
    }

    /// Whether the shards end by themselves.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.step, Step::Stop)
    }
}

impl Control {
    pub(super) fn begin_to_end(&mut self, signal: &str) {
        let settings = self.reloading.settings();
        let connections = self.connections();
        let ending = Ending::new(settings, seed(), connections);
        tracing::info!(
            signal,
            connections,
            ready_delay_seconds = ending.ready_delay.as_secs_f64(),
            drain_seconds = ending.drain.as_secs_f64(),
            "ending: not ready from now on, then no new connections, and all are closed with 1012"
        );
        self.numbers.state.set(State::Unready as u64);
        self.ending = Some(ending);
        self.go_on_ending();
    }

    pub(super) fn go_on_ending(&mut self) {
        let left = self.connections();
        let Some(ending) = &mut self.ending else {
            return;
        };
        match &mut ending.step {
            Step::Unready if ending.began.elapsed() >= ending.ready_delay => {
                tracing::info!(connections = left, "draining: no new connections");
                self.numbers.state.set(State::Draining as u64);
                ending.connections = left;
                let is_taken = self.node.drain(ending.drain, ending.seed);
                ending.step = Step::Drain {
                    began: Instant::now(),
                    is_taken,
                };
            }
            Step::Unready => {}
            Step::Drain { is_taken, .. } if !*is_taken => {
                *is_taken = self.node.drain(ending.drain, ending.seed);
            }
            Step::Drain { .. } if self.node.is_drained() => {
                ending.step = Step::Stop;
                self.node.stop();
            }
            Step::Drain { .. } => {}
            Step::Stop => {
                self.node.stop();
            }
        }
        let seconds_left = match ending.step {
            Step::Drain { began, .. } => ending.drain.saturating_sub(began.elapsed()),
            Step::Unready => ending.drain,
            Step::Stop => Duration::ZERO,
        };
        self.numbers.drain_connections_left.set(left);
        self.numbers
            .drain_seconds_left
            .set(seconds_left.as_secs_f64().ceil() as u64);
        if ending.told.elapsed() >= PROGRESS_INTERVAL {
            ending.told = Instant::now();
            tell(ending, left, seconds_left);
        }
    }
}

fn tell(ending: &Ending, left: u64, seconds_left: Duration) {
    let of = ending.connections;
    match ending.step {
        Step::Unready => {
            let seconds_left = ending.ready_delay.saturating_sub(ending.age());
            let seconds_left = seconds_left.as_secs();
            tracing::info!(
                connections = left,
                seconds_left,
                "not ready; not yet draining"
            );
        }
        Step::Drain { .. } => {
            let seconds_left = seconds_left.as_secs();
            tracing::info!(connections = left, of, seconds_left, "still draining");
        }
        Step::Stop => tracing::info!("the shards end"),
    }
}

/// Without randomness the order is not secret, which is no reason not to end.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}
