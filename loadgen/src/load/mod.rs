//! The kinds of load: what is sent when, and what must arrive.

pub mod echo;
pub mod rooms;
mod visits;

use crate::clock::Window;
use crate::delivery::Deliveries;
use crate::links::Links;
use crate::measure::Record;
use crate::outgoing::Outgoing;
use crate::payload::Stamp;
use crate::schedule::Schedule;
use crate::tally::Count;

/// Messages that one turn sends before other connections have their turn.
pub const TURN_MESSAGES_MAX: u32 = 512;

/// When something is to be done next. The earlier is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// At once, after the sockets that are ready.
    Now,
    /// At this time of the run.
    At(u64),
    /// Not before something arrives.
    Never,
}

impl From<Option<u64>> for Due {
    fn from(at_ns: Option<u64>) -> Self {
        at_ns.map_or(Due::Never, Due::At)
    }
}

/// One kind of load, at one thread.
pub trait Load {
    /// A connection is open, be it for the first time or again.
    fn opened(&mut self, link: usize);

    /// Every connection of the thread has been opened or has failed.
    fn settled(&mut self);

    /// An open connection has ended.
    fn lost(&mut self, link: usize);

    /// All connections of the run are settled, and messages may be sent in the window.
    fn begin(&mut self, window: Window, record: &mut Record);

    /// Sending ends at this time, before that of the window.
    fn end_at(&mut self, to_ns: u64, record: &mut Record);

    /// A message has arrived; answers go into `out`.
    fn message(
        &mut self,
        link: usize,
        message: &[u8],
        now_ns: u64,
        record: &mut Record,
        out: &mut Outgoing,
    );

    /// Sends what is due, once [`begin`](Self::begin) has been called.
    fn turn(&mut self, now_ns: u64, sender: &mut Sender<'_>) -> Due;

    /// Whether nothing more will be sent.
    fn is_quiet(&self, now_ns: u64) -> bool;

    /// Adds what this thread knows of the messages: those that its publishers sent, and those that its
    /// connections received.
    fn account(&self, deliveries: &mut Deliveries);

    /// Whether another thread has given it something to do since its last turn.
    fn has_news(&self) -> bool;
}

/// Sends messages in a turn.
pub struct Sender<'a> {
    /// The thread's connections.
    pub links: &'a mut Links,
    /// The frames for one of them.
    pub out: &'a mut Outgoing,
    /// The thread's counters.
    pub record: &'a mut Record,
    /// Messages that this turn may still send.
    pub budget: u32,
}

impl Sender<'_> {
    /// Takes one message from the budget; false if none is left.
    pub fn take_budget(&mut self) -> bool {
        let left = self.budget.checked_sub(1);
        self.budget = left.unwrap_or(0);
        left.is_some()
    }

    /// Adds a message that goes out with the next [`flush`](Self::flush).
    pub fn push(&mut self, stamp: Stamp, bytes: usize) {
        self.record.tally[Count::Sent] += 1;
        self.out.push(stamp, bytes);
    }

    /// Sends what was added, to one connection.
    pub fn flush(&mut self, link: usize) {
        self.links.get(link).send(self.out);
    }
}

/// An open loop at work: its schedule, and the publishers that are behind it.
pub struct OpenLoop {
    schedule: Schedule,
    behind: Vec<usize>,
    ended: bool,
}

impl OpenLoop {
    /// Begins a schedule. A publisher's number is its link's.
    pub fn new(schedule: Schedule) -> Self {
        OpenLoop {
            schedule,
            behind: Vec::new(),
            ended: false,
        }
    }

    /// Sends what is due; `push` makes the message of a link with this number and time.
    pub fn turn(
        &mut self,
        now_ns: u64,
        sender: &mut Sender<'_>,
        mut push: impl FnMut(usize, u64, u64, &mut Sender<'_>),
    ) -> Due {
        let mut waiting = std::mem::take(&mut self.behind);
        waiting.retain(|&link| !self.catch_up(link, now_ns, sender, &mut push));
        self.behind = waiting;
        while sender.take_budget() {
            let Some(link) = self.schedule.advance(now_ns) else {
                let next_ns = self.schedule.next_ns();
                if next_ns.is_none() && !self.ended {
                    self.ended = true;
                    self.count_unsent(sender);
                }
                return next_ns.into();
            };
            let caught_up = self.catch_up(link, now_ns, sender, &mut push);
            // With more than one message behind it is in the list already.
            if !caught_up && self.schedule.behind(link) == 1 {
                self.behind.push(link);
            }
        }
        Due::Now
    }

    /// Sends all that is due of one publisher. A full socket stops the publisher, not the clock: its
    /// messages go out later, with their own times, and the answer is false.
    fn catch_up(
        &mut self,
        link: usize,
        now_ns: u64,
        sender: &mut Sender<'_>,
        push: &mut impl FnMut(usize, u64, u64, &mut Sender<'_>),
    ) -> bool {
        if !sender.links.is_open(link) {
            return true;
        }
        if sender.links.is_stuck(link) {
            return false;
        }
        while let Some((number, due_ns)) = self.schedule.take(link) {
            sender.record.sent_late(due_ns, now_ns);
            push(link, number, due_ns, sender);
        }
        sender.flush(link);
        true
    }

    /// Nothing is due from this time on.
    pub fn end_at(&mut self, to_ns: u64) {
        self.schedule.end_at(to_ns);
    }

    /// Whether all has been sent that will be.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    fn count_unsent(&mut self, sender: &mut Sender<'_>) {
        let unsent: u64 = self
            .behind
            .iter()
            .map(|&link| self.schedule.behind(link))
            .sum();
        sender.record.tally[Count::Unsent] += unsent;
        self.behind.clear();
    }
}
