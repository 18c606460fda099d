//! How fast a shard accepts: its part of the node's rate.

use std::cell::Cell;

use ringmain_core::RateLimit;
use ringmain_core::gcra::Gcra;

use crate::shell::Shell;

/// What a shard has accepted.
#[derive(Default)]
pub struct AcceptPace {
    accepted: Cell<Gcra>,
    /// It waits already: to look once more is no other wait.
    waits: Cell<bool>,
}

impl Shell {
    /// For how long nobody may be accepted, if so; in milliseconds. Costs nothing where no rate is set.
    pub fn accept_pace_ms(&self) -> Option<u64> {
        let rate = self.accept_rate()?;
        let pace = self.accept_pace();
        let wait_ms = pace.accepted.get().wait_ms(self.now(), rate, 1);
        if wait_ms == 0 {
            pace.waits.set(false);
            return None;
        }
        if !pace.waits.replace(true) {
            self.stats().rates_exceeded[RateLimit::Accepts as usize].add(1);
        }
        Some(wait_ms)
    }

    /// Somebody was accepted.
    pub fn count_accepted(&self) {
        if let Some(rate) = self.accept_rate() {
            let pace = self.accept_pace();
            let mut accepted = pace.accepted.get();
            accepted.charge(self.now(), rate, 1);
            pace.accepted.set(accepted);
        }
    }
}
