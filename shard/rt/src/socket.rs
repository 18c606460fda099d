//! Non-blocking sockets: wait for readiness on the runtime, then call the system directly.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use monoio::net::udp::UdpSocket;
use socket2::{SockFilter, SockRef};

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
    ///
    /// The runtime's own future: every idle connection has one, and another around it would be larger.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        // Not relaxed: on epoll a relaxed wait never clears the readiness, and spins.
        self.pollable.readable(false)
    }

    /// Waits until bytes can be written, or the socket has failed.
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.pollable.writable(false)
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

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open while the socket lives, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.fd()) }
    }
}

/// What the system does for the connections of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// How long a peer may leave sent bytes unacknowledged, or its window closed, before the connection is given up, in
    /// milliseconds (TCP_USER_TIMEOUT); 0 as the system has it.
    pub user_timeout_ms: u32,
    /// Bytes that may wait in a socket beyond what is under way to its peer (TCP_NOTSENT_LOWAT); 0 as the system has it.
    pub notsent_bytes_max: u32,
}

impl TcpOptions {
    fn set(self, socket: &socket2::Socket) -> io::Result<()> {
        let timeout = Duration::from_millis(self.user_timeout_ms.into());
        socket.set_tcp_user_timeout(Some(timeout))?;
        socket.set_tcp_notsent_lowat(self.notsent_bytes_max)
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
    pub fn new(address: SocketAddr, options: TcpOptions) -> io::Result<Self> {
        let socket = stream_socket(address)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit these.
        socket.set_tcp_nodelay(true)?;
        options.set(&socket)?;
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

    /// Makes the system drop requests for new connections, without an answer: whoever makes one tries again after
    /// a second, and finds nobody, or another engine. Connections that wait to be accepted, and those that are
    /// half open, are not touched; they would be reset if the listener were shut now.
    ///
    /// # Errors
    /// The system's.
    pub fn refuse_new(&self) -> io::Result<()> {
        // Of the TCP header's flags SYN and ACK, a request for a connection has the first alone. See bpf(4) and
        // linux/filter.h.
        const LOAD_BYTE: u16 = 0x30;
        const AND: u16 = 0x54;
        const JUMP_IF_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        const FLAGS_AT: u32 = 13;
        const SYN: u32 = 0x02;
        const ACK: u32 = 0x10;
        let filter = [
            SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
            SockFilter::new(AND, 0, 0, SYN | ACK),
            SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ];
        SockRef::from(&self.socket).attach_filter(&filter)
    }

    /// Sets what the system does for connections that are made from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn set_options(&self, options: TcpOptions) -> io::Result<()> {
        options.set(&SockRef::from(&self.socket))
    }

    /// Stops listening: who waits to be accepted is reset, and a pending
    /// [`readable`](Self::readable) completes.
    pub fn shut(&self) {
        self.socket.shutdown(Shutdown::Both);
    }

    /// Accepts a connection without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; EMFILE and ENFILE if no descriptor is left; EINVAL once it is shut.
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::Backend;

    /// The kernel's word for it: no call a connection is needed.
    #[test]
    fn accepted_sockets_have_the_listeners_options_also_after_they_change() {
        let first = TcpOptions {
            user_timeout_ms: 12_345,
            notsent_bytes_max: 65_432,
        };
        let second = TcpOptions {
            user_timeout_ms: 54_321,
            notsent_bytes_max: 0,
        };
        crate::driver::run(Backend::Epoll, async move {
            let address = reserve("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = Bound::new(address, first).unwrap().listen(16).unwrap();
            for options in [first, second] {
                listener.set_options(options).unwrap();
                let _client = TcpStream::connect(address).unwrap();
                listener.readable().await.unwrap();
                let accepted = listener.accept().unwrap();
                let socket = SockRef::from(&accepted);
                let timeout = Duration::from_millis(options.user_timeout_ms.into());
                assert_eq!(socket.tcp_user_timeout().unwrap(), Some(timeout));
                let notsent = socket.tcp_notsent_lowat().unwrap();
                assert_eq!(notsent, options.notsent_bytes_max);
                assert!(socket.tcp_nodelay().unwrap());
            }
        })
        .unwrap();
    }
}
