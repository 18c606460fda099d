//! The turn: what a thread does after all its ready sockets.

use std::time::Duration;

use ringmain_proto::ws::{CloseCode, Opcode, encode};
use ringmain_rt::{Next, cpu};

use super::slow::SlowReading;
use super::{State, Worker, WorkerError};
use crate::busy::BusyMeter;
use crate::clock::{SECOND_NS, Window};
use crate::failure::Failure;
use crate::links::Progress;
use crate::load::{Due, Load, Sender, TURN_MESSAGES_MAX};
use crate::stage::Stage;
use crate::tally::Count;

/// How long the server may take to close one more of the connections.
const CLOSE_NS: u64 = 3 * SECOND_NS;
/// Connections that one turn begins to close.
const TURN_CLOSES_MAX: usize = 256;
/// Alarms are no closer together than this: at high rates the messages of so long go out together.
const ALARM_STEP_NS: u64 = 20_000;

/// How far the thread is in the run.
#[derive(Default)]
pub(super) struct TurnState {
    /// When the last connection was opened or failed.
    settled_ns: Option<u64>,
    /// The window, once sending has begun.
    window: Option<Window>,
    quiet: bool,
    cpu_from: Option<Duration>,
    cpu_to: Option<Duration>,
    closing: Closing,
    /// How busy the thread is with handshakes, where these are what is measured.
    pub(super) busy: BusyMeter,
    /// How the slow members read.
    pub(super) slow: SlowReading,
    /// Why the thread cannot go on.
    pub(super) error: Option<WorkerError>,
}

/// How far the thread is with closing its connections.
#[derive(Default)]
struct Closing {
    /// The next link to close.
    next: usize,
    /// When those that are still open are given up: some time after the last one that ended.
    deadline_ns: u64,
    /// How many were open in the last turn.
    open: u64,
}

impl TurnState {
    /// CPU time while measuring.
    pub(super) fn cpu_measured(&self) -> Duration {
        match (self.cpu_from, self.cpu_to) {
            (Some(from), Some(to)) => to.saturating_sub(from),
            _ => Duration::ZERO,
        }
    }

    /// When the last connection was opened or failed.
    pub(super) fn settled_ns(&self) -> u64 {
        self.settled_ns.unwrap_or(0)
    }
}

impl<L: Load> Worker<L> {
    /// One turn.
    pub(super) fn turn(&self) -> Next {
        self.job.bells.disarm(self.thread);
        let state = &mut *self.state.borrow_mut();
        if state.turn.error.is_some() {
            return Next::Stop;
        }
        let now_ns = self.job.clock.now_ns();
        // Before anything is done: after a long sleep it belongs to the present stretch, not to the last.
        state.record.turn(now_ns);
        self.begin_work(state, now_ns);
        let stage = self.job.stage.get();
        let due = match stage {
            Stage::Connect => self.connect(state, now_ns),
            Stage::Run(window) => self.send(state, window, now_ns),
            Stage::Close => match self.close(state, now_ns) {
                Some(due) => due,
                None => {
                    self.publish(state);
                    return Next::Stop;
                }
            },
        };
        self.publish(state);
        self.end_work(state);
        self.sleep_until(state, due, now_ns, stage)
    }

    /// The thread has something to do.
    pub(super) fn begin_work(&self, state: &mut State<L>, now_ns: u64) {
        if self.job.settings.measures_handshakes() {
            let counts = self.has_handshakes(state, now_ns);
            state.turn.busy.begin(now_ns, counts);
        }
    }

    /// A turn has done what there was to do.
    fn end_work(&self, state: &mut State<L>) {
        if self.job.settings.measures_handshakes() {
            let now_ns = self.job.clock.now_ns();
            let counts = self.has_handshakes(state, now_ns);
            state.turn.busy.end(now_ns, counts);
        }
    }

    /// Whether handshakes that are measured are due or under way. In a storm these are of those who come back: what they
    /// wait before, as the policy says, is no work that anybody waits for.
    fn has_handshakes(&self, state: &State<L>, now_ns: u64) -> bool {
        match (self.job.stage.get(), self.job.settings.storm) {
            (Stage::Connect, None) => state.turn.settled_ns.is_none(),
            (Stage::Run(_), Some(_)) => {
                state.returns.has_begun()
                    && (state.record.tally[Count::Connecting] > 0 || state.returns.is_due(now_ns))
            }
            _ => false,
        }
    }

    fn publish(&self, state: &State<L>) {
        let board = &self.job.boards[self.thread];
        board.publish(&state.record.tally);
        board.publish_failures(&state.record.failures);
    }

    fn connect(&self, state: &mut State<L>, now_ns: u64) -> Due {
        let due = self.ramp_up(state, now_ns);
        if state.turn.settled_ns.is_none() && self.is_settled(state) {
            state.turn.settled_ns = Some(now_ns);
            state.load.settled();
            self.publish(state);
            self.job.boards[self.thread].set_settled();
            self.job.control.unpark();
        }
        due
    }

    fn send(&self, state: &mut State<L>, window: Window, now_ns: u64) -> Due {
        match state.turn.window.replace(window) {
            None => {
                state.load.begin(window, &mut state.record);
                state
                    .returns
                    .begin(&self.job.settings, &self.layout, window);
            }
            Some(before) if before != window => {
                state.load.end_at(window.to_ns, &mut state.record);
                state.returns.end_at(window.to_ns);
            }
            Some(_) => {}
        }
        let measured = mark_cpu(&mut state.turn, window, now_ns);
        let mut sender = Sender {
            links: &mut state.links,
            out: &mut state.out,
            record: &mut state.record,
            budget: TURN_MESSAGES_MAX,
        };
        let due = state.load.turn(now_ns, &mut sender);
        let due = due
            .min(self.come_and_go(state, window, now_ns))
            .min(self.read_slowly(state, now_ns));
        // A visitor that came last is waited for: its handshake has a deadline.
        let is_settled = measured == Due::Never
            && (state.record.tally[Count::Connecting] == 0 || self.job.stage.is_cut_short());
        if !state.turn.quiet && is_settled && state.load.is_quiet(now_ns) {
            state.turn.quiet = true;
            self.publish(state);
            self.job.boards[self.thread].set_quiet();
            self.job.control.unpark();
        }
        due.min(measured)
    }

    /// Closes all connections; `None` once the last is over.
    fn close(&self, state: &mut State<L>, now_ns: u64) -> Option<Due> {
        let next = state.turn.closing.next;
        if let Some(until_ns) = self.read_the_rest(state, now_ns) {
            return Some(Due::At(until_ns));
        }
        if next == 0 && !self.job.stage.is_cut_short() {
            state.record.tally[Count::Failed] += state.returns.waiting();
        }
        let end = (next + TURN_CLOSES_MAX).min(state.links.len());
        for link in next..end {
            self.begin_closing(state, link);
        }
        let open = state.record.tally[Count::Open];
        let closing = &mut state.turn.closing;
        closing.next = end;
        if next < end || open != closing.open {
            closing.open = open;
            closing.deadline_ns = now_ns + CLOSE_NS;
        }
        if end < state.links.len() {
            return Some(Due::Now);
        }
        if open == 0 {
            return None;
        }
        if now_ns < state.turn.closing.deadline_ns {
            return Some(Due::At(state.turn.closing.deadline_ns));
        }
        self.give_up(state);
        None
    }

    pub(super) fn begin_closing(&self, state: &mut State<L>, link: usize) {
        match state.links.get(link).progress {
            Progress::Open => {
                let payload = encode::close_payload(CloseCode::NORMAL, "");
                state.out.push_control(Opcode::Close, &payload);
                state.links.get(link).send(&mut state.out);
                state.links.get(link).progress = Progress::Closing;
            }
            // A visitor that came last; or another thread could not go on, and the run is over before its time.
            Progress::Connecting => self.fail(state, link, Failure::HandshakeTimeout),
            Progress::Waiting | Progress::Closing | Progress::Ended => {}
        }
    }

    /// Ends what the server has not closed.
    fn give_up(&self, state: &mut State<L>) {
        for link in 0..state.links.len() {
            if state.links.get(link).progress == Progress::Closing {
                state.record.failures.add(Failure::CloseTimeout);
                self.end(state, link, Failure::CloseTimeout);
            }
        }
    }

    /// What follows the turn: sleep, unless something is to be done.
    fn sleep_until(&self, state: &mut State<L>, due: Due, now_ns: u64, stage: Stage) -> Next {
        let at_ns = match due {
            Due::Now => return Next::Again,
            Due::At(at_ns) => Some(at_ns.max(now_ns + ALARM_STEP_NS)),
            Due::Never => None,
        };
        if let Some(at_ns) = at_ns
            && let Err(cause) = self.alarm.set(self.job.clock.instant(at_ns))
        {
            state.turn.error = Some(WorkerError::system("cannot set a timer")(cause));
            return Next::Stop;
        }
        let load = &state.load;
        let nothing_waits = || self.job.stage.get() == stage && !load.has_news();
        if self.job.bells.arm(self.thread, nothing_waits) {
            Next::SleepUntil(None)
        } else {
            Next::Again
        }
    }
}

/// Takes the CPU time at the beginning and the end of the measurement, each in the first turn after it. A run that is cut
/// short may end before it is to begin.
fn mark_cpu(turn: &mut TurnState, window: Window, now_ns: u64) -> Due {
    for (mark, at_ns) in [
        (&mut turn.cpu_from, window.from_ns.min(window.to_ns)),
        (&mut turn.cpu_to, window.to_ns),
    ] {
        if mark.is_none() {
            if now_ns < at_ns {
                return Due::At(at_ns);
            }
            *mark = Some(cpu::thread_time());
        }
    }
    Due::Never
}
