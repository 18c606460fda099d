//! The cluster: one node's side of the protocol by which nodes share rooms over a broker.
//!
//! [`ClusterLink`] is the protocol as a state machine: [`handle`](ClusterLink::handle) takes what has happened, and the
//! `poll_*` say what is to be done. It is driven by the control plane, as one more peer of the mesh. Delivery between
//! nodes is at most once; what is lost is noticed by sequence, and counted.
//!
//! A room's publications travel on a subject of their own. Rooms are spread over [`BUCKETS`](limits::BUCKETS) buckets
//! by a hash of their names, and a node subscribes to the buckets in which it has rooms: a subscription for each room
//! would cost a channel each in the client library.

pub mod backoff;
pub mod bucket;
mod bundle;
pub mod counters;
mod deliveries;
pub mod envelope;
pub mod interest;
pub mod limits;
pub mod link;
pub mod membership;
pub mod notice;
pub mod orders;
pub mod outbound;
pub mod plain;
pub mod sending;
pub mod streams;
pub mod subject;
pub mod users;
mod wire;

pub use backoff::Backoff;
pub use bucket::Bucket;
pub use counters::{Counters, LinkDrop, RoomClass};
pub use envelope::{Envelope, Source, WireError};
pub use link::{Carried, ClusterLink, Inbound, Input, LinkConfig, Output, Subscription};
pub use membership::{Change, Peer, Standing};
pub use outbound::Message;
pub use plain::{NoRates, PlainLimits, RoomRates};
pub use subject::{Address, ClusterName, NodeName, Subjects};
