//! What a shard decides of a connection: what its request gets, why it is not let in, and how its socket ends.

use crate::close::Severity;
use crate::rates::RateLimit;

/// What was decided of a request that had to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session counts everywhere: the 101, or an event stream's head, may be sent.
    Granted,
    /// The message is on its way to all members.
    Published,
    /// There was no room for the message, and nothing of it was sent.
    Busy,
    /// Another room holds the room's id.
    NameCollision,
    /// The message is beyond a rate, and nothing of it was sent.
    TooFast {
        /// Which.
        limit: RateLimit,
        /// When it may come again.
        retry_s: u32,
    },
    /// The connection is counted.
    Counted,
    /// The connection is not let in.
    Refused {
        /// Why.
        refusal: Refusal,
        /// When it may come again.
        retry_s: u32,
    },
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The shard's memory is nearly used up.
    #[error("the server's memory is full")]
    MemoryFull,
    /// The node, or the shard's descriptor table, has as many connections as it may.
    #[error("the server has as many connections as it may")]
    ConnectionsMax,
    /// As many TLS handshakes are under way in the node as may.
    #[error("the server has as many TLS handshakes under way as it may")]
    TlsHandshakesMax,
    /// Its address has as many connections as it may.
    #[error("this address has as many connections as it may")]
    AddressConnections,
    /// Its user has as many connections as it may.
    #[error("this user has as many connections as it may")]
    UserConnections,
    /// Its user has as many connections as it may on all nodes of the cluster.
    #[error("this user has as many connections as it may on all servers together")]
    UserConnectionsInCluster,
    /// Its address or user is blocked for a while.
    #[error("limits were exceeded too often: all new connections are blocked for a while")]
    Blocked,
    /// The shard that counts its subject did not answer in time.
    #[error("the server is too busy to count connections")]
    Uncounted,
}

impl Refusal {
    /// All refusals with their names in metrics and logs, in the order of their numbers.
    pub const NAMES: [(&'static str, Refusal); 8] = [
        ("memory_full", Refusal::MemoryFull),
        ("connections_max", Refusal::ConnectionsMax),
        ("tls_handshakes_max", Refusal::TlsHandshakesMax),
        ("address_connections", Refusal::AddressConnections),
        ("user_connections", Refusal::UserConnections),
        (
            "user_connections_in_cluster",
            Refusal::UserConnectionsInCluster,
        ),
        ("blocked", Refusal::Blocked),
        ("uncounted", Refusal::Uncounted),
    ];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// How much its line in the log matters.
    pub fn severity(self) -> Severity {
        match self {
            Refusal::MemoryFull
            | Refusal::ConnectionsMax
            | Refusal::TlsHandshakesMax
            | Refusal::Uncounted => Severity::Warn,
            Refusal::AddressConnections
            | Refusal::UserConnections
            | Refusal::UserConnectionsInCluster => Severity::Info,
            // Its offences were told; that it knocks again is of no interest.
            Refusal::Blocked => Severity::Debug,
        }
    }
}

/// What the shell does to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Close our half: the peer has all there is, and what it still sends is read until it ends.
    HalfClose,
    /// The HTTP request under way is the last: close once it is answered, or at once if there is none.
    Finish,
    /// Shut both halves; the read that follows ends the connection.
    Shutdown,
}
