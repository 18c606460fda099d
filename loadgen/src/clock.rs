//! Time as the run counts it: nanoseconds since one start, the same for all threads.

use std::time::{Duration, Instant};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Reads the time since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A run begins now.
    pub fn start() -> Self {
        Clock {
            start: Instant::now(),
        }
    }

    /// Nanoseconds since the run began.
    pub fn now_ns(self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A time of the run as the system counts it.
    pub fn instant(self, at_ns: u64) -> Instant {
        self.start + Duration::from_nanos(at_ns)
    }
}

/// Seconds in nanoseconds; a time that is too long for the run's clock becomes the longest.
pub fn to_ns(seconds: f64) -> u64 {
    // A float too large for the type becomes the type's largest value.
    (seconds * SECOND_NS as f64) as u64
}

/// Nanoseconds in seconds.
pub fn to_seconds(ns: u64) -> f64 {
    ns as f64 / SECOND_NS as f64
}

/// The parts of the phase in which messages are sent, in the run's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages are sent from here.
    pub begin_ns: u64,
    /// Warming up ends, and measuring begins.
    pub from_ns: u64,
    /// Measuring and sending end.
    pub to_ns: u64,
}

impl Window {
    /// Before anything is measured.
    pub const NONE: Window = Window {
        begin_ns: u64::MAX,
        from_ns: u64::MAX,
        to_ns: u64::MAX,
    };

    /// How long is measured; zero if it ended in the warm-up.
    pub fn measured_ns(&self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }

    /// Whether what happens at this time is measured.
    pub fn measures(&self, at_ns: u64) -> bool {
        self.from_ns <= at_ns && at_ns < self.to_ns
    }
}
