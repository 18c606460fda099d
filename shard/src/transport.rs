//! What lies between a connection's socket and what it says.

use std::net::{Shutdown, SocketAddr};
use std::os::fd::RawFd;

use ringmain_rt::Socket;

use crate::tls::TlsSocket;

/// The way to a peer.
pub enum Transport {
    /// What is said is what the socket carries.
    Plain(Socket),
    /// The socket carries TLS. Boxed, so that a plain connection is not larger for it.
    Tls(Box<TlsSocket>),
}

impl Transport {
    /// The socket, to wait for.
    pub fn socket(&self) -> &Socket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(tls) => tls.socket(),
        }
    }

    /// The TLS on it, if there is any.
    pub fn tls(&self) -> Option<&TlsSocket> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => Some(tls),
        }
    }

    /// The socket's descriptor.
    pub fn fd(&self) -> RawFd {
        self.socket().fd()
    }

    /// The other end's address. `None` once the system has forgotten it, as after a reset.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.socket().peer()
    }

    /// Shuts one half or both. With TLS the peer is told first, as far as the socket takes it without waiting.
    pub fn shutdown(&self, how: Shutdown) {
        if let (Some(tls), Shutdown::Write | Shutdown::Both) = (self.tls(), how) {
            tls.say_farewell();
        }
        self.socket().shutdown(how);
    }
}
