//! The limiters of what is rated for the whole node, as far as this shard has them.

use ringmain_router::lease::{Rated, RatedMap};

use crate::gcra::{Gcra, Rate};
use crate::tick::Tick;

/// Limiters before a first sweep.
const SWEEP_FROM: usize = 256;

/// A limiter for everything that was used of late. What has not been used for as long as its burst takes is as if it had never
/// been, and forgotten.
#[derive(Debug, Default)]
pub struct Lender {
    limiters: RatedMap<Gcra>,
    sweep_at_len: usize,
}

impl Lender {
    /// Takes back what was not used, and lends as much of what is wanted as the rate allows. Returns how much; or for how
    /// many milliseconds there is nothing.
    ///
    /// # Errors
    /// That time.
    pub fn lend(
        &mut self,
        now: Tick,
        of: Rated,
        rate: Rate,
        wanted: u64,
        unused: u64,
    ) -> Result<u64, u64> {
        self.sweep(now);
        let limiter = self.limiters.entry(of).or_default();
        limiter.give_back(rate, unused);
        match limiter.take_up_to(now, rate, wanted) {
            0 => Err(limiter.wait_ms(now, rate, 1)),
            lent => Ok(lent),
        }
    }

    /// Limiters that are remembered.
    pub fn len(&self) -> usize {
        self.limiters.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.limiters.is_empty()
    }

    /// Forgets when there are twice as many as were left the last time, so that each new one pays for its own.
    fn sweep(&mut self, now: Tick) {
        if self.limiters.len() < self.sweep_at_len.max(SWEEP_FROM) {
            return;
        }
        self.limiters.retain(|_, limiter| !limiter.is_full(now));
        self.sweep_at_len = 2 * self.limiters.len();
    }
}
