//! How much of its time a thread works while connections are opened, or come back.

use std::time::Duration;

use ringmain_rt::cpu;

/// A stretch of a thread's time, from its beginning to the last time that it was noted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stretch {
    from: Option<Reading>,
    to: Option<Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at_ns: u64,
    cpu: Duration,
}

impl Reading {
    fn now(at_ns: u64) -> Option<Reading> {
        let cpu = cpu::thread_time();
        Some(Reading { at_ns, cpu })
    }
}

impl Stretch {
    /// Begins, unless it has.
    pub fn begin(&mut self, now_ns: u64) {
        if self.from.is_none() {
            self.from = Reading::now(now_ns);
        }
    }

    /// Begins anew.
    pub fn begin_again(&mut self, now_ns: u64) {
        self.from = Reading::now(now_ns);
        self.to = None;
    }

    /// It has lasted until now.
    pub fn note(&mut self, now_ns: u64) {
        self.to = Reading::now(now_ns);
    }

    /// CPU time in it and its length; `None` if it has not been noted.
    pub fn spent(&self) -> Option<(Duration, Duration)> {
        let (from, to) = (self.from?, self.to?);
        let length = Duration::from_nanos(to.at_ns.saturating_sub(from.at_ns));
        Some((to.cpu.saturating_sub(from.cpu), length))
    }
}
