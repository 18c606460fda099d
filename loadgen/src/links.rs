//! The connections of one thread.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::rc::Rc;

use ringmain_proto::ws::Parser;
use ringmain_rt::{Socket, socket};

use crate::outgoing::Outgoing;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not begun.
    Waiting,
    /// In the handshake.
    Connecting,
    /// The handshake took too long, and the socket was shut.
    TimedOut,
    /// Open.
    Open,
    /// We have sent our close frame.
    Closing,
    /// Over.
    Ended,
}

/// One connection. There can be hundreds of thousands, so it is small: no buffer while it is idle.
pub struct Link {
    socket: Option<Rc<Socket>>,
    backlog: Option<Box<Backlog>>,
    /// Parses what the server sends.
    pub parser: Parser,
    fd: RawFd,
    /// How far it is.
    pub progress: Progress,
}

/// What the socket has not taken yet.
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
            socket: None,
            backlog: None,
            parser: Parser::new(),
            fd: -1,
            progress: Progress::Waiting,
        }
    }

    /// Shuts the socket, so that its task sees the end.
    pub fn shut(&self) {
        if let Some(socket) = &self.socket {
            socket.shutdown(Shutdown::Both);
        }
    }
}

/// All connections of a thread, by their number there.
pub struct Links {
    links: Vec<Link>,
    /// Connections that have got a backlog and have nobody yet who waits until it can go.
    stuck: Vec<usize>,
}

impl Links {
    /// So many connections, none begun.
    pub fn new(count: usize) -> Self {
        Links {
            links: (0..count).map(|_| Link::new()).collect(),
            stuck: Vec::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// One of them.
    #[inline]
    pub fn get(&mut self, index: usize) -> &mut Link {
        &mut self.links[index]
    }

    /// Whether it is open for messages.
    #[inline]
    pub fn is_open(&self, index: usize) -> bool {
        self.links[index].progress == Progress::Open
    }

    /// Whether the socket has not yet taken what it was given.
    pub fn is_stuck(&self, index: usize) -> bool {
        self.links[index].backlog.is_some()
    }

    /// A connection has a socket now.
    pub fn attach(&mut self, index: usize, socket: Rc<Socket>) {
        let link = &mut self.links[index];
        link.fd = socket.fd();
        link.socket = Some(socket);
        link.progress = Progress::Connecting;
    }

    /// A connection is over: its descriptor goes as soon as nothing waits for it.
    pub fn detach(&mut self, index: usize) {
        let link = &mut self.links[index];
        link.socket = None;
        link.backlog = None;
        link.parser = Parser::new();
        link.progress = Progress::Ended;
    }

    /// Sends what `out` holds and empties it. What the socket does not take follows when it can; see
    /// [`take_stuck`](Self::take_stuck). An error shuts the socket, and its task then says why.
    #[inline]
    pub fn send(&mut self, index: usize, out: &mut Outgoing) {
        let link = &mut self.links[index];
        let frames = out.frames();
        if let Some(backlog) = &mut link.backlog {
            backlog.bytes.extend_from_slice(frames);
        } else if link.socket.is_some() && !frames.is_empty() {
            match socket::send(link.fd, &[IoSlice::new(frames)]) {
                Ok(sent) if sent == frames.len() => {}
                Ok(sent) => self.keep(index, &frames[sent..]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.keep(index, frames),
                Err(_) => link.shut(),
            }
        }
        out.clear();
    }

    #[cold]
    fn keep(&mut self, index: usize, rest: &[u8]) {
        self.links[index].backlog = Some(Box::new(Backlog {
            bytes: rest.to_vec(),
            sent: 0,
        }));
        self.stuck.push(index);
    }

    /// A connection that has got a backlog since it was last asked, with its socket: the caller waits
    /// until that can be written to, and then calls [`resume`](Self::resume).
    pub fn take_stuck(&mut self) -> Option<(usize, Rc<Socket>)> {
        loop {
            let index = self.stuck.pop()?;
            if let Some(socket) = &self.links[index].socket {
                return Some((index, socket.clone()));
            }
        }
    }

    /// Sends of the backlog what the socket takes now; returns whether nothing is left.
    pub fn resume(&mut self, index: usize) -> bool {
        let link = &mut self.links[index];
        let Some(backlog) = &mut link.backlog else {
            return true;
        };
        match socket::send(link.fd, &[IoSlice::new(&backlog.bytes[backlog.sent..])]) {
            Ok(sent) => backlog.take(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                link.shut();
                link.backlog = None;
                return true;
            }
        }
        if backlog.bytes.is_empty() {
            link.backlog = None;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Link>() <= 48, "{}", size_of::<Link>());
    }
}
