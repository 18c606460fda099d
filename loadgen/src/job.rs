//! What the threads of a run share.

use std::thread::Thread;

use ringmain_rt::{Backend, Bell};

use crate::bells::Bells;
use crate::clock::{Clock, to_ns};
use crate::failure::Failures;
use crate::intervals::interval_ns;
use crate::plan::Plan;
use crate::settings::Settings;
use crate::stage::StageCell;
use crate::tally::{Board, Count, Tally};

use std::io;
use std::sync::Arc;

/// One run: what is to be done, and what the threads tell each other. Only the boards change.
#[derive(Debug)]
pub struct Job {
    /// What is asked for.
    pub settings: Settings,
    /// How it is laid out.
    pub plan: Plan,
    /// The driver of all threads.
    pub backend: Backend,
    /// The run's name in its messages.
    pub run: u32,
    /// Where the run's numbers that look random come from.
    pub seed: u64,
    /// How long the stretches are in which it is recorded.
    pub interval_ns: u64,
    /// The run's time.
    pub clock: Clock,
    /// The stage.
    pub stage: StageCell,
    /// By thread.
    pub boards: Vec<Board>,
    /// By thread.
    pub bells: Arc<Bells>,
    /// Waits for the threads.
    pub control: Thread,
}

/// How long a run is planned to last, in nanoseconds: how long connecting takes is known where it has a rate.
fn planned_ns(settings: &Settings) -> u64 {
    let connecting_ns = settings
        .handshake_rate
        .map_or(0, |rate| to_ns(f64::from(settings.connections) / rate));
    connecting_ns
        .saturating_add(settings.warmup_ns)
        .saturating_add(settings.duration_ns)
}

impl Job {
    /// A run that begins now, controlled by the calling thread; and its threads' doorbells.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(
        settings: Settings,
        plan: Plan,
        backend: Backend,
        seed: u64,
    ) -> io::Result<(Job, Vec<Bell>)> {
        let (bells, wakes) = Bells::new(plan.threads)?;
        let job = Job {
            boards: (0..plan.threads).map(|_| Board::default()).collect(),
            interval_ns: interval_ns(planned_ns(&settings)),
            settings,
            plan,
            backend,
            run: seed as u32,
            seed,
            clock: Clock::start(),
            stage: StageCell::default(),
            bells: Arc::new(bells),
            control: std::thread::current(),
        };
        Ok((job, wakes))
    }

    /// All threads' counters, as they were shown last.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.boards.iter().for_each(|board| sum.add(&board.read()));
        sum
    }

    /// All threads' failures, as they were shown last.
    pub fn failures(&self) -> Failures {
        let mut sum = Failures::default();
        self.boards
            .iter()
            .for_each(|board| sum.merge(&board.failures()));
        sum
    }

    /// Whether every connection has been opened or has failed.
    pub fn is_settled(&self) -> bool {
        self.boards.iter().all(Board::is_settled)
    }

    /// Whether no thread will send more messages.
    pub fn is_quiet(&self) -> bool {
        self.boards.iter().all(Board::is_quiet)
    }

    /// Whether every message has arrived that was sent; only meaningful when all are quiet.
    pub fn is_complete(&self) -> bool {
        let tally = self.tally();
        tally[Count::Received] >= tally[Count::Expected]
    }
}
