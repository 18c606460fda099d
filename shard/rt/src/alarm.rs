//! An alarm that is exact to microseconds.
//!
//! The runtime's own timers count milliseconds and are looked at only when the thread goes to sleep.
//! This one is a descriptor, and wakes a sleeping thread as a socket does.

use std::cell::Cell;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::socket::Socket;

/// Wakes the thread that made it, at one time; a later [`set`](Alarm::set) replaces an earlier.
pub struct Alarm {
    timer: Socket,
    set: Cell<Option<Instant>>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        const FLAGS: libc::c_int = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: the call takes no memory.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, FLAGS) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just opened it, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Alarm {
            timer: Socket::new(fd)?,
            set: Cell::new(None),
        })
    }

    /// Rings at `at`, or at once if that is past. Costs nothing if it is set to that time already.
    ///
    /// # Errors
    /// The system call's.
    pub fn set(&self, at: Instant) -> io::Result<()> {
        if self.set.get() == Some(at) {
            return Ok(());
        }
        // Zero would not set the timer but stop it.
        let wait = at
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let time = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: libc::c_long::from(wait.subsec_nanos()),
            },
        };
        // SAFETY: `time` is readable, the old time is not asked for, and the descriptor is this object's.
        let result = unsafe {
            libc::timerfd_settime(self.timer.fd(), 0, &raw const time, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        self.set.set(Some(at));
        Ok(())
    }

    /// Waits until it rings.
    ///
    /// # Errors
    /// The runtime could not wait for it.
    pub async fn rung(&self) -> io::Result<()> {
        let mut count = [0u8; size_of::<u64>()];
        loop {
            self.timer.readable().await?;
            // SAFETY: the buffer is writable for its length, and the descriptor is this object's.
            let bytes =
                unsafe { libc::read(self.timer.fd(), count.as_mut_ptr().cast(), count.len()) };
            // Nothing to read: it was set anew between ringing and reading.
            if bytes == count.len() as isize {
                self.set.set(None);
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use crate::driver::{self, Backend};

    #[test]
    fn it_rings_at_its_time_and_again_when_it_is_set_again() {
        for backend in [Backend::Epoll, Backend::Uring] {
            let Ok(waits) = driver::run(backend, async {
                let alarm = Alarm::new().unwrap();
                let mut waits = Vec::new();
                for wait in [3_000, 0, 200] {
                    let begin = Instant::now();
                    let wait = Duration::from_micros(wait);
                    // The earlier, later time must not count any more.
                    alarm.set(begin + Duration::from_secs(60)).unwrap();
                    alarm.set(begin + wait).unwrap();
                    alarm.rung().await.unwrap();
                    waits.push((wait, begin.elapsed()));
                }
                waits
            }) else {
                continue;
            };
            for (wait, waited) in waits {
                assert!(waited >= wait && waited < Duration::from_secs(30));
            }
        }
    }
}
