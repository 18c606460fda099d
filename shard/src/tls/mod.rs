//! TLS: rustls between a connection's socket and what it says, without I/O of its own.
//!
//! By rustls's unbuffered interface an idle connection keeps no buffer: what comes in is decrypted out of the shard's
//! one receive buffer, and only the beginning of a record that is not whole yet is kept; what goes out is encrypted into
//! one buffer of the shard, and only what the socket does not take is kept.

mod certificates;
mod handshake;
mod sealed;
mod session;
mod signing;

use std::cell::{RefCell, RefMut};
use std::io::{self, IoSlice};
use std::sync::Arc;

use ringmain_rt::{Sending, Socket, batch::send_now};
use rustls::ServerConfig;

pub use certificates::{CertificateError, CertificateFacts, Pem, ServerTls, Tickets};
pub use handshake::{Greeting, greet};
pub use sealed::Sealed;
pub use session::{Opened, Session};
pub use signing::SigningQueue;

/// Bytes that one write of a connection encrypts at most: so much it may keep if the socket takes none of it.
pub const SEAL_BYTES_MAX: usize = 64 * 1024;
/// Bytes that all writes of one flush encrypt at most. The rest has its turn with the next.
pub const SEALED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A socket that carries TLS.
pub struct TlsSocket {
    socket: Socket,
    session: RefCell<Session>,
}

impl TlsSocket {
    /// A server's side at its beginning.
    ///
    /// # Errors
    /// rustls refuses the configuration.
    pub fn new(socket: Socket, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(TlsSocket {
            socket,
            session: RefCell::new(Session::new(config)?),
        })
    }

    /// The socket, to wait for.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What is known of the other end's TLS.
    pub fn session(&self) -> RefMut<'_, Session> {
        self.session.borrow_mut()
    }

    /// Sends what was kept, as far as the socket takes it. Returns whether nothing is left.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn send_kept(&self) -> io::Result<bool> {
        let session = &mut *self.session.borrow_mut();
        if session.leaving().is_empty() {
            return Ok(true);
        }
        let sent = send_now(&Sending {
            fd: self.socket.fd(),
            slices: &[IoSlice::new(session.leaving())],
        });
        match sent {
            Ok(bytes) => session.left(bytes),
            Err(error) if is_busy(&error) => {}
            Err(error) => {
                session.give_up();
                return Err(error);
            }
        }
        Ok(session.leaving().is_empty())
    }

    /// Tells the peer that nothing more comes, once, after what was kept.
    pub fn say_farewell(&self) {
        if self.session.borrow_mut().bid_farewell() {
            // Who does not read is not told.
            let _ = self.send_kept();
        }
    }
}

/// Whether a send may succeed later.
pub fn is_busy(error: &io::Error) -> bool {
    /// ENOBUFS: the system is short of memory for now.
    const NO_BUFFERS: i32 = 105;
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(NO_BUFFERS)
}
