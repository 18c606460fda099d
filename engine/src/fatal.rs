//! The end by an internal error: half alive is worse than dead.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use ringmain_rt::process::{exit_now, last_words};

/// The exit code of an internal error: `EX_SOFTWARE` of `sysexits.h`.
pub const EXIT_INTERNAL_ERROR: i32 = 70;

/// Makes a panic on any thread end the process.
pub fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        // The place before the way there: that takes seconds to name on a busy host, and the
        // watchdog may end the process meanwhile.
        last_words(&format!("ringmain: {}\n", describe(panic)));
        let backtrace = Backtrace::capture();
        die(&match backtrace.status() {
            BacktraceStatus::Captured => format!("it came this way:\n{backtrace}"),
            _ => "RUST_BACKTRACE=1 shows the way there".to_owned(),
        })
    }));
}

/// Says why on stderr and ends the process. Goes past the log, whose writer may be stuck or gone.
pub fn die(why: &str) -> ! {
    last_words(&format!(
        "ringmain: {why}\nringmain: internal error, ending with code {EXIT_INTERNAL_ERROR}\n"
    ));
    exit_now(EXIT_INTERNAL_ERROR)
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!("thread {thread} panicked at {place}: {message}")
}
