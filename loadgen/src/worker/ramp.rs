//! Opening a thread's connections: how many at once, how fast, and how long each may take.

use std::collections::VecDeque;

use super::{State, Worker};
use crate::clock::to_ns;
use crate::failure::Failure;
use crate::load::{Due, Load};
use crate::tally::Count;

/// Connections that one turn begins: each costs some 20 us, in which nothing else is received.
pub(super) const TURN_CONNECTS_MAX: usize = 32;

/// How far the thread is with its connections.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    /// The next link to begin.
    next: usize,
    /// Handshakes that were due had to wait for others to end: what is late now is the server's doing.
    is_held_up: bool,
    /// When handshakes must be over, the earliest first.
    deadlines: VecDeque<(u64, usize)>,
}

impl Ramp {
    /// A handshake that has just begun must be over by this time.
    pub(super) fn expect_by(&mut self, deadline_ns: u64, link: usize) {
        self.deadlines.push_back((deadline_ns, link));
    }
}

impl<L: Load> Worker<L> {
    /// Begins as many connections as may be under way, and ends handshakes that take too long.
    pub(super) fn ramp_up(&self, state: &mut State<L>, now_ns: u64) -> Due {
        let next = self.begin_connections(state, now_ns);
        // After it, since those that have just begun have a deadline too.
        next.min(self.end_late_handshakes(state, now_ns))
    }

    fn begin_connections(&self, state: &mut State<L>, now_ns: u64) -> Due {
        let settings = &self.job.settings;
        for _ in 0..TURN_CONNECTS_MAX {
            let link = state.ramp.next;
            if link == self.layout.initial_links() {
                return Due::Never;
            }
            let under_way = state.record.tally[Count::Connecting];
            if under_way >= u64::from(settings.handshakes_max) {
                state.ramp.is_held_up = true;
                return Due::Never;
            }
            // The run's connections take turns over the threads, so each thread knows its own times.
            let due_ns = settings
                .handshake_rate
                .map_or(now_ns, |rate| to_ns(f64::from(self.layout.id(link)) / rate));
            if due_ns > now_ns {
                state.ramp.is_held_up = false;
                return Due::At(due_ns);
            }
            if !state.ramp.is_held_up {
                state
                    .record
                    .handshakes_lag
                    .saturating_record(now_ns - due_ns);
            }
            state.ramp.next += 1;
            state.record.tally[Count::Connecting] += 1;
            if let Err(failure) = self.begin_connecting(state, link, due_ns) {
                self.fail(state, link, failure);
            }
        }
        Due::Now
    }

    pub(super) fn end_late_handshakes(&self, state: &mut State<L>, now_ns: u64) -> Due {
        while let Some(&(deadline_ns, link)) = state.ramp.deadlines.front() {
            // The handshake may be over, and the link in another one by now.
            let handshake = state.links.get(link).handshake.as_ref();
            if handshake.is_some_and(|handshake| handshake.deadline_ns == deadline_ns) {
                if deadline_ns > now_ns {
                    return Due::At(deadline_ns);
                }
                self.fail(state, link, Failure::HandshakeTimeout);
            }
            state.ramp.deadlines.pop_front();
        }
        Due::Never
    }

    /// Whether every connection has been opened or has failed.
    pub(super) fn is_settled(&self, state: &State<L>) -> bool {
        state.ramp.next == self.layout.initial_links() && state.record.tally[Count::Connecting] == 0
    }
}
