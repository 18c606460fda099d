//! What is set for the whole process, and its end, where nothing can be relied on any more.

use std::time::{Duration, Instant};

/// What [`last_words`] writes at most: what a pipe takes in one piece.
const LAST_WORDS_BYTES_MAX: usize = libc::PIPE_BUF;
/// How long [`last_words`] waits for somebody to read.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(200);

/// Keeps transparent huge pages away from this process: with them the allocator's memory is had in
/// pieces of 2 MiB, of which 100,000 idle connections fill about a half. Has no effect on a kernel
/// that does not know the call.
pub fn disable_huge_pages() {
    // SAFETY: the call changes how later page faults are served; no memory is touched.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Ends the process at once, without running anything of it: no destructors, no exit handlers, no
/// other thread's last step.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` touches nothing of this process's memory.
    unsafe { libc::_exit(code) }
}

/// Writes to stderr without a lock that another thread may hold, and without waiting for long on a
/// reader that does not read. What is too long is cut off.
pub fn last_words(text: &str) {
    let mut bytes = &text.as_bytes()[..text.len().min(LAST_WORDS_BYTES_MAX)];
    let deadline = Instant::now() + LAST_WORDS_WAIT;
    while !bytes.is_empty() && Instant::now() < deadline {
        let mut poll = libc::pollfd {
            fd: libc::STDERR_FILENO,
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: `poll` is one writable pollfd.
        if unsafe { libc::poll(&raw mut poll, 1, 10) } != 1 {
            continue;
        }
        // SAFETY: the buffer is readable for its length. A pipe that is writable has room for this
        // much, so the call does not block.
        let written = unsafe { libc::write(poll.fd, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(written) => bytes = &bytes[written..],
            Err(_) => return,
        }
    }
}
