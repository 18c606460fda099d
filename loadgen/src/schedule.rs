//! When the messages of an open loop are due, and who sends them.

use crate::clock::{SECOND_NS, Window};

/// The schedule of one thread's publishers.
///
/// All publishers of the run take turns: message number `n` of the run is due `n / rate` seconds after
/// the beginning, and belongs to publisher `n % publishers`. A publisher whose socket is full sends its
/// messages later, and each keeps the time at which it was due.
pub struct Schedule {
    begin_ns: u64,
    end_ns: u64,
    interval_ns: f64,
    /// Publishers of the run.
    publishers: u64,
    /// The ids of this thread's publishers are `first`, `first + step` and so on.
    first: u64,
    step: u64,
    /// The next message that becomes due here: the round, and which of this thread's publishers.
    round: u64,
    position: usize,
    /// Messages sent by each of this thread's publishers.
    sent: Vec<u64>,
}

impl Schedule {
    /// A schedule of `rate` messages a second of all `publishers` of the run, for the `count` that this
    /// thread, number `thread` of `threads`, has.
    pub fn new(
        rate: f64,
        window: Window,
        publishers: u32,
        (thread, threads): (usize, usize),
        count: usize,
    ) -> Self {
        Schedule {
            begin_ns: window.begin_ns,
            end_ns: window.to_ns,
            interval_ns: SECOND_NS as f64 / rate,
            publishers: u64::from(publishers),
            first: thread as u64,
            step: threads as u64,
            round: 0,
            position: 0,
            sent: vec![0; count],
        }
    }

    fn due_ns(&self, round: u64, publisher: usize) -> u64 {
        let number = round * self.publishers + self.first + publisher as u64 * self.step;
        self.begin_ns + (number as f64 * self.interval_ns) as u64
    }

    /// Nothing is due from this time on.
    pub fn end_at(&mut self, to_ns: u64) {
        self.end_ns = to_ns;
    }

    /// When the next message of this thread is due; `None` when the schedule is over.
    pub fn next_ns(&self) -> Option<u64> {
        if self.sent.is_empty() {
            return None;
        }
        let due_ns = self.due_ns(self.round, self.position);
        (due_ns < self.end_ns).then_some(due_ns)
    }

    /// The publisher whose next message has become due, if one has by now. Each call is another message.
    pub fn advance(&mut self, now_ns: u64) -> Option<usize> {
        if self.next_ns()? > now_ns {
            return None;
        }
        let publisher = self.position;
        self.position += 1;
        if self.position == self.sent.len() {
            self.position = 0;
            self.round += 1;
        }
        Some(publisher)
    }

    /// Takes the oldest message of a publisher that is due and not sent: its number and its time.
    pub fn take(&mut self, publisher: usize) -> Option<(u64, u64)> {
        if self.behind(publisher) == 0 {
            return None;
        }
        let number = self.sent[publisher];
        self.sent[publisher] += 1;
        Some((number, self.due_ns(number, publisher)))
    }

    /// Messages of a publisher that have become due and are not sent.
    pub fn behind(&self, publisher: usize) -> u64 {
        let due = self.round + u64::from(publisher < self.position);
        due - self.sent[publisher]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Window = Window {
        begin_ns: 1_000,
        from_ns: 1_000,
        to_ns: 1_000 + SECOND_NS,
    };

    fn schedules(rate: f64, publishers: u32, threads: usize) -> Vec<Schedule> {
        let schedule = |thread: usize| {
            let count = (publishers as usize)
                .saturating_sub(thread)
                .div_ceil(threads);
            Schedule::new(rate, WINDOW, publishers, (thread, threads), count)
        };
        (0..threads).map(schedule).collect()
    }

    proptest! {
        #[test]
        fn all_threads_together_keep_the_rate(
            rate in 1.0..3000.0f64, publishers in 1u32..20, threads in 1usize..5, step_ns in 100_000u64..50_000_000
        ) {
            let mut times = Vec::new();
            for mut schedule in schedules(rate, publishers, threads) {
                let mut now_ns = 0;
                let mut numbers = vec![0; schedule.sent.len()];
                while now_ns < WINDOW.to_ns + 2 * step_ns {
                    while let Some(publisher) = schedule.advance(now_ns) {
                        let (number, due_ns) = schedule.take(publisher).unwrap();
                        prop_assert_eq!(number, numbers[publisher]);
                        prop_assert!(due_ns <= now_ns);
                        numbers[publisher] += 1;
                        times.push(due_ns);
                    }
                    now_ns += step_ns;
                }
                prop_assert_eq!(schedule.next_ns(), None);
            }
            times.sort_unstable();
            let expected: Vec<u64> = (0..times.len())
                .map(|number| WINDOW.begin_ns + (number as f64 * SECOND_NS as f64 / rate) as u64)
                .collect();
            // Reckoned in another order, a time may be rounded to the next nanosecond.
            let differs = |(time, expected): (&u64, &u64)| time.abs_diff(*expected) > 1;
            prop_assert!(!times.iter().zip(&expected).any(differs), "{:?} {:?}", times, expected);
            prop_assert_eq!(times.len(), rate.ceil() as usize);
        }
    }

    #[test]
    fn a_publisher_that_is_held_up_keeps_its_times() {
        let mut schedule = schedules(10.0, 2, 1).remove(0);
        let order: Vec<_> =
            std::iter::from_fn(|| schedule.advance(WINDOW.begin_ns + 450_000_000)).collect();
        assert_eq!(order, [0, 1, 0, 1, 0]);
        assert_eq!((schedule.behind(0), schedule.behind(1)), (3, 2));
        assert_eq!(schedule.take(1), Some((0, WINDOW.begin_ns + 100_000_000)));
        assert_eq!(schedule.take(1), Some((1, WINDOW.begin_ns + 300_000_000)));
        assert_eq!(schedule.take(1), None);
        assert_eq!(schedule.behind(0), 3);
    }
}
