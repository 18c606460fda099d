//! The latencies of each stretch as an HDR interval log, which HdrHistogram's tools read.

use std::io::Write;
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use super::timeline::Timeline;
use super::{Report, words};

/// Values are in nanoseconds; the column for people is in milliseconds, as is usual in such logs.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// Writes one line a stretch, empty ones included; times count from the run's start.
///
/// # Errors
/// The writer's.
pub fn write<W: Write>(
    out: &mut W,
    report: &Report,
    timeline: &Timeline,
    started_at: SystemTime,
) -> anyhow::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&format!(
            "ringmain-load {}: {}",
            report.host.version,
            words::title(report)
        ))
        .add_comment("Latencies of messages in nanoseconds, by when they arrived")
        .with_start_time(started_at)
        .with_base_time(started_at)
        .with_max_value_divisor(MAX_VALUE_DIVISOR)
        .begin_log_with(out, &mut serializer)?;
    let mut written = Ok(());
    timeline.each(|index, _, latency| {
        if written.is_ok() {
            let at = Duration::from_secs_f64(index as f64 * timeline.seconds());
            let length = Duration::from_secs_f64(timeline.seconds_of(index));
            written = log.write_histogram(latency, at, length, None);
        }
    })?;
    Ok(written?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use proptest::prelude::*;

    use super::*;
    use crate::intervals::Intervals;
    use crate::measure::{Times, times};
    use crate::report::sample;
    use crate::tally::Tally;

    const LENGTH_NS: u64 = 1_000_000_000;

    /// Two threads' latencies by stretch, as a timeline.
    fn timeline(threads: &[Vec<Vec<u64>>]) -> Timeline {
        let by_thread = threads.iter().map(|stretches| {
            let mut intervals = Intervals::new(LENGTH_NS, times().unwrap());
            let mut whole = times().unwrap();
            for (index, latencies) in (1..).zip(stretches) {
                for &latency in latencies {
                    intervals.present.record(latency).unwrap();
                }
                intervals.turn(index * LENGTH_NS, &Tally::default(), &mut whole);
            }
            intervals.end(&Tally::default(), &mut whole);
            intervals.into_done()
        });
        Timeline::new(by_thread.collect(), LENGTH_NS)
    }

    fn read(log: &[u8]) -> Vec<(Duration, Times)> {
        let entries = IntervalLogIterator::new(log).map(Result::unwrap);
        let histograms = entries.filter_map(|entry| match entry {
            LogEntry::Interval(interval) => {
                let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
                let times = Deserializer::new().deserialize(&mut bytes.as_slice());
                Some((interval.start_timestamp(), times.unwrap()))
            }
            LogEntry::StartTime(start) => {
                assert_eq!(start, Duration::from_secs(1_000_000));
                None
            }
            LogEntry::BaseTime(_) => None,
        });
        histograms.collect()
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_measured(
            threads in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(64u64..1 << 36, 0..20), 3),
                1..3,
            ),
        ) {
            let mut log = Vec::new();
            let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
            write(&mut log, &sample::open(), &timeline(&threads), start).unwrap();
            let stretches = read(&log);
            for (index, stretch) in (0..).zip(&stretches) {
                let mut wanted = times().unwrap();
                let measured = threads.iter().filter_map(|thread| thread.get(index as usize));
                for &latency in measured.flatten() {
                    wanted.record(latency).unwrap();
                }
                prop_assert_eq!(stretch.0, Duration::from_secs(index));
                prop_assert_eq!(&stretch.1, &wanted);
            }
            prop_assert!(stretches.len() >= 3);
        }
    }
}
