//! Members that read slowly, or not at all.

use std::io;

use super::receive::Flow;
use super::{State, Worker};
use crate::clock::SECOND_NS;
use crate::failure::Failure;
use crate::load::{Due, Load};
use crate::stage::Stage;

/// Slow members read so often, in nanoseconds.
const STEP_NS: u64 = 100_000_000;
/// At the end of the run they have so long to read what is left and to see whether the server has closed them,
/// in nanoseconds.
const REST_NS: u64 = SECOND_NS;
/// What the kernel keeps for a slow member: with more, it would take in for the member what that does not read.
pub(super) const RECEIVE_BUFFER_BYTES: usize = 4096;

/// How far the slow members of a thread are.
#[derive(Default)]
pub(super) struct SlowReading {
    /// When they have read last; 0 before the first time.
    read_ns: u64,
    /// What each may read, in bytes times nanoseconds a second.
    credit: u128,
    /// Until when they read the rest.
    rest_until_ns: Option<u64>,
}

impl SlowReading {
    /// What each may read now, in bytes, at most `bytes_max`.
    fn allowance(&mut self, bytes_per_second: u32, now_ns: u64, bytes_max: usize) -> usize {
        let since_ns = now_ns - std::mem::replace(&mut self.read_ns, now_ns);
        self.credit += u128::from(since_ns) * u128::from(bytes_per_second);
        let bytes = (self.credit / u128::from(SECOND_NS)).min(bytes_max as u128);
        self.credit -= bytes * u128::from(SECOND_NS);
        bytes as usize
    }
}

impl<L: Load> Worker<L> {
    /// Whether what has arrived on a link is left there for now.
    pub(super) fn is_held_back(&self, link: usize) -> bool {
        self.layout.slow_links().contains(&link) && self.job.stage.get() != Stage::Close
    }

    /// Lets the slow members read what their time allows.
    pub(super) fn read_slowly(&self, state: &mut State<L>, now_ns: u64) -> Due {
        let bytes_per_second = match self.job.settings.slow {
            Some(slow) if slow.bytes_per_second > 0 => slow.bytes_per_second,
            _ => return Due::Never,
        };
        let reading = &mut state.turn.slow;
        if reading.read_ns == 0 {
            reading.read_ns = now_ns;
        }
        let next_ns = reading.read_ns + STEP_NS;
        if now_ns < next_ns {
            return Due::At(next_ns);
        }
        let bytes = reading.allowance(bytes_per_second, now_ns, state.scratch.len());
        for link in self.layout.slow_links() {
            if bytes > 0 && state.links.is_open(link) {
                self.receive_some(state, link, bytes);
            }
        }
        Due::At(now_ns + STEP_NS)
    }

    fn receive_some(&self, state: &mut State<L>, link: usize, bytes: usize) {
        let mut scratch = std::mem::take(&mut state.scratch);
        let received = state.links.get(link).receive(&mut scratch[..bytes]);
        let flow = match received {
            Ok(0) => Flow::Ends(Failure::Ended),
            Ok(bytes) => self.handle(state, link, &mut scratch[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flow::Goes,
            Err(error) => Flow::Ends(error.into()),
        };
        state.scratch = scratch;
        if let Flow::Ends(failure) = flow {
            self.end(state, link, failure);
        }
    }

    /// The run is over: the slow members read what is left, and so learn whether the server has closed them.
    /// Returns until when they do; `None` when they are done.
    pub(super) fn read_the_rest(&self, state: &mut State<L>, now_ns: u64) -> Option<u64> {
        if self.layout.slow_links().is_empty() {
            return None;
        }
        let until_ns = match state.turn.slow.rest_until_ns {
            Some(until_ns) => until_ns,
            None => {
                // What had arrived was reported when nobody read it; from now on the reports are followed.
                for link in self.layout.slow_links() {
                    if state.links.is_open(link) {
                        self.receive(state, link, true);
                    }
                }
                *state.turn.slow.rest_until_ns.insert(now_ns + REST_NS)
            }
        };
        (now_ns < until_ns).then_some(until_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_members_read_what_was_asked_for_however_often_they_do() {
        for step_ns in [7_000_003, 100_000_000, 333_333_333] {
            let mut reading = SlowReading::default();
            let steps = 30 * SECOND_NS / step_ns;
            let read: usize = (1..=steps)
                .map(|step| reading.allowance(19, step * step_ns, 4096))
                .sum();
            let exact = 19 * steps * step_ns / SECOND_NS;
            assert_eq!(read as u64, exact);
        }
    }
}
