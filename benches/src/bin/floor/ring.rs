//! The ring: what is asked of the kernel, and what has come of it.

use std::io;
use std::os::fd::RawFd;

use io_uring::{IoUring, opcode, squeue, types::Fd};

/// Above the receives and sends that one turn can ask for, so that one submit a turn is the rule.
const SUBMISSIONS: u32 = 1024;
/// One completion for each operation that can be in flight: two for each connection of the largest run.
const COMPLETIONS: u32 = 65_536;
/// `IORING_RECVSEND_POLL_FIRST`: arm the poll at once instead of trying the socket first.
const POLL_FIRST: u16 = 1;

/// What completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The listener, or the end signal, is readable.
    Watch,
    /// The socket is readable.
    Readable,
    /// The socket is writable.
    Writable,
    /// Bytes were received into the connection's buffer.
    Received,
    /// Bytes were sent.
    Sent,
}

impl Operation {
    fn tag(self, fd: RawFd) -> u64 {
        (self as u64) << 32 | u64::from(fd as u32)
    }

    fn of_tag(tag: u64) -> Option<Self> {
        [
            Self::Watch,
            Self::Readable,
            Self::Writable,
            Self::Received,
            Self::Sent,
        ]
        .into_iter()
        .find(|operation| *operation as u64 == tag >> 32)
    }
}

/// One operation's end.
#[derive(Debug, Clone, Copy)]
pub struct Completion {
    pub operation: Operation,
    pub fd: RawFd,
    /// A count or, below zero, an error number.
    pub result: i32,
}

/// An io_uring with the engine's flags.
pub struct Ring {
    uring: IoUring,
}

impl Ring {
    pub fn new() -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_coop_taskrun()
            .setup_single_issuer()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)
            .map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("no io_uring: {error}; it needs Linux 6.0 and no seccomp ban"),
                )
            })?;
        Ok(Self { uring })
    }

    /// Waits once for `fd` to be readable.
    pub fn watch(&mut self, fd: RawFd) -> io::Result<()> {
        self.poll(fd, libc::POLLIN, Operation::Watch)
    }

    /// Waits once for a connection to be readable.
    pub fn await_readable(&mut self, fd: RawFd) -> io::Result<()> {
        self.poll(fd, libc::POLLIN | libc::POLLRDHUP, Operation::Readable)
    }

    /// Waits once for a connection to be writable.
    pub fn await_writable(&mut self, fd: RawFd) -> io::Result<()> {
        self.poll(fd, libc::POLLOUT, Operation::Writable)
    }

    fn poll(&mut self, fd: RawFd, events: libc::c_short, operation: Operation) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fd(fd), events as u32).build();
        // SAFETY: a poll refers to no memory.
        unsafe { self.push(entry.user_data(operation.tag(fd))) }
    }

    /// Receives into `buffer`.
    ///
    /// # Safety
    /// `buffer` must stay alive and untouched until the operation completes.
    pub unsafe fn receive(
        &mut self,
        fd: RawFd,
        buffer: &mut [u8],
        poll_first: bool,
    ) -> io::Result<()> {
        let entry = opcode::Recv::new(Fd(fd), buffer.as_mut_ptr(), buffer.len() as u32)
            .ioprio(if poll_first { POLL_FIRST } else { 0 })
            .build();
        // SAFETY: the caller keeps the buffer.
        unsafe { self.push(entry.user_data(Operation::Received.tag(fd))) }
    }

    /// Sends `data`.
    ///
    /// # Safety
    /// `data` must stay alive until the operation completes.
    pub unsafe fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<()> {
        let entry = opcode::Send::new(Fd(fd), data.as_ptr(), data.len() as u32)
            .flags(libc::MSG_NOSIGNAL)
            .build();
        // SAFETY: the caller keeps the data.
        unsafe { self.push(entry.user_data(Operation::Sent.tag(fd))) }
    }

    /// # Safety
    /// Whatever memory `entry` refers to must outlive the operation.
    unsafe fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: passed on from the caller.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.submit(false)?;
        }
    }

    /// Hands all that was asked for to the kernel and, if told to, waits for something to complete.
    pub fn submit(&mut self, wait: bool) -> io::Result<()> {
        match self.uring.submit_and_wait(usize::from(wait)) {
            Ok(_) => Ok(()),
            // EINTR: a signal; EBUSY, EAGAIN: reap first. In each case the caller's next turn asks again.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves what has completed into `into`.
    pub fn take_completions(&mut self, into: &mut Vec<Completion>) {
        into.extend(self.uring.completion().filter_map(|entry| {
            let operation = Operation::of_tag(entry.user_data())?;
            Some(Completion {
                operation,
                fd: entry.user_data() as u32 as RawFd,
                result: entry.result(),
            })
        }));
    }
}
