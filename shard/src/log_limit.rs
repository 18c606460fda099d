//! Keeps a log readable while something happens thousands of times a second.

use std::cell::Cell;

use ringmain_core::Tick;

/// The shortest time between two lines, in milliseconds.
const PAUSE_MS: u64 = 1_000;

/// Lets one line a second through, and counts those that it does not.
#[derive(Debug, Default)]
pub struct LogLimit {
    next: Cell<Tick>,
    left_out: Cell<u64>,
}

impl LogLimit {
    /// Whether a line may be written now: then how many were left out since the last one.
    pub fn admit(&self, now: Tick) -> Option<u64> {
        if now < self.next.get() {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.next.set(now.plus(PAUSE_MS));
        Some(self.left_out.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_says_how_many_were_left_out() {
        let limit = LogLimit::default();
        let lines: Vec<_> = (0..2_500).filter_map(|ms| limit.admit(Tick(ms))).collect();
        assert_eq!(lines, [0, 999, 999]);
    }
}
