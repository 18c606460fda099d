//! When a dropped connection comes back.

use std::fmt;

use crate::clock::{to_ns, to_seconds};
use crate::random::Random;

/// A client's policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// At once, and at once again.
    AtOnce,
    /// After so many nanoseconds.
    Fixed(u64),
    /// After a random time of up to `first_ns`, doubled with each failure, up to `most_ns`: exponential
    /// backoff with full jitter.
    Backoff {
        /// The first time's bound, in nanoseconds.
        first_ns: u64,
        /// The bound of bounds, in nanoseconds.
        most_ns: u64,
    },
}

/// Attempts beyond which the bound of a backoff does not double any more.
const DOUBLINGS_MAX: u32 = 32;
/// The longest time of a policy: a day.
const SECONDS_MAX: f64 = 86_400.0;
/// A connection that fails at once is not tried again before this, in nanoseconds.
const RETRY_NS_MIN: u64 = 1_000_000;

impl Policy {
    /// Reads `at-once`, `fixed:SECONDS` or `backoff:FIRST:MOST`; `None` if it is none of them.
    pub fn parse(text: &str) -> Option<Policy> {
        let seconds = |text: &str| {
            let seconds: f64 = text.parse().ok()?;
            (0.0..=SECONDS_MAX)
                .contains(&seconds)
                .then(|| to_ns(seconds))
        };
        match text.split(':').collect::<Vec<_>>()[..] {
            ["at-once"] => Some(Policy::AtOnce),
            ["fixed", time] => Some(Policy::Fixed(seconds(time)?)),
            ["backoff", first, most] => {
                let (first_ns, most_ns) = (seconds(first)?, seconds(most)?);
                (first_ns <= most_ns).then_some(Policy::Backoff { first_ns, most_ns })
            }
            _ => None,
        }
    }

    /// The longest that a connection waits before its first attempt, in nanoseconds.
    pub fn first_ns_max(self) -> u64 {
        match self {
            Policy::AtOnce => 0,
            Policy::Fixed(delay_ns) => delay_ns,
            Policy::Backoff { first_ns, .. } => first_ns,
        }
    }

    /// How long a connection waits that has failed so often since it was dropped, in nanoseconds.
    pub fn delay_ns(self, failures: u32, random: &mut Random) -> u64 {
        let delay_ns = match self {
            Policy::AtOnce => 0,
            Policy::Fixed(delay_ns) => delay_ns,
            Policy::Backoff { first_ns, most_ns } => {
                let doubled = first_ns.saturating_mul(1 << failures.min(DOUBLINGS_MAX));
                random.next() % doubled.min(most_ns).max(1)
            }
        };
        if failures == 0 {
            delay_ns
        } else {
            delay_ns.max(RETRY_NS_MIN)
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Policy::AtOnce => f.write_str("at-once"),
            Policy::Fixed(delay_ns) => write!(f, "fixed:{}", to_seconds(delay_ns)),
            Policy::Backoff { first_ns, most_ns } => {
                write!(
                    f,
                    "backoff:{}:{}",
                    to_seconds(first_ns),
                    to_seconds(most_ns)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND_NS;

    #[test]
    fn policies_are_read() {
        assert_eq!(Policy::parse("at-once"), Some(Policy::AtOnce));
        assert_eq!(
            Policy::parse("fixed:0.5"),
            Some(Policy::Fixed(SECOND_NS / 2))
        );
        for nonsense in [
            "",
            "fixed",
            "fixed:-1",
            "fixed:x",
            "backoff:1",
            "backoff:1:inf",
            "backoff:2:1",
            "never",
        ] {
            assert_eq!(Policy::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_backoff_spreads_over_a_time_that_doubles() {
        let policy = Policy::Backoff {
            first_ns: SECOND_NS,
            most_ns: 10 * SECOND_NS,
        };
        let mut random = Random::new(5);
        for (failures, most_ns) in [
            (0, SECOND_NS),
            (2, 4 * SECOND_NS),
            (9, 10 * SECOND_NS),
            (4000, 10 * SECOND_NS),
        ] {
            let delays: Vec<u64> = (0..1000)
                .map(|_| policy.delay_ns(failures, &mut random))
                .collect();
            let late = delays.iter().filter(|&&delay| delay > most_ns / 2).count();
            assert!(delays.iter().all(|&delay| delay <= most_ns) && (400..600).contains(&late));
        }
        assert!(Policy::AtOnce.delay_ns(1, &mut random) >= RETRY_NS_MIN);
    }
}
