//! The few system calls that the standard library has no safe form of.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, RawFd};

const BACKLOG: libc::c_int = 4096;

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Makes the listener non-blocking, its queue long, and every socket it accepts free of Nagle's delay.
pub fn prepare_listener(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let on: libc::c_int = 1;
    // SAFETY: `on` lives over the call and its true size is given.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    checked(result as isize)?;
    // SAFETY: no memory is passed. A second listen(2) only changes the length of the queue.
    checked(unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) } as isize)?;
    Ok(())
}

/// Takes one connection, non-blocking; `None` when none waits.
pub fn accept(listener: &TcpListener) -> io::Result<Option<RawFd>> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null addresses are allowed and mean that the peer's is not wanted.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            flags,
        )
    };
    if fd >= 0 {
        return Ok(Some(fd));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ECONNABORTED | libc::EINTR) => Ok(None),
        Some(libc::EMFILE) => Err(io::Error::other(
            "out of descriptors: raise ulimit -n or connect fewer",
        )),
        _ => Err(error),
    }
}

/// Receives what there is, without waiting.
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of one live, exclusively borrowed buffer.
    checked(unsafe {
        libc::recv(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
        )
    })
}

/// Sends what the socket takes, without waiting.
pub fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length are those of one live slice.
    checked(unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), flags) })
}

/// Ends both directions, so that whatever is in flight on the socket completes.
pub fn shut_down(fd: RawFd) {
    // SAFETY: no memory is passed. Its only failure says that the peer is gone already.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Gives the descriptor back.
pub fn close(fd: RawFd) {
    // SAFETY: the caller owns `fd`, has nothing in flight on it and forgets it now.
    unsafe { libc::close(fd) };
}
