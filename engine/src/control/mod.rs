//! The control plane: admin server, watchdog and signals, on one thread beside the shards.

pub mod admin;
mod certificates;
pub mod closing;
mod cluster_page;
pub mod commands;
mod ending;
pub mod numbers;
mod reloading;
pub mod watchdog;
mod withheld;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringmain_core::stats::Cell64;
use ringmain_nats::Handle;
use ringmain_shard::{Node, ShardError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster::plain_limits;
use crate::fatal;
use certificates::Watching;
use closing::Closing;
use ending::Ending;
use numbers::Numbers;
pub use reloading::Reloading;
use watchdog::{SAMPLE_INTERVAL, Sight, TURN_ENDLESS, TURN_LONG, Watch};
use withheld::Withheld;

/// A signal so soon after the first is the same one again: `timeout` and some supervisors send it to
/// the process and to its group.
const SIGNAL_ECHO: Duration = Duration::from_millis(500);

/// How serving came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By a signal, everything closed in order.
    Stopped,
    /// By a second signal, or because it took too long, with connections open.
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

/// The signals that the process answers to. While it exists, they do not kill it.
pub struct Signals {
    hang_up: Signal,
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
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
        }
    }
}

/// What a signal asks for.
enum Asked {
    /// To read the configuration again.
    Reload,
    /// To end; the signal's name.
    End(&'static str),
}

/// Watches over a running node.
pub struct Control {
    node: Node,
    watches: Vec<Watch>,
    stalls: Arc<[Cell64]>,
    numbers: Arc<Numbers>,
    reloading: Reloading,
    withheld: Withheld,
    certificates: Watching,
    sampled: Instant,
    ending: Option<Ending>,
    cluster: Option<Handle>,
    closing: Closing,
}

impl Control {
    /// Watches over this node; `stalls` counts the long turns of each shard, `numbers` what happens here, and `closing` takes
    /// orders to close connections.
    pub fn new(
        node: Node,
        stalls: Arc<[Cell64]>,
        numbers: Arc<Numbers>,
        reloading: Reloading,
        closing: Closing,
    ) -> Self {
        let mut certificates = Watching::default();
        certificates.note(reloading.stamps());
        Control {
            certificates,
            withheld: Withheld::new(
                (node.shards().iter())
                    .map(|shard| shard.stats().clone())
                    .collect(),
            ),
            watches: node.shards().iter().map(|_| Watch::default()).collect(),
            node,
            stalls,
            numbers,
            reloading,
            sampled: Instant::now(),
            ending: None,
            cluster: None,
            closing,
        }
    }

    /// The node is linked to others by this.
    pub fn link(&mut self, cluster: Option<Handle>) {
        self.cluster = cluster;
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
                    self.go_on_reloading();
                    self.closing.go_on(&self.node);
                    self.watch_certificates();
                    self.withheld.tell();
                    self.tell_cluster();
                    self.go_on_ending();
                    if self.ending.as_ref().is_some_and(Ending::is_overdue) {
                        let connections = self.connections();
                        tracing::error!(connections, "the drain takes longer than it may: ending at once");
                        return Ok(Outcome::Cut);
                    }
                    if !self.ending.as_ref().is_some_and(Ending::is_stopping)
                        && let Some(shard) = self.node.shards().iter().find(|shard| shard.is_finished())
                    {
                        fatal::die(&format!("shard {} has ended without being asked to", shard.index()));
                    }
                }
                _ = self.closing.next() => self.closing.go_on(&self.node),
                asked = signals.next() => match (asked, &self.ending) {
                    (Asked::Reload, _) => self.reload(),
                    (Asked::End(name), None) => self.begin_to_end(name),
                    (Asked::End(_), Some(ending)) if ending.age() < SIGNAL_ECHO => {}
                    (Asked::End(name), Some(_)) => {
                        let connections = self.connections();
                        tracing::warn!(signal = name, connections, "a second signal: ending at once");
                        return Ok(Outcome::Cut);
                    }
                },
            }
        }
        let was_asked = self.ending.is_some();
        self.node.join()?;
        if !was_asked {
            return Err(ControlError::Unasked);
        }
        if let Some(cluster) = &self.cluster {
            cluster.leave().await;
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

    /// What the link has to know of this node.
    fn tell_cluster(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.load(self.connections());
            let rooms = &self.node.policy().rooms;
            cluster.limit(plain_limits(self.reloading.settings(), rooms));
        }
    }

    fn connections(&self) -> u64 {
        let shards = self.node.shards().iter();
        shards.map(|shard| shard.stats().connections.get()).sum()
    }
}
