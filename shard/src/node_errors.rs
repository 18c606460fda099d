//! Why a node does not start, and how a shard ends that should not.

use std::io;
use std::net::SocketAddr;

use ringmain_router::SHARDS_MAX;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No shard, or more than there may be.
    #[error("{0} shards were asked for; a node has 1 to {SHARDS_MAX}")]
    ShardCount(usize),
    /// The public address cannot be had.
    #[error(
        "cannot listen on {address}: {source}. Choose another address with --listen, or stop whatever uses this one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The doorbells need descriptors.
    #[error(
        "cannot make the doorbells of {shards} shards: {source}. Raise the limit of open files (ulimit -n)"
    )]
    Doorbells {
        /// How many shards.
        shards: usize,
        /// Why not.
        source: io::Error,
    },
    /// A thread did not start.
    #[error("shard {shard} did not start: {source}")]
    Thread {
        /// Which shard.
        shard: usize,
        /// Why not.
        source: io::Error,
    },
    /// A shard's ring or epoll instance could not be made.
    #[error(
        "shard {shard} has no io: {source}. Try --io epoll, or raise the locked-memory limit (ulimit -l)"
    )]
    Driver {
        /// Which shard.
        shard: usize,
        /// Why not.
        source: io::Error,
    },
    /// A thread ended before it listened, without saying why.
    #[error("a shard ended while it started; the log above says more")]
    Ended,
    /// A thread could not be pinned.
    #[error(
        "shard {shard} cannot be pinned to CPU {cpu}: {source}. Choose among the CPUs that the process may use with --cpus"
    )]
    Pin {
        /// Which shard.
        shard: usize,
        /// Which core.
        cpu: usize,
        /// Why not.
        source: io::Error,
    },
    /// The descriptor limit leaves no room for connections.
    #[error(
        "the limit of {descriptors_max} open files leaves no room for connections; raise it (ulimit -n) to 1024 or more"
    )]
    Descriptors {
        /// The limit.
        descriptors_max: usize,
    },
}

/// A shard ended in another way than by [`Node::stop`](crate::Node::stop).
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// Its ring or epoll instance failed.
    #[error("shard {shard} cannot run: {source}")]
    Driver {
        /// Which shard.
        shard: usize,
        /// Why.
        source: io::Error,
    },
    /// It panicked.
    #[error("shard {shard} panicked")]
    Panicked {
        /// Which shard.
        shard: usize,
    },
}
