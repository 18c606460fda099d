//! Connections that say nothing: what accepting costs, and what holding them does.

use std::io;
use std::os::fd::RawFd;

use ringmain_benches::frame::{self, CLOSE};

use crate::Then;
use crate::io::Io;
use crate::server::Role;
use crate::socket;

/// The close frame of an empty payload.
const CLOSE_FRAME: [u8; 2] = [0x80 | CLOSE, 0];

/// The role: answers handshakes and closes, and nothing else.
#[derive(Debug)]
pub struct Quiet {
    then: Then,
}

impl Quiet {
    pub fn new(then: Then) -> Self {
        Self { then }
    }

    fn close(io: &mut Io, fd: RawFd) {
        // Two bytes fit into any socket that nothing else is sent to; if not, the peer sees the end anyway.
        let _ = socket::send(fd, &CLOSE_FRAME);
        io.end(fd);
    }
}

impl Role for Quiet {
    fn opened(&mut self, io: &mut Io, fd: RawFd) {
        if self.then == Then::Close {
            Self::close(io, fd);
        }
    }

    fn received(&mut self, io: &mut Io, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        let mut consumed = 0;
        while let Some(frame) = frame::parse(&data[consumed..])? {
            consumed += frame.bytes;
            if frame.opcode == CLOSE {
                Self::close(io, fd);
                break;
            }
        }
        Ok(consumed)
    }

    fn sent(&mut self, _io: &mut Io, _fd: RawFd, _bytes: usize) -> io::Result<()> {
        Ok(())
    }

    fn writable(&mut self, _io: &mut Io, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self, _io: &mut Io) -> io::Result<()> {
        Ok(())
    }

    fn has_work(&self) -> bool {
        false
    }

    fn ended(&mut self, _fd: RawFd) {}
}
