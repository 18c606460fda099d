//! hyper's input and output, in memory.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Bytes on their way to hyper and from it. A clone is another handle of the same pipe.
///
/// Bounded by its users: no more is received until hyper has taken what there is, and hyper writes no
/// more than its responses, which are short.
#[derive(Clone, Default)]
pub struct Pipe(Rc<RefCell<Buffers>>);

#[derive(Default)]
struct Buffers {
    received: Vec<u8>,
    /// How much of `received` hyper has taken.
    taken: usize,
    ended: bool,
    written: Vec<u8>,
}

impl Pipe {
    /// Adds bytes that have come in.
    pub fn received(&self, bytes: &[u8]) {
        self.0.borrow_mut().received.extend_from_slice(bytes);
    }

    /// Nothing more comes in.
    pub fn end(&self) {
        self.0.borrow_mut().ended = true;
    }

    /// Whether hyper has been told that nothing more comes in.
    pub fn is_at_end(&self) -> bool {
        self.0.borrow().ended
    }

    /// Whether something has come in that hyper has not taken.
    pub fn has_received(&self) -> bool {
        let buffers = self.0.borrow();
        buffers.taken < buffers.received.len()
    }

    /// Whether hyper has written since [`take_written`](Self::take_written).
    pub fn has_written(&self) -> bool {
        !self.0.borrow().written.is_empty()
    }

    /// What hyper has written since the last call.
    pub fn take_written(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().written)
    }

    /// What has come in and hyper has not taken.
    pub fn take_received(&self) -> Vec<u8> {
        let buffers = &mut *self.0.borrow_mut();
        buffers.received.split_off(buffers.taken)
    }
}

impl Read for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let buffers = &mut *self.0.borrow_mut();
        let waiting = &buffers.received[buffers.taken..];
        // No waker is kept: the task polls hyper again after each receive.
        if waiting.is_empty() && !buffers.ended {
            return Poll::Pending;
        }
        let bytes = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting[..bytes]);
        buffers.taken += bytes;
        if buffers.taken == buffers.received.len() {
            buffers.received.clear();
            buffers.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
