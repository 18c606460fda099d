//! Watches that the shards' turns are short.

use std::time::Duration;

/// How often the shards are looked at.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// A turn as long as this is logged and counted.
pub const TURN_LONG: Duration = Duration::from_millis(100);
/// A turn as long as this never ends: the process does.
pub const TURN_ENDLESS: Duration = Duration::from_secs(10);
/// The most that one sample adds to a turn's length. If the whole process was stopped, or this thread
/// had no CPU, the time between two samples is not the shard's.
const SAMPLE_MAX: Duration = Duration::from_millis(50);

/// What the watchdog knows of one shard.
#[derive(Debug, Default)]
pub struct Watch {
    turn: u64,
    was_busy: bool,
    length: Duration,
    told: bool,
}

/// What a sample shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nothing to say.
    Well,
    /// The turn has become a long one. Said once a turn.
    Long,
    /// The turn will not end.
    Endless,
}

impl Watch {
    /// Looks at a shard: the turns it has counted, whether it sleeps, and the time since the last look.
    pub fn sample(&mut self, turn: u64, is_idle: bool, elapsed: Duration) -> Sight {
        let is_same = self.was_busy && !is_idle && turn == self.turn;
        self.turn = turn;
        self.was_busy = !is_idle;
        if !is_same {
            self.length = Duration::ZERO;
            self.told = false;
            return Sight::Well;
        }
        self.length += elapsed.min(SAMPLE_MAX);
        if self.length >= TURN_ENDLESS {
            Sight::Endless
        } else if self.length >= TURN_LONG && !self.told {
            self.told = true;
            Sight::Long
        } else {
            Sight::Well
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples one turn for so long; how often it was called long, and what came last.
    fn watch(watch: &mut Watch, turn: u64, is_idle: bool, samples: u32) -> (usize, Sight) {
        let sights: Vec<Sight> = (0..samples)
            .map(|_| watch.sample(turn, is_idle, SAMPLE_INTERVAL))
            .collect();
        let long = sights.iter().filter(|&&sight| sight == Sight::Long).count();
        (long, *sights.last().unwrap())
    }

    #[test]
    fn a_long_turn_is_told_once_and_the_next_one_again() {
        let mut shard = Watch::default();
        assert_eq!(watch(&mut shard, 1, false, 5), (0, Sight::Well));
        assert_eq!(watch(&mut shard, 1, false, 100), (1, Sight::Well));
        assert_eq!(watch(&mut shard, 2, false, 5), (0, Sight::Well));
        assert_eq!(watch(&mut shard, 2, false, 1), (1, Sight::Long));
    }

    #[test]
    fn sleep_is_no_turn() {
        let mut shard = Watch::default();
        assert_eq!(watch(&mut shard, 1, true, 10_000), (0, Sight::Well));
        assert_eq!(watch(&mut shard, 1, false, 5), (0, Sight::Well));
    }

    #[test]
    fn many_short_turns_are_well() {
        let mut shard = Watch::default();
        for turn in 0..10_000 {
            assert_eq!(watch(&mut shard, turn, false, 1), (0, Sight::Well));
        }
    }

    #[test]
    fn ten_seconds_are_endless() {
        let mut shard = Watch::default();
        assert_eq!(watch(&mut shard, 7, false, 500), (1, Sight::Well));
        assert_eq!(watch(&mut shard, 7, false, 1), (0, Sight::Endless));
    }

    #[test]
    fn a_process_that_was_stopped_is_not_blamed() {
        let mut shard = Watch::default();
        shard.sample(1, false, SAMPLE_INTERVAL);
        assert_eq!(
            shard.sample(1, false, Duration::from_secs(3600)),
            Sight::Well
        );
    }
}
