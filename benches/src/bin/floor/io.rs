//! The connections and what is in flight on each: at most one receive and one send.

use std::io;
use std::os::fd::RawFd;

use ringmain_benches::frame::FRAME_BYTES_MAX;

use crate::ring::Ring;
use crate::{ReceiveBy, SendBy, socket};

/// Room for the unfinished head of one largest frame and a page more, so that a receive always has space.
pub const RECEIVE_BYTES: usize = FRAME_BYTES_MAX + 4096;

/// One socket.
#[derive(Debug, Default)]
pub struct Connection {
    /// The 101 has been sent.
    pub open: bool,
    /// With `--receive ring`: the buffer that the kernel writes to. Absent while it is being parsed.
    pub buffer: Vec<u8>,
    /// With `--receive ring`: how much of `buffer` is an unfinished frame.
    pub filled: usize,
    /// With `--receive poll`: the unfinished frame.
    pub tail: Vec<u8>,
    /// A receive, or the poll before it, is in flight.
    pub receiving: bool,
    /// A send, or the poll before it, is in flight.
    pub sending: bool,
    /// Nothing is received until the role resumes the connection.
    pub paused: bool,
    /// It has been shut down and goes when nothing is in flight.
    pub ending: bool,
}

/// How far a send has come.
#[derive(Debug, Clone, Copy)]
pub enum Sending {
    /// This many bytes were taken, and more may be sent now.
    Took(usize),
    /// Nothing more can be sent before [`crate::server::Role::writable`] or [`crate::server::Role::sent`].
    InFlight,
}

/// The ring and the connections.
pub struct Io {
    pub ring: Ring,
    pub receive_by: ReceiveBy,
    send_by: SendBy,
    connections: Vec<Option<Box<Connection>>>,
}

impl Io {
    pub fn new(send_by: SendBy, receive_by: ReceiveBy) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new()?,
            receive_by,
            send_by,
            connections: Vec::new(),
        })
    }

    /// Registers an accepted socket.
    pub fn add(&mut self, fd: RawFd) {
        let index = fd as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, || None);
        }
        let mut connection = Box::<Connection>::default();
        if self.receive_by != ReceiveBy::Poll {
            connection.buffer = vec![0; RECEIVE_BYTES];
        }
        self.connections[index] = Some(connection);
    }

    /// The connection of `fd`, unless it is gone.
    pub fn get(&mut self, fd: RawFd) -> Option<&mut Connection> {
        self.connections.get_mut(fd as usize)?.as_deref_mut()
    }

    /// Asks for the next bytes, unless that has been done or must not be.
    pub fn arm_receive(&mut self, fd: RawFd) -> io::Result<()> {
        let poll_first = self.receive_by == ReceiveBy::RingPollFirst;
        let Some(Some(connection)) = self.connections.get_mut(fd as usize) else {
            return Ok(());
        };
        if connection.receiving || connection.paused || connection.ending {
            return Ok(());
        }
        connection.receiving = true;
        if self.receive_by == ReceiveBy::Poll {
            return self.ring.await_readable(fd);
        }
        let spare = &mut connection.buffer[connection.filled..];
        // SAFETY: the buffer is freed only with the connection, which waits for `receiving` to end, and `receiving`
        // keeps everybody from touching it before.
        unsafe { self.ring.receive(fd, spare, poll_first) }
    }

    /// Stops receiving, so that a peer that does not read cannot make this program buffer without end.
    pub fn pause(&mut self, fd: RawFd) {
        if let Some(connection) = self.get(fd) {
            connection.paused = true;
        }
    }

    /// Receives again.
    pub fn resume(&mut self, fd: RawFd) -> io::Result<()> {
        if let Some(connection) = self.get(fd) {
            connection.paused = false;
        }
        self.arm_receive(fd)
    }

    /// Whether a send has to wait for the one before it.
    pub fn is_sending(&mut self, fd: RawFd) -> bool {
        self.get(fd)
            .is_none_or(|connection| connection.sending || connection.ending)
    }

    /// Sends `data` the way that was chosen at start.
    ///
    /// # Safety
    /// `data` must stay alive until the role's `sent` is called for this connection, or its `ended`.
    pub unsafe fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<Sending> {
        if self.send_by == SendBy::Ring {
            self.mark_sending(fd);
            // SAFETY: passed on from the caller.
            unsafe { self.ring.send(fd, data)? };
            return Ok(Sending::InFlight);
        }
        match socket::send(fd, data) {
            Ok(bytes) => Ok(Sending::Took(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.mark_sending(fd);
                self.ring.await_writable(fd)?;
                Ok(Sending::InFlight)
            }
            Err(error) => Err(error),
        }
    }

    fn mark_sending(&mut self, fd: RawFd) {
        if let Some(connection) = self.get(fd) {
            connection.sending = true;
        }
    }

    /// Begins the end of a connection.
    pub fn end(&mut self, fd: RawFd) {
        if let Some(connection) = self.get(fd)
            && !connection.ending
        {
            connection.ending = true;
            socket::shut_down(fd);
        }
    }

    /// Finishes the end of a connection once nothing is in flight on it; says whether it did.
    pub fn release(&mut self, fd: RawFd) -> bool {
        let Some(connection) = self.get(fd) else {
            return false;
        };
        if !connection.ending || connection.receiving || connection.sending {
            return false;
        }
        self.connections[fd as usize] = None;
        socket::close(fd);
        true
    }
}
