//! How many lines of a kind the log takes: so many a second for the process, each shard its share.

use crate::tick::Tick;

/// Lines a second that the log takes for one reason, from all shards together.
pub const LINES_PER_SECOND_MAX: u64 = 10;

/// A shard's share of the lines: so many in each window. With more shards than lines a second, one line in a longer window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineShare {
    lines: u32,
    window_ms: u64,
}

impl LineShare {
    /// The share of one of so many shards.
    pub fn among(shards: usize) -> Self {
        let shards = shards.max(1) as u64;
        let lines = (LINES_PER_SECOND_MAX / shards).max(1);
        LineShare {
            lines: lines as u32,
            window_ms: (lines * shards * 1_000).div_ceil(LINES_PER_SECOND_MAX),
        }
    }
}

/// What one shard may still write for one reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineBudget {
    /// When the present window began; `None` before the first line.
    began: Option<Tick>,
    used: u32,
}

impl LineBudget {
    /// Whether one more line may be written now.
    pub fn take(&mut self, now: Tick, share: LineShare) -> bool {
        let is_over = |began| now.since(began) >= share.window_ms;
        if self.began.is_none_or(is_over) {
            self.began = Some(now);
            self.used = 0;
        }
        let may = self.used < share.lines;
        self.used += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that so many shards write in ten seconds if they would write one each millisecond.
    fn written(shards: usize) -> u64 {
        let share = LineShare::among(shards);
        let mut budgets = vec![LineBudget::default(); shards];
        let mut lines = 0;
        for now in 0..10_000 {
            for budget in &mut budgets {
                lines += u64::from(budget.take(Tick(now), share));
            }
        }
        lines
    }

    #[test]
    fn all_shards_together_keep_to_the_rate() {
        for shards in 1..=62 {
            let lines = written(shards);
            let most = 10 * LINES_PER_SECOND_MAX + LINES_PER_SECOND_MAX.max(shards as u64);
            assert!(lines <= most, "{shards} shards write {lines} lines");
            assert!(
                lines * 2 > 10 * LINES_PER_SECOND_MAX,
                "{shards} shards write {lines} lines"
            );
        }
    }

    #[test]
    fn who_was_quiet_may_speak_at_once() {
        let share = LineShare::among(4);
        let mut budget = LineBudget::default();
        while budget.take(Tick(5), share) {}
        assert!(!budget.take(Tick(6), share));
        assert!(budget.take(Tick(5_000), share));
    }
}
