//! Time as pure code knows it: handed in, never read.

/// Milliseconds since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick this many milliseconds later.
    pub const fn plus(self, milliseconds: u64) -> Tick {
        Tick(self.0 + milliseconds)
    }

    /// Milliseconds since `earlier`; zero if that lies ahead.
    pub const fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
