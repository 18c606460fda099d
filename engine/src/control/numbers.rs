//! What the control plane counts: written by its one thread, read by the metrics.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ringmain_core::stats::Cell64;
use ringmain_shard::{CertificateFacts, Policy};

/// How far the process is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It serves.
    Serving,
    /// It serves, and says that it is about to end.
    Unready,
    /// It accepts no more, and closes its connections.
    Draining,
}

impl State {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, State); 3] = [
        ("serving", State::Serving),
        ("unready", State::Unready),
        ("draining", State::Draining),
    ];
}

/// The numbers of the control plane.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Connections that the node accepts.
    pub connections_max: Cell64,
    /// What the messages of each shard may hold, in bytes.
    pub shard_memory_bytes_max: Cell64,
    /// Configurations that were read again and hold.
    pub reloads_applied: Cell64,
    /// Configurations that were read again and were invalid.
    pub reloads_refused: Cell64,
    /// How far the process is from its end: a [`State`] as a number.
    pub state: Cell64,
    /// Connections that a drain has left.
    pub drain_connections_left: Cell64,
    /// Of the time that a drain has, what is left.
    pub drain_seconds_left: Cell64,
    /// When the configuration that holds was read, in seconds since 1970.
    pub configured_at_seconds: Cell64,
    /// Times that changed certificates were taken up.
    pub certificates_applied: Cell64,
    /// Times that changed certificates could not be used.
    pub certificates_refused: Cell64,
    /// The certificates that are presented.
    pub certificates: Mutex<Vec<CertificateFacts>>,
}

impl Numbers {
    /// A configuration holds from now on.
    pub fn configured(&self, connections_max: u64, shard_memory_bytes_max: usize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.configured_at_seconds
            .set(now.unwrap_or_default().as_secs());
        self.connections_max.set(connections_max);
        self.shard_memory_bytes_max
            .set(shard_memory_bytes_max as u64);
    }

    /// These certificates are presented from now on.
    pub fn presents(&self, policy: &Policy) {
        let certificates = policy.tls.as_ref().map(|tls| tls.certificates().to_vec());
        let mut presented = self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *presented = certificates.unwrap_or_default();
    }
}
