//! How much of its time a thread works while handshakes are due or under way, in short stretches of the run.
//!
//! Connections come in bursts: over all the time that they take, waiting included, a thread may seem idle that was
//! the bottleneck whenever something was to be done. So it is the busiest half second that counts, and the threads of
//! one core are put together before it is looked for.

use std::time::Duration;

use ringmain_rt::cpu;

/// How long a stretch is, until there are too many.
const STRETCH_NS: u64 = 100_000_000;
/// Stretches that are kept. A run that lasts longer than these, 27 minutes, has them twice as long, and so on.
const STRETCHES_MAX: usize = 16_384;
/// So many of them in a row are judged: half a second.
const JUDGED: usize = 5;

/// CPU time by stretch of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyTimes {
    stretch_ns: u64,
    /// CPU time in each, in nanoseconds.
    cpu_ns: Vec<u64>,
}

impl Default for BusyTimes {
    fn default() -> Self {
        BusyTimes {
            stretch_ns: STRETCH_NS,
            cpu_ns: Vec::new(),
        }
    }
}

impl BusyTimes {
    /// From one time of the run to another there was so much CPU time, evenly spread.
    pub fn add(&mut self, from_ns: u64, to_ns: u64, cpu: Duration) {
        let to_ns = to_ns.max(from_ns + 1);
        while to_ns / self.stretch_ns >= STRETCHES_MAX as u64 {
            self.lengthen();
        }
        let (first, last) = (from_ns / self.stretch_ns, (to_ns - 1) / self.stretch_ns);
        if self.cpu_ns.len() <= last as usize {
            self.cpu_ns.resize(last as usize + 1, 0);
        }
        for index in first..=last {
            let begin_ns = from_ns.max(index * self.stretch_ns);
            let end_ns = to_ns.min((index + 1) * self.stretch_ns);
            let share = (end_ns - begin_ns) as f64 / (to_ns - from_ns) as f64;
            self.cpu_ns[index as usize] += (cpu.as_nanos() as f64 * share).round() as u64;
        }
    }

    /// Adds those of a thread on the same core.
    pub fn merge(&mut self, mut other: BusyTimes) {
        while self.stretch_ns < other.stretch_ns {
            self.lengthen();
        }
        while other.stretch_ns < self.stretch_ns {
            other.lengthen();
        }
        let stretches = self.cpu_ns.len().max(other.cpu_ns.len());
        self.cpu_ns.resize(stretches, 0);
        for (mine, theirs) in self.cpu_ns.iter_mut().zip(other.cpu_ns) {
            *mine += theirs;
        }
    }

    /// The share of a core's time in the busiest half second; `None` if nothing was noted.
    pub fn busiest_share(&self) -> Option<f64> {
        if self.cpu_ns.is_empty() {
            return None;
        }
        let length_ns = self.stretch_ns * JUDGED as u64;
        let share = |stretches: &[u64]| stretches.iter().sum::<u64>() as f64 / length_ns as f64;
        let all = share(&self.cpu_ns[..self.cpu_ns.len().min(JUDGED)]);
        Some(self.cpu_ns.windows(JUDGED).map(share).fold(all, f64::max))
    }

    /// Makes each stretch twice as long.
    fn lengthen(&mut self) {
        self.stretch_ns *= 2;
        let pairs = self.cpu_ns.chunks(2).map(|pair| pair.iter().sum());
        self.cpu_ns = pairs.collect();
    }
}

/// Notes when the calling thread works, and whether that is for handshakes.
#[derive(Debug, Default)]
pub struct BusyMeter {
    /// When the thread began to work on what it is doing; and whether a handshake was due or under way then.
    since: Option<(u64, bool)>,
    /// The thread's CPU time when it had done its last work; before the first, what getting ready took.
    cpu: Option<Duration>,
    times: BusyTimes,
}

impl BusyMeter {
    /// The thread begins to work, unless it has; `counts` if that is for handshakes.
    pub fn begin(&mut self, now_ns: u64, counts: bool) {
        self.since.get_or_insert((now_ns, counts));
        self.cpu.get_or_insert_with(cpu::thread_time);
    }

    /// The work is done. It counts if either its beginning or its end was for handshakes.
    pub fn end(&mut self, now_ns: u64, counts: bool) {
        let Some((since_ns, counted)) = self.since.take() else {
            return;
        };
        let cpu = cpu::thread_time();
        let worked = cpu.saturating_sub(self.cpu.replace(cpu).unwrap_or(cpu));
        if counts || counted {
            self.times.add(since_ns, now_ns, worked);
        }
    }

    /// What was noted.
    pub fn times(&self) -> &BusyTimes {
        &self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND_NS;

    const MS_NS: u64 = 1_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn share(times: &BusyTimes) -> f64 {
        (times.busiest_share().unwrap_or(f64::NAN) * 1e6).round() / 1e6
    }

    #[test]
    fn waiting_before_and_a_straggler_after_hide_nothing() {
        let mut times = BusyTimes::default();
        assert_eq!(times.busiest_share(), None);
        // Ten seconds asleep, one flat out in short turns, and one who comes a minute later.
        for turn in 0..100 {
            let from_ns = 10 * SECOND_NS + turn * 10 * MS_NS;
            times.add(from_ns, from_ns + 10 * MS_NS, ms(10));
        }
        times.add(71 * SECOND_NS, 71 * SECOND_NS + MS_NS, ms(1));
        assert_eq!(share(&times), 1.0);
    }

    #[test]
    fn a_burst_is_judged_as_a_part_of_half_a_second() {
        let mut times = BusyTimes::default();
        times.add(10 * MS_NS, 210 * MS_NS, ms(200));
        assert_eq!(share(&times), 0.4);
        let mut late = BusyTimes::default();
        late.add(1_010 * MS_NS, 1_210 * MS_NS, ms(200));
        assert_eq!(share(&late), 0.4);
    }

    #[test]
    fn the_threads_of_one_core_add_up() {
        let mut core = BusyTimes::default();
        for thread in 0..3 {
            let mut times = BusyTimes::default();
            // They take turns of 30 ms, in each of which each has a third of the core.
            for turn in 0..40 {
                let from_ns = (turn * 30 + thread * 10) * MS_NS;
                times.add(from_ns, from_ns + 30 * MS_NS, ms(10));
            }
            assert!(share(&times) < 0.4);
            core.merge(times);
        }
        assert_eq!(share(&core), 1.0);
    }

    #[test]
    fn a_long_run_has_longer_stretches_and_keeps_them_all() {
        let mut long = BusyTimes::default();
        long.add(0, 2 * SECOND_NS, ms(2_000));
        let mut short = long.clone();
        long.add(3 * 3600 * SECOND_NS, 3 * 3600 * SECOND_NS + 1, ms(7));
        assert!(long.cpu_ns.len() <= STRETCHES_MAX && long.stretch_ns > STRETCH_NS);
        assert_eq!(long.cpu_ns.iter().sum::<u64>(), 2_007 * MS_NS);
        short.merge(long.clone());
        assert_eq!(short.cpu_ns.iter().sum::<u64>(), 4_007 * MS_NS);
        assert_eq!(short.stretch_ns, long.stretch_ns);
    }
}
