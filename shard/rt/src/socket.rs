//! Non-blocking sockets: wait for readiness on the runtime, then call the system directly.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use monoio::net::udp::UdpSocket;

use crate::batch::receive_now;

/// A connected, non-blocking stream socket of the thread that made it.
///
/// No operation that carries bytes is ever in flight on it: the runtime only says when it is
/// readable or writable. So nothing is lost when a wait is dropped, and an idle socket owns no
/// buffer.
pub struct Socket {
    // monoio's smallest type that waits for a descriptor. What kind of socket it is does not matter:
    // nothing else of it is used.
    pollable: UdpSocket,
}

impl Socket {
    /// Takes over a descriptor, which must be a non-blocking stream socket.
    ///
    /// # Errors
    /// The runtime could not register it.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Socket {
            pollable: UdpSocket::from_std(std::net::UdpSocket::from(fd))?,
        })
    }

    /// Waits until there is something to read, the end included.
    pub async fn readable(&self) -> io::Result<()> {
        // Not relaxed: on epoll a relaxed wait never clears the readiness, and spins.
        self.pollable.readable(false).await
    }

    /// Waits until bytes can be written, or the socket has failed.
    pub async fn writable(&self) -> io::Result<()> {
        self.pollable.writable(false).await
    }

    /// The descriptor, valid in this thread while the socket lives.
    pub fn fd(&self) -> RawFd {
        self.pollable.as_raw_fd()
    }

    /// Reads what is there into `buffer`, without waiting; zero bytes mean the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        receive_now(self.fd(), buffer)
    }

    /// The other end's address. `None` once the system has forgotten it, as after a reset.
    pub fn peer(&self) -> Option<SocketAddr> {
        // SAFETY: the descriptor is this socket's, and the borrow ends with this call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd()) };
        socket2::SockRef::from(&fd).peer_addr().ok()?.as_socket()
    }

    /// Shuts one half or both.
    pub fn shutdown(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => libc::SHUT_RD,
            Shutdown::Write => libc::SHUT_WR,
            Shutdown::Both => libc::SHUT_RDWR,
        };
        // The peer may have shut it before; either way it is shut.
        // SAFETY: the call touches no memory, and the descriptor is this socket's.
        unsafe { libc::shutdown(self.fd(), how) };
    }
}

/// A listener of one thread.
pub struct Listener {
    socket: Socket,
}

/// Binds without sharing the port, and lets it go again: finds out whether the address is free, and
/// which port it is if zero was asked for. A second engine could share the port unnoticed otherwise.
///
/// # Errors
/// The address is in use, or not this host's.
pub fn reserve(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = stream_socket(address)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn stream_socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        None,
    )
}

/// A socket that is bound to a shared port but does not listen yet: every shard binds before any
/// listens, so that no connection is given to a part of them.
pub struct Bound(socket2::Socket);

impl Bound {
    /// Binds with SO_REUSEPORT.
    ///
    /// # Errors
    /// The address is in use by a socket that does not share it.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = stream_socket(address)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit it.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        Ok(Bound(socket))
    }

    /// Begins to listen. The system caps the backlog at `net.core.somaxconn`.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(self, backlog: u32) -> io::Result<Listener> {
        self.0.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(Listener {
            socket: Socket::new(self.0.into())?,
        })
    }
}

impl Listener {
    /// Waits until a connection is to be accepted.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Stops listening: who waits to be accepted is reset, and a pending
    /// [`readable`](Self::readable) completes.
    pub fn shut(&self) {
        self.socket.shutdown(Shutdown::Both);
    }

    /// Accepts a connection without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; EMFILE and ENFILE if no descriptor is left.
    pub fn accept(&self) -> io::Result<OwnedFd> {
        const FLAGS: libc::c_int = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no address is asked for, so null pointers are right.
        let fd = unsafe {
            libc::accept4(
                self.socket.fd(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                FLAGS,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just opened it, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
