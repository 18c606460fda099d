//! The clock that all processes of a host share.

use std::time::Duration;

/// CLOCK_MONOTONIC, counted from a moment that is the same for every process of the host: two programs
/// can put what they saw side by side, which [`std::time::Instant`] does not allow.
pub fn monotonic() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable. The clock exists on every Linux; on failure the time stays zero.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_beside_the_standard_clock() {
        let (shared, standard) = (monotonic(), std::time::Instant::now());
        while standard.elapsed() < Duration::from_millis(1) {}
        assert!(monotonic() - shared >= Duration::from_millis(1));
    }
}
