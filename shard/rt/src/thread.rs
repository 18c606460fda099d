//! Threads of the data plane.

use std::io;
use std::os::fd::RawFd;
use std::thread::JoinHandle;

use crate::cpu;
use crate::descriptors::{self, Table};

/// How a thread is set up before it runs.
#[derive(Clone, Debug)]
pub struct ThreadSetup {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The core that it is pinned to.
    pub cpu: Option<usize>,
    /// Descriptors beside 0, 1 and 2 that its private table keeps.
    pub keep: Vec<RawFd>,
}

/// Starts a thread: all signals blocked, pinned, with a descriptor table of its own.
///
/// # Errors
/// The thread could not be started. That it could not be pinned is told to `run`.
pub fn spawn<T: Send + 'static>(
    setup: ThreadSetup,
    run: impl FnOnce(Table, io::Result<()>) -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(setup.name).spawn(move || {
        block_signals();
        let pinned = setup.cpu.map_or(Ok(()), cpu::pin);
        let table = descriptors::make_private(&setup.keep);
        run(table, pinned)
    })
}

/// Leaves signals to the control plane: their handler writes to a pipe by number, and the number
/// means something else here.
fn block_signals() {
    // SAFETY: an all-zero sigset_t is valid to be filled.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is writable.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: `all` is readable; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
}
