//! The choice between io_uring and epoll, made once and out loud.

use std::fmt;
use std::io;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// What the operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IoChoice {
    /// io_uring where it is to be had, else epoll.
    #[default]
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

/// What a thread runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Uring => "io_uring",
            Backend::Epoll => "epoll",
        })
    }
}

/// A back end, and why it is this one.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The back end.
    pub backend: Backend,
    /// One line for the operator: the reason and, where there is one, the remedy.
    pub reason: String,
}

/// io_uring was asked for and is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("io_uring cannot be used: {source}. {remedy}")]
pub struct UringUnavailable {
    source: io::Error,
    remedy: &'static str,
}

/// Operations that one submission takes before it is flushed.
const RING_ENTRIES: u32 = 1024;
/// Completions that the ring holds before the kernel has to keep them aside.
const COMPLETION_ENTRIES: u32 = 16_384;

/// Chooses the back end, by making a ring to see whether that works.
///
/// # Errors
/// [`IoChoice::Uring`] where there is no io_uring.
pub fn choose(choice: IoChoice) -> Result<Chosen, UringUnavailable> {
    if choice == IoChoice::Epoll {
        return Ok(Chosen {
            backend: Backend::Epoll,
            reason: "asked for".into(),
        });
    }
    match ring_builder().and_then(|builder| builder.build(RING_ENTRIES)) {
        Ok(_) => Ok(Chosen {
            backend: Backend::Uring,
            reason: "available".into(),
        }),
        Err(source) if choice == IoChoice::Uring => {
            let remedy = remedy(&source);
            Err(UringUnavailable { source, remedy })
        }
        Err(source) => {
            let reason = format!("io_uring cannot be used: {source}. {}", remedy(&source));
            Ok(Chosen {
                backend: Backend::Epoll,
                reason,
            })
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => {
            "Allow it: in a container by a seccomp profile that permits the io_uring system calls, on the host by `sysctl kernel.io_uring_disabled=0`"
        }
        Some(libc::ENOSYS) => "The kernel has none: Linux 5.11 or later is needed",
        Some(libc::ENOMEM) => {
            "Raise the locked-memory limit: `ulimit -l`, or LimitMEMLOCK= in systemd"
        }
        _ => "Use `--io epoll`",
    }
}

/// Flags that the kernel knows: `COOP_TASKRUN | SINGLE_ISSUER`, or none before Linux 6.0.
fn ring_builder() -> io::Result<io_uring_06::Builder> {
    let mut builder = io_uring_06::IoUring::builder();
    builder
        .setup_coop_taskrun()
        .setup_single_issuer()
        .setup_cqsize(COMPLETION_ENTRIES);
    match builder.build(8) {
        Ok(_) => Ok(builder),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let mut builder = io_uring_06::IoUring::builder();
            builder.setup_cqsize(COMPLETION_ENTRIES);
            Ok(builder)
        }
        Err(error) => Err(error),
    }
}

/// Runs a future to its end on the calling thread, with all that it spawns.
///
/// # Errors
/// The ring or the epoll instance could not be made.
pub fn run<T>(backend: Backend, future: impl Future<Output = T>) -> io::Result<T> {
    match backend {
        Backend::Uring => {
            let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring_builder()?);
            Ok(builder
                .with_entries(RING_ENTRIES)
                .enable_timer()
                .build()?
                .block_on(future))
        }
        Backend::Epoll => Ok(RuntimeBuilder::<LegacyDriver>::new()
            .enable_timer()
            .build()?
            .block_on(future)),
    }
}
