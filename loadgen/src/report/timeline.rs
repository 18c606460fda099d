//! The run in stretches of a second or more: what went through, and how long it took.

use hdrhistogram::CreationError;
use serde::{Deserialize, Serialize};

use super::Percentiles;
use crate::clock::to_seconds;
use crate::intervals::{INTERVALS_MAX, Interval};
use crate::measure::{Times, times};
use crate::tally::{Count, Tally};

/// One stretch of the run, all threads together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// When it begins, in seconds of the run.
    pub at_seconds: f64,
    /// How long it is, in seconds.
    pub seconds: f64,
    /// Connections open at its end.
    pub connections: u64,
    /// Messages sent a second.
    pub sent_per_second: f64,
    /// Messages that arrived a second.
    pub received_per_second: f64,
    /// Connections that failed or were lost in it.
    pub errors: u64,
    /// Of the messages that arrived in it and are measured.
    pub latency_microseconds: Option<Percentiles>,
}

/// The stretches of a run, from those of its threads.
pub struct Timeline {
    by_thread: Vec<Vec<Interval>>,
    length_ns: u64,
}

impl Timeline {
    /// Of the threads' intervals, each so long.
    pub fn new(by_thread: Vec<Vec<Interval>>, length_ns: u64) -> Self {
        Timeline {
            by_thread,
            length_ns,
        }
    }

    /// Visits each stretch: its number, the counters at its end, and its latencies.
    ///
    /// # Errors
    /// Never with the bounds that are used.
    pub fn each(&self, mut visit: impl FnMut(u64, &Tally, &Times)) -> Result<(), CreationError> {
        let mut next = vec![0; self.by_thread.len()];
        let last = self
            .by_thread
            .iter()
            .flatten()
            .map(|interval| interval.index);
        let mut latency = times()?;
        for index in 0..last
            .max()
            .map_or(0, |last| last + 1)
            .min(INTERVALS_MAX as u64)
        {
            latency.reset();
            let mut tally = Tally::default();
            for (intervals, next) in self.by_thread.iter().zip(&mut next) {
                while let Some(interval) = intervals
                    .get(*next)
                    .filter(|interval| interval.index <= index)
                {
                    interval.add_to(&mut latency);
                    *next += 1;
                }
                // A thread that slept through an interval still has what it had.
                if let Some(before) = next.checked_sub(1) {
                    tally.add(&intervals[before].tally);
                }
            }
            visit(index, &tally, &latency);
        }
        Ok(())
    }

    /// How long each stretch is, in seconds, but for a last one of as many as are kept.
    pub fn seconds(&self) -> f64 {
        to_seconds(self.length_ns)
    }

    /// How long a stretch is, in seconds: the last one of as many as are kept takes in the rest of the run.
    pub fn seconds_of(&self, index: u64) -> f64 {
        if index + 1 < INTERVALS_MAX as u64 {
            return self.seconds();
        }
        let ends = self.by_thread.iter().flatten();
        let end_ns = ends.map(|interval| interval.until_ns).max().unwrap_or(0);
        to_seconds(end_ns.saturating_sub(index * self.length_ns)).max(self.seconds())
    }

    /// The stretches as the report has them.
    ///
    /// # Errors
    /// As of [`each`](Self::each).
    pub fn moments(&self) -> Result<Vec<Moment>, CreationError> {
        let mut moments = Vec::new();
        let mut before = Tally::default();
        let seconds = self.seconds();
        self.each(|index, tally, latency| {
            let grown = |count| tally[count].saturating_sub(before[count]);
            let at_seconds = index as f64 * seconds;
            let seconds = self.seconds_of(index);
            moments.push(Moment {
                at_seconds,
                seconds,
                connections: tally[Count::Open],
                sent_per_second: grown(Count::Sent) as f64 / seconds,
                received_per_second: grown(Count::Received) as f64 / seconds,
                errors: grown(Count::Failed) + grown(Count::Refused) + grown(Count::Dropped),
                latency_microseconds: Percentiles::of(latency),
            });
            before = tally.clone();
        })?;
        Ok(moments)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use crate::clock::SECOND_NS;
    use crate::intervals::Intervals;

    #[test]
    fn a_run_of_more_stretches_than_are_kept_loses_nothing() {
        let mut intervals = Intervals::new(SECOND_NS, times().unwrap());
        let (mut tally, mut whole) = (Tally::default(), times().unwrap());
        for second in 1..=4200 {
            tally[Count::Sent] += 1;
            intervals.turn(second * SECOND_NS, &tally, &mut whole);
        }
        intervals.present.record(1_000).unwrap();
        tally[Count::Sent] += 1;
        intervals.end(&tally, &mut whole);
        let timeline = Timeline::new(vec![intervals.into_done()], SECOND_NS);
        let mut values = 0;
        let each = timeline.each(|_, _, latency| values += latency.len());
        each.unwrap();
        assert_eq!((values, whole.len()), (1, 1));
        // What was sent in each stretch adds up to all, and the last one is as long as it was.
        let moments = timeline.moments().unwrap();
        let sent = moments.iter().map(|m| m.sent_per_second * m.seconds);
        assert_eq!(sent.sum::<f64>().round() as u64, 4201);
        let last = moments.last().unwrap();
        assert_eq!(last.at_seconds + last.seconds, 4200.0);
    }
}
