//! The control plane: admin server, watchdog and signals, on one thread beside the shards.

pub mod admin;
pub mod watchdog;
mod withheld;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ringmain_core::stats::Cell64;
use ringmain_shard::{Node, ShardError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::fatal;
use admin::Pages;
use watchdog::{SAMPLE_INTERVAL, Sight, TURN_ENDLESS, TURN_LONG, Watch};
use withheld::Withheld;

/// How often a stop says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// A signal so soon after the first is the same one again: `timeout` and some supervisors send it to
/// the process and to its group.
const SIGNAL_ECHO: Duration = Duration::from_millis(500);

/// How serving came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By a signal, everything closed in order.
    Stopped,
    /// By a second signal, with connections open.
    Cut,
}

/// The node ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A shard has failed.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// Nobody asked them to.
    #[error("all shards have ended without being asked to")]
    Unasked,
}

/// The signals that end the process. While it exists, they do not kill it.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over. Needs the runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Watches over a running node.
pub struct Control {
    node: Node,
    pages: Arc<Pages>,
    watches: Vec<Watch>,
    stalls: Arc<[Cell64]>,
    withheld: Withheld,
    sampled: Instant,
    stop: Option<Stop>,
}

/// A stop under way.
struct Stop {
    began: Instant,
    told: Instant,
    is_taken: bool,
}

impl Control {
    /// Watches over this node; `stalls` counts the long turns of each shard.
    pub fn new(node: Node, pages: Arc<Pages>, stalls: Arc<[Cell64]>) -> Self {
        Control {
            withheld: Withheld::new(
                (node.shards().iter())
                    .map(|shard| shard.stats().clone())
                    .collect(),
            ),
            watches: node.shards().iter().map(|_| Watch::default()).collect(),
            node,
            pages,
            stalls,
            sampled: Instant::now(),
            stop: None,
        }
    }

    /// Serves until a signal has ended it.
    ///
    /// # Errors
    /// A shard ended by itself.
    pub async fn run(mut self, mut signals: Signals) -> Result<Outcome, ControlError> {
        let mut samples = interval(SAMPLE_INTERVAL);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.node.is_finished() {
            tokio::select! {
                _ = samples.tick() => {
                    self.watch();
                    self.go_on_stopping();
                    self.withheld.tell();
                    if self.stop.is_none()
                        && let Some(shard) = self.node.shards().iter().find(|shard| shard.is_finished())
                    {
                        fatal::die(&format!("shard {} has ended without being asked to", shard.index()));
                    }
                }
                name = signals.next() => match &self.stop {
                    None => self.begin_to_stop(name),
                    Some(stop) if stop.began.elapsed() < SIGNAL_ECHO => {}
                    Some(_) => {
                        let connections = self.connections();
                        tracing::warn!(signal = name, connections, "a second signal: ending at once");
                        return Ok(Outcome::Cut);
                    }
                },
            }
        }
        let was_asked = self.stop.is_some();
        self.node.join()?;
        if !was_asked {
            return Err(ControlError::Unasked);
        }
        tracing::info!("stopped");
        Ok(Outcome::Stopped)
    }

    fn watch(&mut self) {
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut self.sampled, now);
        for ((shard, watch), stalls) in self
            .node
            .shards()
            .iter()
            .zip(&mut self.watches)
            .zip(&*self.stalls)
        {
            let pulse = shard.pulse();
            match watch.sample(pulse.turn(), pulse.is_idle(), elapsed) {
                Sight::Well => {}
                Sight::Long => {
                    stalls.add(1);
                    tracing::warn!(
                        shard = shard.index(),
                        "a turn takes longer than {TURN_LONG:?}"
                    );
                }
                Sight::Endless => fatal::die(&format!(
                    "shard {} has been in one turn for {TURN_ENDLESS:?}",
                    shard.index()
                )),
            }
        }
    }

    fn begin_to_stop(&mut self, signal: &str) {
        tracing::info!(
            signal,
            connections = self.connections(),
            "stopping: no new connections; all are closed with 1001"
        );
        self.pages.is_stopping.store(true, Ordering::Relaxed);
        let now = Instant::now();
        self.stop = Some(Stop {
            began: now,
            told: now,
            is_taken: false,
        });
        self.go_on_stopping();
    }

    fn go_on_stopping(&mut self) {
        let connections = self.connections();
        let Some(stop) = &mut self.stop else { return };
        if !stop.is_taken {
            stop.is_taken = self.node.stop();
        }
        if stop.told.elapsed() >= PROGRESS_INTERVAL {
            stop.told = Instant::now();
            let seconds = stop.began.elapsed().as_secs();
            tracing::info!(connections, seconds, "still stopping");
        }
    }

    fn connections(&self) -> u64 {
        let shards = self.node.shards().iter();
        shards.map(|shard| shard.stats().connections.get()).sum()
    }
}
