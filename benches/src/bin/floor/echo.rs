//! Echo: every message goes back to its sender, all that one receive brought in one send.

use std::io;
use std::os::fd::RawFd;

use ringmain_benches::frame::{self, CLOSE, PING, PONG};

use crate::io::{Io, Sending};
use crate::server::Role;

/// A peer that does not read is not read from beyond this.
const PENDING_BYTES_MAX: usize = 256 * 1024;

/// The answers of one connection.
#[derive(Debug, Default)]
struct Answers {
    /// In the kernel's hands, or partly sent.
    leaving: Vec<u8>,
    sent: usize,
    /// Gathered meanwhile.
    pending: Vec<u8>,
    /// A close frame is the last of them.
    closing: bool,
}

/// The role.
#[derive(Debug, Default)]
pub struct Echo {
    answers: Vec<Answers>,
    /// Buffers not in use, the warmest last: only as many are touched as are in flight at once.
    spare: Vec<Vec<u8>>,
}

impl Echo {
    /// Sends until the socket is full, the ring has it, or nothing is left.
    fn transmit(&mut self, io: &mut Io, fd: RawFd) -> io::Result<()> {
        let answers = &mut self.answers[fd as usize];
        while !io.is_sending(fd) {
            if answers.sent == answers.leaving.len() {
                answers.sent = 0;
                answers.leaving.clear();
                if answers.pending.is_empty() {
                    break;
                }
                std::mem::swap(&mut answers.leaving, &mut answers.pending);
            }
            // SAFETY: `leaving` is changed only above, once all of it is sent, and dropped only in `ended`.
            match unsafe { io.send(fd, &answers.leaving[answers.sent..])? } {
                Sending::Took(bytes) => answers.sent += bytes,
                Sending::InFlight => break,
            }
        }
        if answers.leaving.is_empty() && answers.pending.is_empty() {
            for buffer in [&mut answers.leaving, &mut answers.pending] {
                if buffer.capacity() > 0 {
                    self.spare.push(std::mem::take(buffer));
                }
            }
            if answers.closing {
                io.end(fd);
            }
        }
        Ok(())
    }
}

impl Role for Echo {
    fn opened(&mut self, _io: &mut Io, fd: RawFd) {
        let index = fd as usize;
        if self.answers.len() <= index {
            self.answers.resize_with(index + 1, Answers::default);
        }
    }

    fn received(&mut self, io: &mut Io, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        let answers = &mut self.answers[fd as usize];
        if answers.pending.capacity() == 0 {
            answers.pending = self.spare.pop().unwrap_or_default();
        }
        let mut consumed = 0;
        while let Some(frame) = frame::parse(&data[consumed..])? {
            consumed += frame.bytes;
            if frame.opcode == PONG || answers.closing {
                continue;
            }
            answers.closing = frame.opcode == CLOSE;
            let opcode = if frame.opcode == PING {
                PONG
            } else {
                frame.opcode
            };
            frame::push_header(&mut answers.pending, opcode, frame.payload.len());
            frame::push_unmasked(&mut answers.pending, frame.payload, frame.mask);
        }
        self.transmit(io, fd)?;
        if self.answers[fd as usize].pending.len() > PENDING_BYTES_MAX {
            io.pause(fd);
        }
        Ok(consumed)
    }

    fn sent(&mut self, io: &mut Io, fd: RawFd, bytes: usize) -> io::Result<()> {
        self.answers[fd as usize].sent += bytes;
        self.writable(io, fd)
    }

    fn writable(&mut self, io: &mut Io, fd: RawFd) -> io::Result<()> {
        self.transmit(io, fd)?;
        if self.answers[fd as usize].pending.len() <= PENDING_BYTES_MAX {
            io.resume(fd)?;
        }
        Ok(())
    }

    fn flush(&mut self, _io: &mut Io) -> io::Result<()> {
        Ok(())
    }

    fn has_work(&self) -> bool {
        false
    }

    fn ended(&mut self, fd: RawFd) {
        if let Some(answers) = self.answers.get_mut(fd as usize) {
            *answers = Answers::default();
        }
    }
}
