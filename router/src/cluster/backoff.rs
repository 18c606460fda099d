//! How long to wait before the broker is tried again.

/// Full jitter: any time up to a bound that doubles with each attempt, so that nodes that lost the broker in one
/// moment do not come back in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first attempt, in milliseconds.
    pub first_ms: u64,
    /// What the bound never exceeds.
    pub max_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            first_ms: 100,
            max_ms: 4_000,
        }
    }
}

impl Backoff {
    /// The wait before an attempt, counted from 0. `random` is spread over all numbers.
    pub fn wait_ms(&self, attempt: usize, random: u64) -> u64 {
        let doublings = attempt.min(32) as u32;
        let bound = self.first_ms.saturating_mul(1 << doublings);
        let bound = bound.min(self.max_ms);
        ((u128::from(random) * (u128::from(bound) + 1)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_wait_lies_below_a_bound_that_doubles(attempt in 0usize..100, random: u64) {
            let backoff = Backoff::default();
            let bound = if attempt < 6 { 100 << attempt } else { 4_000 };
            prop_assert!(backoff.wait_ms(attempt, random) <= bound.min(4_000));
            prop_assert_eq!(backoff.wait_ms(attempt, u64::MAX), bound.min(4_000));
            prop_assert_eq!(backoff.wait_ms(attempt, 0), 0);
        }
    }
}
