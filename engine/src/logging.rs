//! The log: lines to stderr, by a thread of its own.

use std::io::{self, IsTerminal, Write};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::value::LogFormat;

/// Lines that wait for the writer. More are dropped and counted: no thread waits for a log.
const LINES_MAX: usize = 8192;

/// The running log; what waits is written out when it is dropped.
pub struct Log {
    dropped: ErrorCounter,
    filter: LogHandle,
    _writer: WorkerGuard,
}

impl Log {
    /// Counts the lines dropped.
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }

    /// Changes what is logged.
    pub fn filter(&self) -> LogHandle {
        self.filter.clone()
    }
}

/// Changes what is logged.
#[derive(Clone)]
pub struct LogHandle(reload::Handle<Targets, Registry>);

impl LogHandle {
    /// Logs this from now on, on all threads.
    ///
    /// # Errors
    /// The log has ended.
    pub fn set(&self, targets: Targets) -> Result<(), reload::Error> {
        self.0.reload(targets)
    }
}

/// Starts the log of the process.
///
/// # Errors
/// It runs already.
pub fn start(targets: Targets, format: LogFormat) -> Result<Log, TryInitError> {
    let (lines, writer) = queue(io::stderr());
    let dropped = lines.error_counter();
    let layer = layer(format, lines, io::stderr().is_terminal());
    let (targets, filter) = reload::Layer::new(targets);
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()?;
    Ok(Log {
        dropped,
        filter: LogHandle(filter),
        _writer: writer,
    })
}

/// A queue of lines before a writer that may take its time, and the thread between them.
fn queue(writer: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .thread_name("log")
        .finish(writer)
}

fn layer<W>(
    format: LogFormat,
    writer: W,
    is_terminal: bool,
) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_thread_names(true);
    match format {
        LogFormat::Text => layer.with_ansi(is_terminal).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = layer(format, move || writer.clone(), false);
        let targets: Targets = filter.parse().unwrap();
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(targets));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(shard = 3, "careful");
            tracing::info!("by the way");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_text_form_has_one_plain_line_an_event() {
        let text = logged(LogFormat::Text, "info");
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.contains("WARN") && text.contains("careful shard=3"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_json_form_has_one_object_an_event() {
        let text = logged(LogFormat::Json, "info");
        let event: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["message"], "careful");
        assert_eq!(event["shard"], 3);
    }

    #[test]
    fn the_filter_holds_back_what_is_below_it() {
        assert_eq!(logged(LogFormat::Text, "warn").lines().count(), 1);
        assert_eq!(logged(LogFormat::Text, "off"), "");
    }

    #[test]
    fn the_filter_can_be_exchanged() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = layer(LogFormat::Text, move || writer.clone(), false);
        let (filter, handle) = reload::Layer::new("warn".parse::<Targets>().unwrap());
        let handle = LogHandle(handle);
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            for (filter, line) in [("warn", "one"), ("info", "two"), ("error", "three")] {
                handle.set(filter.parse().unwrap()).unwrap();
                tracing::info!("{line}");
            }
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("two"), "{text}");
        assert!(!text.contains("one") && !text.contains("three"), "{text}");
    }

    #[test]
    fn a_writer_that_is_stuck_costs_lines_and_they_are_counted() {
        let stuck = Lines::default();
        let (mut lines, writer) = queue(stuck.clone());
        {
            let _held = stuck.0.lock().unwrap();
            for _ in 0..LINES_MAX + 100 {
                lines.write_all(b"line\n").unwrap();
            }
            // The writer has taken none, one, or a few that it is stuck with.
            let dropped = lines.error_counter().dropped_lines();
            assert!((90..=100).contains(&dropped), "{dropped}");
        }
        drop(writer);
    }
}
