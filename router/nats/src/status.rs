//! What the link shows of itself.

use ringmain_router::Tick;
use ringmain_router::cluster::{ClusterLink, Counters};

/// The link as it was a moment ago.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// This node's name.
    pub node: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// For how long the broker has not been there, in milliseconds; `None` while it is.
    pub interrupted_ms: Option<u64>,
    /// The other nodes.
    pub nodes: Vec<NodeStatus>,
    /// Rooms with members here.
    pub rooms: usize,
    /// Buckets that are subscribed to.
    pub buckets: usize,
    /// Publications that wait for the broker.
    pub waiting: usize,
    /// Their bytes, with what lies around them.
    pub waiting_bytes: usize,
    /// Whether the connection for plain messages is there.
    pub is_publish_connected: bool,
    /// Times that it was lost.
    pub publish_interruptions: u64,
    /// Times that the client library dropped what was not read in time.
    pub slow_reads: u64,
    /// Users with connections here, and users with some on other nodes, as far as they are counted for the cluster.
    pub users: (usize, usize),
    /// What the link has counted.
    pub counters: Counters,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Its incarnation.
    pub incarnation: u64,
    /// Where clients connect to it.
    pub address: String,
    /// Its version.
    pub version: String,
    /// Its open connections.
    pub connections: u64,
    /// Its rooms with members.
    pub rooms: u64,
    /// For how long it has been known, in milliseconds.
    pub known_ms: u64,
    /// How long ago it was heard of, in milliseconds.
    pub heard_ms: u64,
    /// How long a message takes there and back, in milliseconds.
    pub round_trip_ms: Option<u64>,
}

impl Status {
    /// What the link knows; the driver knows the rest.
    pub(crate) fn of(link: &ClusterLink, now: Tick) -> Self {
        let nodes = link.membership().peers().iter();
        let nodes = nodes.map(|(name, peer)| NodeStatus {
            node: name.to_string(),
            incarnation: peer.incarnation,
            address: peer.address.clone(),
            version: peer.version.clone(),
            connections: peer.connections,
            rooms: peer.rooms,
            known_ms: now.since(peer.since),
            heard_ms: now.since(peer.heard),
            round_trip_ms: peer.round_trip_ms,
        });
        Status {
            node: link.me().node.to_string(),
            incarnation: link.me().incarnation,
            interrupted_ms: link.interrupted().map(|since| now.since(since)),
            nodes: nodes.collect(),
            rooms: link.rooms().len(),
            buckets: link.rooms().subscribed(),
            waiting: link.outbound().len(),
            waiting_bytes: link.outbound().bytes(),
            users: link.users(),
            counters: link.counters().clone(),
            ..Status::default()
        }
    }
}
