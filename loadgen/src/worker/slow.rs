//! Members that read slowly, or not at all.

use std::io;

use super::receive::Flow;
use super::{State, Worker};
use crate::failure::Failure;
use crate::load::{Due, Load};
use crate::stage::Stage;

/// Slow members read so often, in nanoseconds; what they may read in that time they read at once.
const STEP_NS: u64 = 100_000_000;
const STEPS_PER_SECOND: usize = 10;
/// What the kernel keeps for a slow member: with more, it would take in for the member what that does not read.
pub(super) const RECEIVE_BUFFER_BYTES: usize = 4096;

impl<L: Load> Worker<L> {
    /// Whether what has arrived on a link is left there for now.
    pub(super) fn is_held_back(&self, link: usize) -> bool {
        self.layout.slow_links().contains(&link) && self.job.stage.get() != Stage::Close
    }

    /// Lets the slow members read what their time allows.
    pub(super) fn read_slowly(&self, state: &mut State<L>, now_ns: u64) -> Due {
        let bytes_per_second = match self.job.settings.slow {
            Some(slow) if slow.bytes_per_second > 0 => slow.bytes_per_second as usize,
            _ => return Due::Never,
        };
        if now_ns < state.turn.slow_ns {
            return Due::At(state.turn.slow_ns);
        }
        state.turn.slow_ns = now_ns + STEP_NS;
        let bytes = (bytes_per_second / STEPS_PER_SECOND).clamp(1, state.scratch.len());
        for link in self.layout.slow_links() {
            if state.links.is_open(link) {
                self.receive_some(state, link, bytes);
            }
        }
        Due::At(state.turn.slow_ns)
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
    pub(super) fn read_the_rest(&self, state: &mut State<L>) {
        for link in self.layout.slow_links() {
            if state.links.is_open(link) {
                self.receive(state, link, false);
            }
        }
    }
}
