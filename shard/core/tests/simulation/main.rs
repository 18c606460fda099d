//! Nodes in virtual time: cores, mesh, cluster links and a made-up broker in one thread, in any order that the seed
//! gives. What members receive is held against what was published, and what they miss against what was counted.
//!
//! `SEED=17 cargo test -p ringmain-core --test simulation many_nodes` runs one seed again; `SEEDS=100000` runs so many.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod many_cores;
mod many_nodes;
mod node;
mod oracle;

/// A small generator, so that a seed means the same on every machine and in every year.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Any number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Runs the seed that the environment asks for, or as many as it asks for, or so many: then it returns true. Each
/// failure says its seed.
pub fn each_seed(seeds: u64, mut run: impl FnMut(u64)) -> bool {
    let number = |key: &str| {
        let text = std::env::var(key).ok()?;
        Some(text.parse::<u64>().expect("SEED and SEEDS are numbers"))
    };
    let asked = number("SEED")
        .map(|seed| seed..seed + 1)
        .or_else(|| number("SEEDS").map(|seeds| 0..seeds));
    let is_usual = asked.is_none();
    let range = asked.unwrap_or(0..seeds);
    for seed in range {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)));
        assert!(
            result.is_ok(),
            "seed {seed} failed; run it again with SEED={seed}"
        );
    }
    is_usual
}
