//! Outgoing connections.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

/// Begins to connect to `to` from `from`, whose port should be zero. The stream does not block; once it
/// can be written to, or has failed, [`TcpStream::take_error`] says which. With `receive_buffer`, the kernel
/// keeps about so many bytes that were not received, and never more.
///
/// # Errors
/// No descriptor, address or port is left, or the connection was refused at once.
pub fn connect(
    from: Option<SocketAddr>,
    to: SocketAddr,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(to),
        socket2::Type::STREAM,
        None,
    )?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(from) = from {
        // The port is chosen when the other end is known, so that one port serves many targets.
        bind_address_no_port(&socket)?;
        socket.bind(&from.into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn bind_address_no_port(socket: &socket2::Socket) -> io::Result<()> {
    let yes: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `yes` is readable for the size given, and the descriptor is the socket's.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const yes).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
