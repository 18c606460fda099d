//! The loop: accept, receive, hand on, submit once.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, RawFd};

use ringmain_benches::handshake;
use ringmain_benches::process::EndSignal;

use crate::ReceiveBy;
use crate::io::{Io, RECEIVE_BYTES};
use crate::ring::{Completion, Operation};
use crate::socket;

const HEAD_BYTES_MAX: usize = 8192;

/// What a floor does with messages. An error ends the connection that it came from.
pub trait Role {
    /// The 101 has been sent.
    fn opened(&mut self, io: &mut Io, fd: RawFd);
    /// Bytes came; returns how many of them made whole frames.
    fn received(&mut self, io: &mut Io, fd: RawFd, data: &[u8]) -> io::Result<usize>;
    /// A send on the ring took this many bytes.
    fn sent(&mut self, io: &mut Io, fd: RawFd, bytes: usize) -> io::Result<()>;
    /// The socket takes bytes again.
    fn writable(&mut self, io: &mut Io, fd: RawFd) -> io::Result<()>;
    /// The end of a turn.
    fn flush(&mut self, io: &mut Io) -> io::Result<()>;
    /// Whether the next turn has something to do even if nothing completes.
    fn has_work(&self) -> bool;
    /// The connection is gone, and nothing of it is in flight.
    fn ended(&mut self, fd: RawFd);
}

/// One listener, one ring, one thread.
pub struct Server<R> {
    io: Io,
    listener: TcpListener,
    end: EndSignal,
    role: R,
    scratch: Vec<u8>,
}

impl<R: Role> Server<R> {
    pub fn new(io: Io, listener: TcpListener, end: EndSignal, role: R) -> Self {
        Self {
            io,
            listener,
            end,
            role,
            scratch: vec![0; RECEIVE_BYTES],
        }
    }

    /// Serves until SIGTERM or SIGINT.
    pub fn run(mut self) -> io::Result<()> {
        self.io.ring.watch(self.listener.as_raw_fd())?;
        self.io.ring.watch(self.end.fd())?;
        let mut completions = Vec::new();
        loop {
            self.io.ring.submit(!self.role.has_work())?;
            self.io.ring.take_completions(&mut completions);
            for completion in completions.drain(..) {
                if completion.operation != Operation::Watch {
                    self.complete(completion)?;
                } else if completion.fd == self.listener.as_raw_fd() {
                    self.accept()?;
                } else {
                    return Ok(());
                }
            }
            self.role.flush(&mut self.io)?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(fd) = socket::accept(&self.listener)? {
            self.io.add(fd);
            self.io.arm_receive(fd)?;
        }
        self.io.ring.watch(self.listener.as_raw_fd())
    }

    fn complete(&mut self, completion: Completion) -> io::Result<()> {
        let Completion {
            operation,
            fd,
            result,
        } = completion;
        let Some(connection) = self.io.get(fd) else {
            return Ok(());
        };
        let outcome = match operation {
            Operation::Readable | Operation::Received => {
                connection.receiving = false;
                if connection.ending {
                    Ok(())
                } else {
                    self.receive(fd, result)
                }
            }
            Operation::Writable | Operation::Sent => {
                connection.sending = false;
                match usize::try_from(result) {
                    Err(_) => Err(io::Error::from_raw_os_error(-result)),
                    Ok(_) if connection.ending => Ok(()),
                    Ok(bytes) if operation == Operation::Sent => {
                        self.role.sent(&mut self.io, fd, bytes)
                    }
                    Ok(_) => self.role.writable(&mut self.io, fd),
                }
            }
            Operation::Watch => Ok(()),
        };
        if let Err(error) = outcome {
            if error.kind() == io::ErrorKind::InvalidData {
                eprintln!("floor: closed a connection: {error}");
            }
            self.io.end(fd);
        }
        if self.io.release(fd) {
            self.role.ended(fd);
        }
        self.io.arm_receive(fd)
    }

    /// Takes what was received (or receives it, after a poll), hands the whole frames on and keeps the rest.
    fn receive(&mut self, fd: RawFd, result: i32) -> io::Result<()> {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let by_poll = self.io.receive_by == ReceiveBy::Poll;
        let Some(connection) = self.io.get(fd) else {
            return Ok(());
        };
        let mut buffer = std::mem::take(if by_poll {
            &mut self.scratch
        } else {
            &mut connection.buffer
        });
        let filled = if by_poll {
            let kept = connection.tail.len();
            buffer[..kept].copy_from_slice(&connection.tail);
            match socket::receive(fd, &mut buffer[kept..]) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => Ok(kept + bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(kept),
                Err(error) => Err(error),
            }
        } else if result == 0 {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(connection.filled + result as usize)
        };
        let outcome = filled.and_then(|filled| Ok((filled, self.hand_on(fd, &buffer[..filled])?)));
        self.keep(fd, buffer, by_poll, &outcome);
        outcome.map(drop)
    }

    fn keep(
        &mut self,
        fd: RawFd,
        mut buffer: Vec<u8>,
        by_poll: bool,
        outcome: &io::Result<(usize, usize)>,
    ) {
        let rest = match outcome {
            Ok((filled, consumed)) => *consumed..*filled,
            Err(_) => 0..0,
        };
        if by_poll {
            if let Some(connection) = self.io.get(fd) {
                connection.tail.clear();
                connection.tail.extend_from_slice(&buffer[rest]);
            }
            self.scratch = buffer;
        } else if let Some(connection) = self.io.get(fd) {
            connection.filled = rest.len();
            buffer.copy_within(rest, 0);
            connection.buffer = buffer;
        }
    }

    /// Hands on what was received and returns how much of it is done with.
    fn hand_on(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        if self.io.get(fd).is_some_and(|connection| connection.open) {
            return self.role.received(&mut self.io, fd, data);
        }
        let Some(head_bytes) = handshake::head_bytes(data) else {
            return if data.len() > HEAD_BYTES_MAX {
                Err(io::ErrorKind::InvalidData.into())
            } else {
                Ok(0)
            };
        };
        let Some(response) = handshake::switching_protocols(&data[..head_bytes]) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the request has no Sec-WebSocket-Key",
            ));
        };
        // A fresh socket takes this whole, or is no use.
        if socket::send(fd, &response)? != response.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if let Some(connection) = self.io.get(fd) {
            connection.open = true;
        }
        self.role.opened(&mut self.io, fd);
        Ok(head_bytes + self.role.received(&mut self.io, fd, &data[head_bytes..])?)
    }
}
