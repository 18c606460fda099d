//! Doorbells made of socket pairs.
//!
//! An eventfd would do inside one table, but a *number* rung from a thread with another table may be
//! somebody's socket there. All pairs are made before any table is made private, and every table
//! keeps the ringing ends, under the same numbers.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ringmain_router::Doorbell;

use crate::socket::Socket;

/// The end that is rung, from any thread whose table keeps [`fd`](SocketDoorbell::fd).
#[derive(Debug)]
pub struct SocketDoorbell(OwnedFd);

/// The end that wakes; goes to the sleeper's thread.
#[derive(Debug)]
pub struct Bell(OwnedFd);

/// A new doorbell.
///
/// # Errors
/// No descriptors are left.
pub fn doorbell() -> io::Result<(SocketDoorbell, Bell)> {
    let (ring, wake) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    ring.set_nonblocking(true)?;
    wake.set_nonblocking(true)?;
    Ok((SocketDoorbell(ring.into()), Bell(wake.into())))
}

impl SocketDoorbell {
    /// The descriptor that every ringing thread's table has to keep.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Doorbell for SocketDoorbell {
    fn ring(&self) {
        // A full buffer means that it rings already; a closed end, that nobody sleeps there.
        let byte = [1u8];
        // SAFETY: the buffer is readable for its one byte, and the descriptor is this object's own.
        unsafe {
            libc::send(
                self.0.as_raw_fd(),
                byte.as_ptr().cast(),
                1,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
    }
}

impl Bell {
    /// The descriptor that the sleeper's table has to keep.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Waits for rings on the thread's runtime, and calls `rung` once for all that have come.
    pub async fn listen(self, rung: impl Fn()) -> io::Result<()> {
        let socket = Socket::new(self.0)?;
        let mut rings = [0; 64];
        loop {
            socket.readable().await?;
            while socket
                .receive(&mut rings)
                .is_ok_and(|bytes| bytes == rings.len())
            {}
            rung();
        }
    }

    /// The descriptor, for a runtime of another kind.
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }
}
