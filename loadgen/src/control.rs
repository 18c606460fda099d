//! The control thread: starts the workers, leads them through the stages, and gathers what they found.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ringmain_rt::thread::{self, ThreadSetup};
use ringmain_rt::{Backend, Bell, clock, cpu};

use crate::busy::BusyTimes;
use crate::clock::{SECOND_NS, Window};
use crate::delivery::Deliveries;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::layout::Layout;
use crate::load::Load;
use crate::load::echo::Echo;
use crate::load::rooms::{Publishing, Rooms, SharedRooms};
use crate::measure::Record;
use crate::observe::{Observer, TargetFindings};
use crate::plan::Plan;
use crate::report::progress::Progress;
use crate::report::timeline::Timeline;
use crate::settings::{Settings, Work};
use crate::tally::Count;
use crate::worker::{Outcome, Worker, WorkerError};

/// How often the control thread looks while nothing is announced.
const LOOK: Duration = Duration::from_millis(50);
/// How often it looks while the last messages are awaited.
const LOOK_DRAINING: Duration = Duration::from_millis(5);

/// A run that is cut short ends so long after that is decided, so that every thread has heard of it by then.
const CUT_NS: u64 = 50_000_000;

/// How often a soak looks at the target's memory.
const MEMORY_POINTS: u64 = 200;

/// A run that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No thread, no descriptors.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// A worker could not go on.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// A worker panicked.
    #[error("a thread panicked: this is a bug in ringmain-load")]
    Panic,
}

/// What a run found.
pub struct Findings {
    /// Counts and measurements of all threads.
    pub record: Record,
    /// The measurement in the run's time; `None` if no connection was opened.
    pub window: Option<Window>,
    /// The beginning and the end of the measurement by CLOCK_MONOTONIC.
    pub window_monotonic: Option<(Duration, Duration)>,
    /// CPU time of each worker while measuring, and of the control thread.
    pub cpu: Vec<Duration>,
    /// CPU time of each worker while connections were opened, in `connect`, or came back after a storm.
    pub busy_handshakes: Vec<BusyTimes>,
    /// The run in stretches.
    pub timeline: Timeline,
    /// The proof of delivery.
    pub deliveries: Deliveries,
    /// What was found of the target.
    pub target: Option<TargetFindings>,
    /// From the start until the last connection was opened or failed.
    pub connect_ns: u64,
    /// Somebody ended the run before its time.
    pub interrupted: bool,
}

type Worked = Result<Outcome, WorkerError>;

/// Carries a run out.
///
/// # Errors
/// A thread could not be started or could not go on. Failed connections and lost messages are findings.
pub fn run(
    settings: Settings,
    plan: Plan,
    backend: Backend,
    seed: u64,
    observer: Observer,
    interrupt: Interrupt,
) -> Result<Findings, ControlError> {
    let progress = Progress::new(&settings);
    let (job, bells) = Job::new(settings, plan, backend, seed).map_err(ControlError::Start)?;
    let zero = clock::monotonic().saturating_sub(Duration::from_nanos(job.clock.now_ns()));
    let job = Arc::new(job);
    let workers = start(&job, bells)?;
    let mut control = Control {
        job,
        workers,
        progress,
        observer,
        interrupt,
        cpu_from: None,
        cpu_to: None,
        connecting_cut_ns: 0,
    };
    control.observer.before_connecting();
    let window = control.lead();
    control.finish(window, zero)
}

/// Starts a thread for each bell.
fn start(job: &Arc<Job>, bells: Vec<Bell>) -> Result<Vec<JoinHandle<Worked>>, ControlError> {
    let threads = job.plan.threads;
    let layouts: Vec<_> = (0..threads)
        .map(|thread| Layout::new(&job.settings, threads, thread))
        .collect();
    let (publishing, own) = match job.settings.work {
        Work::Echo { pace } => {
            let run = job.run;
            return spawn_all(job, bells, &layouts, |layout| {
                Echo::new(layout, run, job.settings.sizes.clone(), pace)
            });
        }
        Work::Fanout { pace, own, .. } => (Publishing::By(pace), own),
        Work::Idle { probe: true, .. } => (Publishing::Probe, false),
        Work::Idle { probe: false, .. } => (Publishing::Nothing, false),
    };
    let shared = Arc::new(SharedRooms::new(&layouts, publishing));
    spawn_all(job, bells, &layouts, |layout| {
        let messages = (job.run, job.settings.sizes.clone());
        let bells = job.bells.clone();
        Rooms::new(layout, shared.clone(), bells, publishing, own, messages)
    })
}

fn spawn_all<L: Load + Send + 'static>(
    job: &Arc<Job>,
    bells: Vec<Bell>,
    layouts: &[Layout],
    load: impl Fn(Layout) -> L,
) -> Result<Vec<JoinHandle<Worked>>, ControlError> {
    let spawn = |(thread, bell): (usize, Bell)| {
        let (job, layout) = (job.clone(), layouts[thread]);
        let load = load(layout);
        let setup = ThreadSetup {
            name: format!("load-{thread}"),
            cpu: job.plan.cpu(thread),
            keep: job.bells.fds().chain([bell.fd()]).collect(),
        };
        let work = move |_, pinned: io::Result<()>| {
            pinned.map_err(WorkerError::system("cannot pin a thread to its core"))?;
            Worker::run(job, thread, bell, layout, load)
        };
        thread::spawn(setup, work).map_err(ControlError::Start)
    };
    bells.into_iter().enumerate().map(spawn).collect()
}

struct Control {
    job: Arc<Job>,
    workers: Vec<JoinHandle<Worked>>,
    progress: Progress,
    observer: Observer,
    cpu_from: Option<Duration>,
    cpu_to: Option<Duration>,
    interrupt: Interrupt,
    /// When connecting was cut short.
    connecting_cut_ns: u64,
}

impl Control {
    /// Leads the workers through the stages. Returns the measurement's times, if there was one.
    fn lead(&mut self) -> Option<Window> {
        self.wait(LOOK, "connecting", |control| {
            control.job.is_settled() || control.interrupt.is_asked()
        });
        let connected = self.job.tally()[Count::Connected];
        let window = if self.interrupt.is_asked() {
            self.connecting_cut_ns = self.job.clock.now_ns();
            self.cut_short(self.connecting_cut_ns);
            None
        } else {
            (connected > 0).then(|| self.measure())
        };
        self.job.stage.close();
        self.job.bells.wake_all();
        self.wait(LOOK, "closing", |control| {
            control.workers.iter().all(JoinHandle::is_finished)
        });
        self.progress.clear();
        window
    }

    fn measure(&mut self) -> Window {
        let settings = &self.job.settings;
        let begin_ns = self.job.clock.now_ns();
        let from_ns = begin_ns + settings.warmup_ns;
        let mut window = Window {
            begin_ns,
            from_ns,
            to_ns: from_ns + settings.duration_ns,
        };
        let holding = matches!(settings.work, Work::Idle { .. });
        self.job.stage.run(window);
        self.job.bells.wake_all();
        let clock = self.job.clock;
        self.wait(LOOK, "warming up", |control| {
            clock.now_ns() >= window.from_ns || control.interrupt.is_asked()
        });
        self.observer.measuring();
        self.cpu_from = Some(cpu::thread_time());
        let words = match (self.job.settings.storm, holding) {
            (Some(_), _) => "coming back",
            (None, true) => "holding",
            (None, false) => "measuring",
        };
        let notes_memory = self.job.settings.growth_max.is_some();
        let step_ns = (self.job.settings.duration_ns / MEMORY_POINTS).max(SECOND_NS / 4);
        self.wait(LOOK, words, |control| {
            let now_ns = clock.now_ns();
            if notes_memory {
                control.observer.note_memory(now_ns, step_ns);
            }
            if control.interrupt.is_asked() && !control.job.stage.is_cut_short() {
                window.to_ns = window.to_ns.min(now_ns + CUT_NS);
                control.cut_short(window.to_ns);
            }
            now_ns >= window.to_ns
        });
        self.cpu_to = Some(cpu::thread_time());
        self.observer.measured(self.job.tally()[Count::Open]);
        self.wait(LOOK_DRAINING, words, |control| control.job.is_quiet());
        self.drain();
        window
    }

    /// Ends sending and measuring at this time.
    fn cut_short(&self, to_ns: u64) {
        self.progress.say(
            "interrupted: the run ends here, and its result follows; once more to stop at once",
        );
        self.job.stage.cut_short(to_ns);
        self.job.bells.wake_all();
    }

    /// Waits until every message has arrived, or for some time none has.
    fn drain(&mut self) {
        let (clock, drain_ns) = (self.job.clock, self.job.settings.drain_ns);
        let mut received = None;
        let mut since_ns = clock.now_ns();
        self.wait(LOOK_DRAINING, "waiting for the last messages", |control| {
            let now_ns = clock.now_ns();
            let received_now = Some(control.job.tally()[Count::Received]);
            if received != received_now {
                received = received_now;
                since_ns = now_ns;
            }
            control.job.is_complete() || now_ns - since_ns >= drain_ns
        });
    }

    /// Waits until `done` says so, or a worker has ended early: then it cannot go on, and the run is over.
    fn wait(
        &mut self,
        look: Duration,
        words: &'static str,
        mut done: impl FnMut(&mut Self) -> bool,
    ) {
        while !done(self) && !self.workers.iter().any(JoinHandle::is_finished) {
            self.progress.show(words, &self.job);
            std::thread::park_timeout(look);
        }
    }

    fn finish(self, window: Option<Window>, zero: Duration) -> Result<Findings, ControlError> {
        let interval_ns = self.job.interval_ns;
        let mut record = Record::new(interval_ns).map_err(WorkerError::from)?;
        let interrupted = self.job.stage.is_cut_short();
        let (mut cpu, mut connect_ns) = (Vec::new(), self.connecting_cut_ns);
        let mut busy_handshakes = Vec::new();
        let (mut intervals, mut deliveries) = (Vec::new(), None);
        for worker in self.workers {
            let outcome = worker.join().map_err(|_| ControlError::Panic)??;
            record.merge(&outcome.record);
            intervals.push(outcome.record.intervals.into_done());
            match &mut deliveries {
                None => deliveries = Some(outcome.deliveries),
                Some(deliveries) => deliveries.merge(&outcome.deliveries),
            }
            cpu.push(outcome.cpu);
            busy_handshakes.push(outcome.busy_handshakes);
            connect_ns = connect_ns.max(outcome.settled_ns);
        }
        if let (Some(from), Some(to)) = (self.cpu_from, self.cpu_to) {
            cpu.push(to - from);
        }
        // The target has worked for those who come and go, and for those who read slowly, as for all others.
        let measured =
            record.tally[Count::ReceivedMeasured] + record.tally[Count::ReceivedAsideMeasured];
        Ok(Findings {
            target: self.observer.findings(measured),
            window,
            window_monotonic: window.map(|window| {
                let at = |ns| zero + Duration::from_nanos(ns);
                (at(window.from_ns), at(window.to_ns))
            }),
            cpu,
            busy_handshakes,
            timeline: Timeline::new(intervals, interval_ns),
            deliveries: deliveries.unwrap_or_default(),
            connect_ns,
            interrupted,
            record,
        })
    }
}
