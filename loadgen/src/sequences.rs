//! Whether every message came, once, and in order.

use std::collections::{BTreeMap, HashMap};

/// Gaps that are remembered at once. Beyond it a run has long failed: a message that then comes late
/// is counted as a duplicate.
const GAPS_MAX: usize = 1 << 20;

/// What the arrival of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one.
    InOrder,
    /// One that should have come later: those before it are missing now.
    Early,
    /// One that was missing: a later one came before it.
    Late,
    /// One that had come already.
    Duplicate,
}

/// The next number expected for each pair of a receiver and a publisher, and what is missing before it.
///
/// Pairs are numbered by the caller, from 0.
pub struct Sequences {
    next: Vec<u64>,
    /// By pair: the missing numbers as ranges, first to one past the last.
    missing: HashMap<usize, BTreeMap<u64, u64>>,
    gaps: usize,
    /// By pair: messages that came again, and messages that came late.
    disorder: HashMap<usize, Disorder>,
}

/// What was amiss with the messages of one pair, beside those that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disorder {
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that came after a later one.
    pub reordered: u64,
}

impl Sequences {
    /// Nothing has come yet for so many pairs.
    pub fn new(pairs: usize) -> Self {
        Sequences {
            next: vec![0; pairs],
            missing: HashMap::new(),
            gaps: 0,
            disorder: HashMap::new(),
        }
    }

    /// Messages of a pair that have come, each counted once.
    pub fn received(&self, pair: usize) -> u64 {
        let missing: u64 = self.missing.get(&pair).map_or(0, |ranges| {
            ranges.iter().map(|(first, end)| end - first).sum()
        });
        self.next[pair] - missing
    }

    /// What was amiss with a pair.
    pub fn disorder(&self, pair: usize) -> Disorder {
        self.disorder.get(&pair).copied().unwrap_or_default()
    }

    /// A message has come.
    #[inline]
    pub fn observe(&mut self, pair: usize, sequence: u64) -> Arrival {
        let next = &mut self.next[pair];
        if sequence == *next {
            *next += 1;
            return Arrival::InOrder;
        }
        self.observe_disorder(pair, sequence)
    }

    #[cold]
    fn observe_disorder(&mut self, pair: usize, sequence: u64) -> Arrival {
        let arrival = self.find_place(pair, sequence);
        match arrival {
            Arrival::InOrder | Arrival::Early => {}
            Arrival::Late => self.disorder.entry(pair).or_default().reordered += 1,
            Arrival::Duplicate => self.disorder.entry(pair).or_default().duplicated += 1,
        }
        arrival
    }

    fn find_place(&mut self, pair: usize, sequence: u64) -> Arrival {
        let next = self.next[pair];
        if sequence > next {
            if self.gaps < GAPS_MAX {
                self.gaps += 1;
                let missing = self.missing.entry(pair).or_default();
                missing.insert(next, sequence);
            }
            self.next[pair] = sequence.saturating_add(1);
            return Arrival::Early;
        }
        let Some(missing) = self.missing.get_mut(&pair) else {
            return Arrival::Duplicate;
        };
        let Some((&first, &end)) = missing.range(..=sequence).next_back() else {
            return Arrival::Duplicate;
        };
        if sequence >= end {
            return Arrival::Duplicate;
        }
        missing.remove(&first);
        self.gaps -= 1;
        for (first, end) in [(first, sequence), (sequence + 1, end)] {
            if first < end {
                missing.insert(first, end);
                self.gaps += 1;
            }
        }
        if missing.is_empty() {
            self.missing.remove(&pair);
        }
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Remembers everything.
    #[derive(Default)]
    struct Oracle {
        seen: HashSet<u64>,
    }

    impl Oracle {
        fn observe(&mut self, sequence: u64) -> Arrival {
            let next = self.seen.iter().max().map_or(0, |last| last + 1);
            if !self.seen.insert(sequence) {
                Arrival::Duplicate
            } else if sequence < next {
                Arrival::Late
            } else if sequence == next {
                Arrival::InOrder
            } else {
                Arrival::Early
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_one_that_remembers_everything(
            arrivals in prop::collection::vec((0usize..3, 0u64..40), 0..200)
        ) {
            let mut sequences = Sequences::new(3);
            let mut oracles: [Oracle; 3] = Default::default();
            for (pair, sequence) in arrivals {
                prop_assert_eq!(sequences.observe(pair, sequence), oracles[pair].observe(sequence));
            }
            for (pair, oracle) in oracles.iter().enumerate() {
                prop_assert_eq!(sequences.received(pair), oracle.seen.len() as u64);
            }
            let gaps: usize = sequences.missing.values().map(BTreeMap::len).sum();
            prop_assert_eq!(sequences.gaps, gaps);
        }

        #[test]
        fn a_shuffled_stream_loses_and_doubles_nothing(order in Just((0u64..60).collect::<Vec<_>>()).prop_shuffle()) {
            let mut sequences = Sequences::new(1);
            let arrivals: Vec<_> = order.iter().map(|&number| sequences.observe(0, number)).collect();
            prop_assert!(!arrivals.contains(&Arrival::Duplicate));
            prop_assert!(sequences.missing.is_empty());
            prop_assert_eq!(sequences.next[0], 60);
        }
    }
}
