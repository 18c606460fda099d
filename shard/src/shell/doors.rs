//! The listeners of a shard.

use super::Shell;
use crate::listening::{Door, Listening};

impl Shell {
    /// The listener of a door, if there is one.
    pub fn listening(&self, door: Door) -> Option<&Listening> {
        match door {
            Door::Plain => Some(&self.listening),
            Door::Tls => self.tls_listening.as_ref(),
        }
    }

    pub(super) fn listenings(&self) -> impl Iterator<Item = &Listening> {
        std::iter::once(&self.listening).chain(&self.tls_listening)
    }

    pub(super) fn has_shut(&self) -> bool {
        self.listenings().all(Listening::is_shut)
    }

    /// Accepts no more by this door. Who waits to be accepted is reset.
    pub fn stop_listening(&self, listening: &Listening) {
        listening.shut();
        self.stats.listening.set(u64::from(!self.has_shut()));
        self.turns.request();
    }
}
