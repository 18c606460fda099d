//! The connections of one thread.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use ringmain_proto::ws::Parser;
use rustls::ClientConnection;

use crate::outgoing::Outgoing;
use crate::tls;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not begun.
    Waiting,
    /// In the handshake.
    Connecting,
    /// Open.
    Open,
    /// We have sent our close frame.
    Closing,
    /// Over.
    Ended,
}

/// One connection. There can be hundreds of thousands, so it is small: no buffer while it is idle.
pub struct Link {
    stream: Option<TcpStream>,
    /// The TLS on it, if there is any. What the socket has not taken waits there then, not in the backlog.
    tls: Option<Box<ClientConnection>>,
    /// How far it is.
    pub progress: Progress,
    /// What the socket has not taken yet.
    backlog: Option<Box<Backlog>>,
    /// What is needed until it is open.
    pub handshake: Option<Box<Handshake>>,
    /// Parses what the server sends.
    pub parser: Parser,
}

/// A handshake under way.
#[derive(Debug, Default)]
pub struct Handshake {
    /// When connecting was to begin.
    pub due_ns: u64,
    /// When it began.
    pub begun_ns: u64,
    /// When it must be over.
    pub deadline_ns: u64,
    /// The key sent to the server; empty until the request has been sent.
    pub key: String,
    /// What has arrived of the response.
    pub head: Vec<u8>,
}

#[derive(Debug)]
struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
}

impl Backlog {
    /// So many bytes have gone. What has gone is let go when it is as much as what is left, so that a
    /// backlog which never empties does not grow for ever, and is not moved at each send either.
    fn take(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent * 2 >= self.bytes.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

impl Link {
    const fn new() -> Self {
        Link {
            stream: None,
            tls: None,
            progress: Progress::Waiting,
            backlog: None,
            handshake: None,
            parser: Parser::new(),
        }
    }

    /// It has a socket now, and is in the handshake.
    pub fn attach(
        &mut self,
        stream: TcpStream,
        tls: Option<Box<ClientConnection>>,
        (due_ns, begun_ns, deadline_ns): (u64, u64, u64),
    ) {
        self.stream = Some(stream);
        self.tls = tls;
        self.progress = Progress::Connecting;
        self.handshake = Some(Box::new(Handshake {
            due_ns,
            begun_ns,
            deadline_ns,
            ..Handshake::default()
        }));
    }

    /// It is over: the socket is closed.
    pub fn detach(&mut self) {
        *self = Link {
            progress: Progress::Ended,
            ..Link::new()
        };
    }

    /// The error that the socket has met, if any.
    pub fn take_error(&self) -> Option<io::Error> {
        let error = self.stream.as_ref().map(TcpStream::take_error)?;
        error.unwrap_or_else(Some)
    }

    /// Its descriptor; one that is not open if it has no socket.
    pub fn fd(&self) -> RawFd {
        self.stream.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Receives what is there; zero bytes mean the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there.
    #[inline]
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.stream.as_ref(), &mut self.tls) {
            (Some(mut stream), None) => stream.read(buffer),
            (Some(stream), Some(tls)) => tls::receive(tls, stream, buffer),
            (None, _) => Ok(0),
        }
    }

    /// Whether it speaks TLS: then a read that does not fill its buffer may have left something in the socket.
    #[inline]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Sends what `out` holds and empties it. What the socket does not take follows when it can, by
    /// [`resume`](Self::resume). An error shuts the socket, and receiving then says why.
    #[inline]
    pub fn send(&mut self, out: &mut Outgoing) {
        let frames = out.frames();
        if self.tls.is_some() {
            self.send_tls(frames);
        } else if let Some(backlog) = &mut self.backlog {
            backlog.bytes.extend_from_slice(frames);
        } else if let Some(mut stream) = self.stream.as_ref()
            && !frames.is_empty()
        {
            match stream.write(frames) {
                Ok(sent) if sent == frames.len() => {}
                Ok(sent) => self.keep(&frames[sent..]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.keep(frames),
                Err(_) => self.shut(),
            }
        }
        out.clear();
    }

    /// Encrypts and sends; what the socket does not take waits.
    fn send_tls(&mut self, frames: &[u8]) {
        let (Some(tls), Some(stream)) = (&mut self.tls, self.stream.as_ref()) else {
            return;
        };
        let sent = tls::queue(tls, frames).and_then(|()| tls::flush(tls, stream));
        if sent.is_err() {
            self.shut();
        }
    }

    #[cold]
    fn keep(&mut self, rest: &[u8]) {
        self.backlog = Some(Box::new(Backlog {
            bytes: rest.to_vec(),
            sent: 0,
        }));
    }

    /// Whether the socket has not yet taken what it was given.
    #[inline]
    pub fn is_stuck(&self) -> bool {
        self.backlog.is_some() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends of the backlog what the socket takes now.
    pub fn resume(&mut self) {
        if self.tls.is_some() {
            return self.send_tls(&[]);
        }
        let (Some(backlog), Some(mut stream)) = (&mut self.backlog, self.stream.as_ref()) else {
            return;
        };
        while !backlog.bytes.is_empty() {
            match stream.write(&backlog.bytes[backlog.sent..]) {
                Ok(sent) => backlog.take(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.backlog = None;
                    return self.shut();
                }
            }
        }
        self.backlog = None;
    }

    fn shut(&self) {
        if let Some(stream) = &self.stream {
            // It has failed already; this only makes the end show.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// All connections of a thread, by their number there.
pub struct Links(Vec<Link>);

impl Links {
    /// So many connections, none begun.
    pub fn new(count: usize) -> Self {
        Links((0..count).map(|_| Link::new()).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One of them.
    #[inline]
    pub fn get(&mut self, link: usize) -> &mut Link {
        &mut self.0[link]
    }

    /// Whether it is open for messages.
    #[inline]
    pub fn is_open(&self, link: usize) -> bool {
        self.0[link].progress == Progress::Open
    }

    /// Whether it speaks TLS.
    #[inline]
    pub fn is_tls(&self, link: usize) -> bool {
        self.0[link].is_tls()
    }

    /// Whether the socket has not yet taken what it was given.
    #[inline]
    pub fn is_stuck(&self, link: usize) -> bool {
        self.0[link].is_stuck()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use crate::cli::Mask;
    use ringmain_proto::ws::Opcode;
    use std::net::TcpListener;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Link>() <= 56, "{}", size_of::<Link>());
    }

    #[test]
    fn what_the_socket_does_not_take_follows_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_nonblocking(true).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut link = Link::new();
        link.attach(near, None, (0, 0, 0));
        let mut out = Outgoing::new(Mask::Zero, 1);
        let mut expected = Vec::new();
        while !link.is_stuck() || expected.len() < 9_000_000 {
            (0..100).for_each(|number: u8| out.push_control(Opcode::Pong, &[number; 100]));
            expected.extend_from_slice(out.frames());
            link.send(&mut out);
        }
        let mut received = vec![0; expected.len()];
        let mut filled = 0;
        while filled < expected.len() {
            filled += far.read(&mut received[filled..]).unwrap();
            link.resume();
        }
        assert!(!link.is_stuck());
        assert!(received == expected);
    }
}
