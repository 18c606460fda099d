//! The generic cell rate algorithm: a limiter of any rate in one number.
//!
//! It keeps the moment at which all that was let through would have come at an even pace. What comes is let through while
//! that moment lies no further ahead than a burst takes. A bucket of tokens that fills at the rate says the same, in two numbers.

use std::num::NonZeroU64;

use crate::lease::Terms;
use crate::tick::Tick;

/// A second in the limiter's unit of time.
const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// How much may pass: an even pace, and what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What passes in each `period_s`.
    amount: NonZeroU64,
    /// Seconds.
    period_s: u64,
    burst: u64,
}

impl Rate {
    /// So much a second, and so much at once; at least one.
    pub fn new(per_second: NonZeroU64, burst: u64) -> Self {
        Self::over(per_second, 1, burst)
    }

    /// So much in so many seconds.
    pub fn over(amount: NonZeroU64, seconds: u64, burst: u64) -> Self {
        Rate {
            amount,
            period_s: seconds.max(1),
            burst: burst.max(1),
        }
    }

    /// The even part that one of `parts` has. The bursts add up to the whole one, but each part has at least one.
    pub fn part(self, index: usize, parts: usize) -> Self {
        let parts = parts.max(1) as u64;
        let more = u64::from((index as u64) < self.burst % parts);
        Rate {
            period_s: self.period_s.saturating_mul(parts),
            burst: (self.burst / parts + more).max(1),
            ..self
        }
    }

    /// The same for other shards to hear. A part of a rate is nobody else's.
    pub fn terms(self) -> Terms {
        Terms {
            per_second: self.amount,
            burst: self.burst,
        }
    }

    /// What may come at once.
    pub fn burst(self) -> u64 {
        self.burst
    }

    /// What passes in so many milliseconds.
    pub fn in_ms(self, milliseconds: u64) -> u64 {
        let all = u128::from(self.amount.get()) * u128::from(milliseconds);
        (all / (u128::from(self.period_s) * 1_000)) as u64
    }

    /// How long `amount` takes at the even pace, rounded up: rather a little too slow than too fast.
    fn time(self, amount: u64) -> u64 {
        // Nearly always; a division of 128 bits takes ten times as long.
        if let Some(time) =
            (amount.checked_mul(self.period_s)).and_then(|it| it.checked_mul(SECOND))
        {
            return time.div_ceil(self.amount.get());
        }
        let period = u128::from(self.period_s) * u128::from(SECOND);
        let time = (u128::from(amount) * period).div_ceil(u128::from(self.amount.get()));
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

/// A limiter. It does not know its rate, which may change at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra {
    /// When all that was let through would have passed at the even pace.
    passed_at: u64,
}

impl Gcra {
    /// Lets `amount` through, or nothing of it. What is larger than a burst needs a whole burst, and its rest is owed.
    pub fn take(&mut self, now: Tick, rate: Rate, amount: u64) -> bool {
        let passes = self.wait_ms(now, rate, amount) == 0;
        if passes {
            self.charge(now, rate, amount);
        }
        passes
    }

    /// Lets as much through as may pass now, up to `amount`; returns how much.
    pub fn take_up_to(&mut self, now: Tick, rate: Rate, amount: u64) -> u64 {
        let free = rate.time(rate.burst).saturating_sub(self.owed(now));
        let one = rate.time(1).max(1);
        let taken = amount.min(free / one);
        self.charge(now, rate, taken);
        taken
    }

    /// Counts what has passed in any case; it may be owed.
    pub fn charge(&mut self, now: Tick, rate: Rate, amount: u64) {
        let from = self.passed_at.max(nanoseconds(now));
        self.passed_at = from.saturating_add(rate.time(amount));
    }

    /// Takes back what was let through and did not pass.
    pub fn give_back(&mut self, rate: Rate, amount: u64) {
        self.passed_at = self.passed_at.saturating_sub(rate.time(amount));
    }

    /// How long it is until `amount` may pass, rounded up to milliseconds; 0 for now.
    pub fn wait_ms(&self, now: Tick, rate: Rate, amount: u64) -> u64 {
        let needed = rate.time(amount.min(rate.burst));
        let ahead = self.owed(now).saturating_add(needed);
        ahead
            .saturating_sub(rate.time(rate.burst))
            .div_ceil(MILLISECOND)
    }

    /// Whether it is as if nothing had ever passed: then it may be forgotten.
    pub fn is_full(&self, now: Tick) -> bool {
        self.owed(now) == 0
    }

    fn owed(&self, now: Tick) -> u64 {
        self.passed_at.saturating_sub(nanoseconds(now))
    }
}

fn nanoseconds(now: Tick) -> u64 {
    now.0.saturating_mul(MILLISECOND)
}
