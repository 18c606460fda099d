//! One thread of a run: its connections, and the turn that follows what arrives on them.
//!
//! A connection is a row in a table, not a task: all are waited for together, and what has arrived is
//! handled in one go.

mod handshake;
mod ramp;
mod receive;
mod returns;
mod slow;
mod turn;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::CreationError;
use ringmain_proto::ws::{ParserSettings, Role};
use ringmain_rt::{Alarm, Bell, ReadyList, Turns, Watch, driver};

use crate::busy::BusyTimes;
use crate::delivery::Deliveries;
use crate::job::Job;
use crate::layout::Layout;
use crate::links::Links;
use crate::load::Load;
use crate::measure::Record;
use crate::outgoing::Outgoing;
use crate::random::Random;
use ramp::Ramp;
use receive::Together;
use returns::Returns;
use turn::TurnState;

/// What one receive can take in; every connection of the thread receives into the same buffer.
const SCRATCH_BYTES: usize = 256 * 1024;
/// Sockets that are handled before the next turn.
const READY_MAX: usize = 1024;
/// The largest message that the parser puts together, if a larger one was not asked for: servers may
/// send other messages than ours.
const MESSAGE_BYTES_MIN: usize = 64 * 1024;

/// Why a thread could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Pinning, ring, timer, doorbell or waiting.
    #[error("{what}: {cause}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// Never with the bounds that are used.
    #[error("a histogram could not be made: {0}")]
    Histogram(#[from] CreationError),
}

impl WorkerError {
    /// Makes the error of what was being done.
    pub fn system(what: &'static str) -> impl Fn(io::Error) -> WorkerError {
        move |cause| WorkerError::System { what, cause }
    }
}

/// What a thread hands back at its end.
pub struct Outcome {
    /// Counts and measurements.
    pub record: Record,
    /// What is known of the messages.
    pub deliveries: Deliveries,
    /// CPU time, user and system, while measuring.
    pub cpu: Duration,
    /// CPU time while connections were opened, in `connect`, or came back after a storm; else nothing.
    pub busy_handshakes: BusyTimes,
    /// When the last connection was opened or failed, in the run's time.
    pub settled_ns: u64,
}

/// A thread's work.
pub struct Worker<L> {
    job: Arc<Job>,
    thread: usize,
    layout: Layout,
    turns: Rc<Turns>,
    alarm: Alarm,
    watch: Watch,
    parse: ParserSettings,
    state: RefCell<State<L>>,
}

/// What its tasks and turns change. Never borrowed across an await.
struct State<L> {
    links: Links,
    load: L,
    record: Record,
    out: Outgoing,
    scratch: Vec<u8>,
    together: Together,
    random: Random,
    ramp: Ramp,
    returns: Returns,
    turn: TurnState,
}

impl<L: Load + 'static> Worker<L> {
    /// Does one thread's part of a run, on the calling thread.
    ///
    /// # Errors
    /// The system refused what the thread needs. A connection that fails is not an error.
    pub fn run(
        job: Arc<Job>,
        thread: usize,
        bell: Bell,
        layout: Layout,
        load: L,
    ) -> Result<Outcome, WorkerError> {
        let record = Record::new(job.interval_ns)?;
        let backend = job.backend;
        let together = Together::new(backend, job.settings.sizes.bounds().1)
            .map_err(WorkerError::system("cannot make a ring"))?;
        driver::run(backend, async move {
            let worker = Rc::new(Worker {
                turns: Rc::default(),
                alarm: Alarm::new().map_err(WorkerError::system("cannot make a timer"))?,
                watch: Watch::new().map_err(WorkerError::system("cannot wait for sockets"))?,
                parse: ParserSettings {
                    role: Role::Client,
                    message_bytes_max: job.settings.sizes.bounds().1.max(MESSAGE_BYTES_MIN),
                    compression: false,
                },
                state: RefCell::new(State::new(&job, layout, load, record, together)),
                job,
                thread,
                layout,
            });
            worker.spawn_watchers(bell);
            let turning = worker.clone();
            worker.turns.clone().run(move || turning.turn()).await;
            worker.finish()
        })
        .map_err(WorkerError::system("cannot start the runtime"))?
    }

    /// Starts what requests turns: the doorbell, the alarm and the sockets.
    fn spawn_watchers(self: &Rc<Self>, bell: Bell) {
        let worker = self.clone();
        ringmain_rt::spawn(async move {
            let turns = worker.turns.clone();
            let result = bell.listen(move || turns.request()).await;
            worker.stop_at("cannot wait for the doorbell", result);
        });
        let worker = self.clone();
        ringmain_rt::spawn(async move {
            let result = worker.follow_alarm().await;
            worker.stop_at("cannot wait for the timer", result);
        });
        let worker = self.clone();
        ringmain_rt::spawn(async move {
            let result = worker.follow_sockets().await;
            worker.stop_at("cannot wait for sockets", result);
        });
    }

    async fn follow_alarm(&self) -> io::Result<()> {
        loop {
            self.alarm.rung().await?;
            self.turns.request();
        }
    }

    async fn follow_sockets(&self) -> io::Result<()> {
        let mut list = ReadyList::new(READY_MAX);
        loop {
            self.watch.ready().await?;
            self.watch.take(&mut list)?;
            let state = &mut *self.state.borrow_mut();
            let now_ns = self.job.clock.now_ns();
            state.record.turn(now_ns);
            self.begin_work(state, now_ns);
            self.handle_all(state, &list);
            self.turns.request();
        }
    }

    /// The thread cannot go on.
    fn stop_at(&self, what: &'static str, result: io::Result<()>) {
        if let Err(cause) = result {
            self.state.borrow_mut().turn.error = Some(WorkerError::system(what)(cause));
            self.turns.request();
        }
    }

    fn finish(&self) -> Result<Outcome, WorkerError> {
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.turn.error.take() {
            return Err(error);
        }
        state.record.finish();
        let mut deliveries = Deliveries::new(self.layout.publishers());
        state.load.account(&mut deliveries);
        Ok(Outcome {
            record: state.record.clone(),
            deliveries,
            cpu: state.turn.cpu_measured(),
            busy_handshakes: state.turn.busy.times().clone(),
            settled_ns: state.turn.settled_ns(),
        })
    }
}

impl<L: Load> State<L> {
    fn new(job: &Job, layout: Layout, load: L, record: Record, together: Together) -> Self {
        let (thread, _) = layout.thread();
        let mut random = Random::new(job.seed ^ thread as u64);
        let out = Outgoing::new(job.settings.mask, random.next());
        State {
            links: Links::new(layout.links()),
            load,
            record,
            out,
            scratch: vec![0; SCRATCH_BYTES],
            together,
            random,
            ramp: Ramp::default(),
            returns: Returns::default(),
            turn: TurnState::default(),
        }
    }
}
