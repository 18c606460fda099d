//! The clock and the CPU time of processes.

use std::io;
use std::time::Instant;

/// A reading of everything that is later subtracted.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at: Instant,
    clock_seconds: f64,
    received: u64,
    own_seconds: f64,
    server_seconds: f64,
}

impl Reading {
    pub fn take(received: u64, server_pid: Option<u32>) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            clock_seconds: clock_seconds(),
            received,
            own_seconds: cpu_seconds(std::process::id())?,
            server_seconds: server_pid.map_or(Ok(0.0), cpu_seconds)?,
        })
    }

    /// When, how many messages so far, and the server's CPU seconds so far, as a JSON list.
    pub fn as_json(&self) -> String {
        format!(
            "[{:.6},{},{:.9}]",
            self.clock_seconds, self.received, self.server_seconds
        )
    }

    /// The report, in JSON without its outer braces, of what was between `self` and `end`.
    pub fn report(&self, end: &Self) -> String {
        let seconds = (end.at - self.at).as_secs_f64();
        let received = (end.received - self.received) as f64;
        let own = end.own_seconds - self.own_seconds;
        let server = end.server_seconds - self.server_seconds;
        format!(
            "\"measured_from\":{:.6},\"measured_to\":{:.6},\"messages_per_second\":{:.0},\
             \"cpu_seconds\":{own:.3},\"busy_share\":{:.3},\
             \"server_busy_share\":{:.3},\"server_cpu_ns_per_message\":{:.1}",
            self.clock_seconds,
            end.clock_seconds,
            received / seconds,
            own / seconds,
            server / seconds,
            server * 1e9 / received.max(1.0),
        )
    }
}

/// CLOCK_MONOTONIC, by which another process can find the same stretch of time.
fn clock_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the kernel to write one timespec to. The call cannot fail with this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The CPU time of all the process's threads, user and system, in the scheduler's nanoseconds: the sum that
/// /proc/PID/stat rounds to ticks.
fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += text
            .split(' ')
            .next()
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or_default();
    }
    Ok(nanoseconds as f64 / 1e9)
}
