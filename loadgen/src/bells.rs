//! Waking the threads of a run.

use std::io;
use std::os::fd::RawFd;

use ringmain_rt::{Bell, Doorbell, SleepWord, SocketDoorbell};

/// One doorbell a thread. Made before any thread, so that the numbers mean the same in all tables.
#[derive(Debug)]
pub struct Bells {
    rings: Vec<SocketDoorbell>,
    sleeps: Vec<SleepWord>,
}

impl Bells {
    /// Doorbells for so many threads, and the ends that wake them.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(threads: usize) -> io::Result<(Bells, Vec<Bell>)> {
        let pairs: io::Result<Vec<_>> = (0..threads).map(|_| ringmain_rt::doorbell()).collect();
        let (rings, wakes): (Vec<_>, Vec<_>) = pairs?.into_iter().unzip();
        let sleeps = rings.iter().map(|_| SleepWord::default()).collect();
        Ok((Bells { rings, sleeps }, wakes))
    }

    /// The descriptors that every table must keep.
    pub fn fds(&self) -> impl Iterator<Item = RawFd> {
        self.rings.iter().map(SocketDoorbell::fd)
    }

    /// Wakes a thread if it sleeps; to be called after what it shall see has been written.
    pub fn wake(&self, thread: usize) {
        if self.sleeps[thread].must_ring() {
            self.rings[thread].ring();
        }
    }

    /// Wakes all that sleep.
    pub fn wake_all(&self) {
        (0..self.rings.len()).for_each(|thread| self.wake(thread));
    }

    /// The calling thread is about to sleep if nothing waits for it; returns whether it may.
    pub fn arm(&self, thread: usize, nothing_waits: impl FnOnce() -> bool) -> bool {
        self.sleeps[thread].arm(nothing_waits)
    }

    /// The calling thread is awake.
    pub fn disarm(&self, thread: usize) {
        self.sleeps[thread].disarm();
    }
}
