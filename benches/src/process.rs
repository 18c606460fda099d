//! The process's own limits and place: descriptors, the core it runs on, and its end.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place for the kernel to write one rlimit to.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is initialised and only read.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// Keeps the calling thread on one core.
pub fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no cpu {cpu}"),
        ));
    }
    // SAFETY: all zeroes is the empty set; `CPU_SET` stays inside it because `cpu` was checked above.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: the set is initialised and its true size is given.
    checked(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) })?;
    Ok(())
}

/// A descriptor that becomes readable at SIGTERM or SIGINT, so that a loop ends between two turns.
#[derive(Debug)]
pub struct EndSignal(OwnedFd);

impl EndSignal {
    /// Blocks both signals for this thread and its children, and takes them as a descriptor.
    pub fn new() -> io::Result<Self> {
        // SAFETY: all zeroes is a valid sigset_t to be written to; each call gets a pointer to it that lives long
        // enough, and the descriptor that signalfd returns is new and owned by nobody else.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            checked(libc::sigemptyset(&mut set))?;
            checked(libc::sigaddset(&mut set, libc::SIGTERM))?;
            checked(libc::sigaddset(&mut set, libc::SIGINT))?;
            checked(libc::sigprocmask(
                libc::SIG_BLOCK,
                &set,
                std::ptr::null_mut(),
            ))?;
            let fd = checked(libc::signalfd(
                -1,
                &set,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            ))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// The descriptor to wait for.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
