//! One thread of a run: its connections, each a task, and the turn that follows them.

mod handshake;
mod ramp;
mod receive;
mod turn;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::CreationError;
use ringmain_proto::ws::{ParserSettings, Role};
use ringmain_rt::{Alarm, Bell, Socket, Turns, driver};

use crate::failure::Failure;
use crate::job::Job;
use crate::layout::Layout;
use crate::links::{Links, Progress};
use crate::load::Load;
use crate::measure::Record;
use crate::outgoing::Outgoing;
use crate::random::Random;
use crate::tally::Count;
use ramp::Ramp;
use receive::Flow;
use turn::TurnState;

/// What one receive can take in; every connection of the thread receives into the same buffer.
const SCRATCH_BYTES: usize = 256 * 1024;
/// The largest message that the parser puts together, if a larger one was not asked for: servers may
/// send other messages than ours.
const MESSAGE_BYTES_MIN: usize = 64 * 1024;

/// Why a thread could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Pinning, ring, alarm or doorbell.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Never with the bounds that are used.
    #[error("a histogram could not be made: {0}")]
    Histogram(#[from] CreationError),
}

/// What a thread hands back at its end.
pub struct Outcome {
    /// Counts and measurements.
    pub record: Record,
    /// CPU time, user and system, while measuring.
    pub cpu: Duration,
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
    random: Random,
    ramp: Ramp,
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
        let record = Record::new()?;
        let backend = job.backend;
        let system = |what| move |source| WorkerError::System { what, source };
        driver::run(backend, async move {
            let worker = Rc::new(Worker {
                turns: Rc::default(),
                alarm: Alarm::new().map_err(system("cannot make a timer"))?,
                parse: ParserSettings {
                    role: Role::Client,
                    message_bytes_max: job.settings.bytes.max(MESSAGE_BYTES_MIN),
                },
                state: RefCell::new(State::new(&job, layout, load, record)),
                job,
                thread,
                layout,
            });
            worker.clone().spawn_watchers(bell);
            let turns = worker.turns.clone();
            let turning = worker.clone();
            turns.run(move || turning.turn()).await;
            worker.finish()
        })
        .map_err(system("cannot start the runtime"))?
    }

    /// Requests a turn when the doorbell or the alarm rings.
    fn spawn_watchers(self: Rc<Self>, bell: Bell) {
        let worker = self.clone();
        ringmain_rt::spawn(async move {
            let turns = worker.turns.clone();
            if let Err(error) = bell.listen(move || turns.request()).await {
                worker.fail("cannot wait for the doorbell", error);
            }
        });
        ringmain_rt::spawn(async move {
            loop {
                if let Err(error) = self.alarm.rung().await {
                    return self.fail("cannot wait for the timer", error);
                }
                self.turns.request();
            }
        });
    }

    /// The thread cannot go on.
    fn fail(&self, what: &'static str, source: io::Error) {
        self.state.borrow_mut().turn.error = Some(WorkerError::System { what, source });
        self.turns.request();
    }

    fn finish(&self) -> Result<Outcome, WorkerError> {
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.turn.error.take() {
            return Err(error);
        }
        Ok(Outcome {
            record: state.record.clone(),
            cpu: state.turn.cpu_measured(),
            settled_ns: state.turn.settled_ns(),
        })
    }

    /// The life of one connection.
    async fn run_link(self: Rc<Self>, link: usize) {
        // In a box that goes with the handshake, so that an open connection's task is small.
        match Box::pin(self.open(link)).await {
            Ok(socket) => {
                let failure = self.follow(link, &socket).await;
                self.ended(link, failure);
            }
            Err(failure) => self.failed(link, failure),
        }
        self.turns.request();
    }

    async fn follow(self: &Rc<Self>, link: usize, socket: &Socket) -> Failure {
        loop {
            if let Err(error) = socket.readable().await {
                return error.into();
            }
            match self.receive(link, socket) {
                Flow::Goes => {}
                Flow::Ends(failure) => return failure,
            }
        }
    }

    /// A connection has not come to be.
    fn failed(&self, link: usize, failure: Failure) {
        let state = &mut *self.state.borrow_mut();
        let failure = match state.links.get(link).progress {
            Progress::TimedOut => Failure::HandshakeTimeout,
            _ => failure,
        };
        let kind = if failure.is_refusal() {
            Count::Refused
        } else {
            Count::Failed
        };
        state.record.tally[Count::Connecting] -= 1;
        state.record.tally[kind] += 1;
        state.record.failures.add(failure);
        state.links.detach(link);
    }

    /// An open connection is over.
    fn ended(&self, link: usize, failure: Failure) {
        let state = &mut *self.state.borrow_mut();
        state.record.tally[Count::Open] -= 1;
        // Once we have said that we close, the other side may end it as it likes.
        if state.links.get(link).progress == Progress::Open {
            state.record.tally[Count::Dropped] += 1;
            state.record.failures.add(failure);
            state.load.lost(link);
        }
        state.links.detach(link);
    }

    /// Waits for the sockets that did not take everything.
    fn spawn_flushers(self: &Rc<Self>, state: &mut State<L>) {
        while let Some((link, socket)) = state.links.take_stuck() {
            let worker = self.clone();
            ringmain_rt::spawn(async move {
                loop {
                    // A socket that cannot be waited for has failed; its other task says so.
                    if socket.writable().await.is_err() {
                        break;
                    }
                    if worker.state.borrow_mut().links.resume(link) {
                        break;
                    }
                }
                worker.turns.request();
            });
        }
    }
}

impl<L> State<L> {
    fn new(job: &Job, layout: Layout, load: L, record: Record) -> Self {
        let (thread, _) = layout.thread();
        let mut random = Random::new(job.seed ^ thread as u64);
        let out = Outgoing::new(job.settings.bytes, job.settings.mask, random.next());
        State {
            links: Links::new(layout.links()),
            load,
            record,
            out,
            scratch: vec![0; SCRATCH_BYTES],
            random,
            ramp: Ramp::default(),
            turn: TurnState::default(),
        }
    }
}
