//! Descriptor limits, and a descriptor table for each thread.
//!
//! A private table has no lock to share and no pause of all threads when it grows, and makes
//! RLIMIT_NOFILE a limit a thread. What the thread's table has at that moment is a copy, and would
//! keep open what others close; so everything but a list is closed.

use std::io;
use std::os::fd::RawFd;

/// Raises the soft limit of open descriptors to the hard one, and returns it.
///
/// # Errors
/// The system calls'.
pub fn raise_limit() -> io::Result<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is readable.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// Whether a thread has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Its own: the limit is the thread's alone.
    Private,
    /// The process's: the system refused another, and the limit is shared by all threads.
    Shared,
}

/// Gives the calling thread a descriptor table of its own that holds only 0, 1, 2 and `keep`.
///
/// Descriptors that other threads open from now on do not exist here, and the other way round: a
/// number must not be handed to another thread any more.
pub fn make_private(keep: &[RawFd]) -> Table {
    let last = keep.iter().copied().fold(2, RawFd::max);
    // `close_range` first: it copies no more than it keeps, and container profiles that forbid
    // `unshare` allow it.
    // SAFETY: the call closes descriptors of a table that is this thread's alone once it is done;
    // what other threads hold stays open in theirs, and `keep` lists what this one uses.
    let closed = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            (last + 1) as libc::c_uint,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_UNSHARE,
        )
    };
    // SAFETY: unsharing the table changes no memory; only descriptor numbers part ways.
    if closed != 0 && unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Table::Shared;
    }
    let end = if closed == 0 {
        last + 1
    } else {
        highest_open() + 1
    };
    for fd in (3..end).filter(|fd| !keep.contains(fd)) {
        // SAFETY: the table is private, so this closes no other thread's descriptor.
        unsafe { libc::close(fd) };
    }
    Table::Private
}

/// The highest descriptor of the calling thread, as its directory in `/proc` says.
fn highest_open() -> RawFd {
    let open = std::fs::read_dir("/proc/thread-self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.max().unwrap_or(2)
}

/// How many descriptors the calling thread's table has open.
pub fn count_open() -> usize {
    std::fs::read_dir("/proc/thread-self/fd").map_or(0, |open| open.count().saturating_sub(1))
}
