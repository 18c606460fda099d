//! Every bound of a shard, in one place.
//!
//! What an operator may set is a field of [`Limits`]; what follows from the design is a constant.

use std::num::NonZeroU64;

use crate::access::RefusedPublish;
use crate::blocks::BlockRule;
use crate::compression::Compression;
use crate::gcra::Rate;
use crate::rates::{ConnectionRates, RateAction};

pub use ringmain_router::lease::held::{LEASE_MS, LEASE_WAIT_MS};

/// The most a message may be configured to hold.
pub const MESSAGE_BYTES_CEILING: usize = 64 * MIB;

/// Frames from other shards that one turn takes in, a lane.
pub const TURN_FRAMES_MAX: usize = 256;
/// Deliveries, one publication to one member, that one turn queues.
pub const TURN_DELIVERIES_MAX: usize = 4096;
/// Writes that one turn makes. 256 of them take some 0.3 ms, 4,096 would take 13 ms.
pub const TURN_WRITES_MAX: usize = 256;
/// Of these, deliveries written while publications still wait to be queued for their members. To
/// queue one costs a thirtieth of a write, and the write that comes later carries more of them.
pub const TURN_WRITES_WHILE_FANNING_OUT: usize = 32;
/// Bytes of a token at most.
pub const TOKEN_BYTES_MAX: usize = 8 * KIB;
/// So many bytes of replies are written at once, not at the end of the turn: until then they would have left the
/// processor's caches, and would come back from memory to be sent. Saves 5% of the CPU time of echoes of 16 KiB.
pub const REPLIES_BYTES_BEFORE_FLUSH: usize = 32 * KIB;
/// Waits for a rate to which one turn sees, once their time has come.
pub const TURN_ALARMS_MAX: usize = 1024;
/// The longest that a connection waits for its rate before it is looked at again: the rate may have changed.
pub const RATE_WAIT_MS: u64 = 1_000;
/// How long a connection waits to be counted by another shard, before it is refused.
pub const CLAIM_WAIT_MS: u64 = 1_000;
/// How long a connection that is not let in has to ask, and again to read the answer.
pub const DENIED_MS: u64 = 1_000;
/// A connection that breaks limits all the time does so once in this time, as far as it is blocked for it.
pub const OFFENCE_PAUSE_MS: u64 = 1_000;
/// Offences that wait to be told to other shards. Those beyond are counted as lost.
pub const OFFENCES_WAITING_MAX: usize = 1024;
/// Connections that one turn goes on reading after they were paused.
pub const TURN_RESUMES_MAX: usize = 64;
/// Deadlines that one turn sees to.
pub const TURN_TIMERS_MAX: usize = 1024;
/// How often it is looked whether a ping has been written: the wait for the pong begins then.
pub const PING_FLUSH_LOOK_MS: u64 = 1_000;
/// Connections that one turn closes of those whose time in a drain has come.
pub const TURN_DRAINS_MAX: usize = 512;
/// At least this lies between two slices of a drain.
pub const DRAIN_SLICE_MS: u64 = 20;
/// Orders of an operator that wait for the one before them. Those beyond are refused.
pub const ORDERS_WAITING_MAX: usize = 64;
/// Places of connections that one turn looks at for an order.
pub const TURN_ORDER_PLACES_MAX: u32 = 4096;
/// Connections that one turn closes for an order.
pub const TURN_ORDER_CLOSES_MAX: u64 = 512;
/// Rooms to which one turn gives new settings.
pub const TURN_ROOMS_CONFIGURED_MAX: u32 = 128;
/// Largest holders closed in one turn when memory runs out.
pub const TURN_EVICTIONS_MAX: usize = 16;
/// Deliveries of one room before the next room has its turn.
pub const ROOM_SLICE_DELIVERIES: usize = 512;
/// Deliveries to rooms of up to so many members are flushed with the replies, not behind the
/// deliveries to a room of thousands.
pub const PROMPT_MEMBERS_MAX: usize = 64;
/// Publications of one room that wait for or are in fan-out. Publishers are paused at this.
pub const ROOM_PUBLICATIONS_MAX: usize = 64;
/// Frames for one other shard that wait for room in its lane. Publishers are paused at this.
pub const OUTGOING_FRAMES_MAX: usize = 256;
/// How long publications wait for another shard's lane that takes nothing, before they are dropped
/// and counted.
pub const OUTGOING_WAIT_MS: u64 = 1_000;
/// For how long the lane to other nodes may take nothing before publishers are not held back for its sake any more: then
/// the oldest frames make room, and are counted. Members here do not wait for others.
pub const LINK_WAIT_MS: u64 = 100;

/// How long a message that came by HTTP waits for its room's home, for the room, or for a shard that it goes to,
/// before it is refused.
pub const POST_WAIT_MS: u64 = 1_000;

/// Frames in a shard's data lane.
pub const LANE_DATA_FRAMES_MAX: usize = 4096;
/// Frames in a shard's control lane.
pub const LANE_CONTROL_FRAMES_MAX: usize = 1024;
/// Payload bytes in a shard's data lane.
pub const LANE_DATA_BYTES_MAX: usize = 64 * MIB;

/// Slices in one vectored write.
pub const WRITE_SLICES_MAX: usize = 64;
/// Bytes in one write; what is left follows in the next turn, so that one large outbox does not hold up the others.
pub const WRITE_BYTES_MAX: usize = 256 * KIB;
/// Several queued entries up to this size are copied side by side before they are sent; beyond it, a
/// slice for each costs less than the copy.
pub const GATHERED_ENTRY_BYTES_MAX: usize = KIB;
/// Bytes that are copied side by side for one write.
pub const GATHERED_BYTES_MAX: usize = 16 * KIB;
/// Payloads above this are sent from where they lie; smaller ones are copied behind their header.
pub const INLINE_PAYLOAD_BYTES_MAX: usize = 4 * KIB;
/// Replies to one session are gathered into one buffer up to this size.
pub const REPLY_BUFFER_BYTES_MAX: usize = 16 * KIB;

/// The room that is made for them when a second one comes.
pub const REPLY_BUFFER_BYTES_FIRST: usize = KIB;

/// Bytes that one turn restores from compression, with those that it compresses for replies; and as many that it
/// compresses for the members of rooms. A core compresses some 50 to 100 MB a second.
pub const TURN_COMPRESSION_BYTES_MAX: usize = MIB;

/// Share of its memory that a shard gives to the contexts of connections that take over theirs (RFC 7692), in percent.
/// Further connections are compressed without.
pub const CONTEXTS_MEMORY_PERCENT: usize = 25;

/// Share of its memory from which on a shard refuses new connections, in percent.
pub const MEMORY_REFUSE_PERCENT: usize = 90;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The bounds that an operator sets. Sizes in bytes, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request head; beyond it the answer is 431.
    pub request_head_bytes_max: usize,
    /// From accept to the end of the opening handshake, or from the first byte of a request to its last; beyond it
    /// the connection is closed.
    pub handshake_ms: u64,
    /// How long a connection stays open for its next request.
    pub keep_alive_ms: u64,
    /// The largest message; beyond it the connection is closed with 1009.
    pub message_bytes_max: usize,
    /// An outbox above this for [`outbox_soft_ms`](Self::outbox_soft_ms) is a slow consumer's.
    pub outbox_soft_bytes: usize,
    /// How long an outbox may stay above the soft bound.
    pub outbox_soft_ms: u64,
    /// Silence after which a connection is pinged. Each connection has it spread by a tenth.
    pub heartbeat_ms: u64,
    /// How long a pinged connection has for any sign of life.
    pub pong_wait_ms: u64,
    /// How long the peer has to answer a close frame.
    pub close_handshake_ms: u64,
    /// What becomes of messages that their senders may not publish.
    pub refused_publish: RefusedPublish,
    /// How long a connection may live, less up to a tenth; 0 for ever.
    pub lifetime_ms: u64,
    /// What outboxes, unfinished messages and lanes of this shard may hold together.
    pub memory_bytes_max: usize,
    /// How messages are compressed, with clients that offer it; `None`: not at all.
    pub compression: Option<Compression>,
    /// How much each connection may send.
    pub connection_rates: ConnectionRates,
    /// What becomes of messages beyond a rate.
    pub rate_action: RateAction,
    /// Messages that one address may publish by HTTP, on the whole node.
    pub address_rate: Option<Rate>,
    /// Connections that one address may have on the node, or an IPv6 network of 64 bits; 0 for any number.
    pub connections_per_address: u32,
    /// Connections that one user may have on the node; 0 for any number.
    pub connections_per_user: u32,
    /// Connections that one user may have on all nodes of the cluster; 0 for any number.
    pub connections_per_user_cluster: u32,
    /// Who is blocked for breaking limits; `None`: nobody.
    pub block: Option<BlockRule>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_head_bytes_max: 8 * KIB,
            handshake_ms: 10_000,
            keep_alive_ms: 60_000,
            message_bytes_max: 64 * KIB,
            outbox_soft_bytes: 256 * KIB,
            outbox_soft_ms: 10_000,
            heartbeat_ms: 25_000,
            pong_wait_ms: 10_000,
            close_handshake_ms: 5_000,
            refused_publish: RefusedPublish::Close,
            lifetime_ms: 0,
            memory_bytes_max: 256 * MIB,
            compression: None,
            connection_rates: ConnectionRates::default(),
            rate_action: RateAction::Refuse,
            address_rate: None,
            connections_per_address: 0,
            connections_per_user: 0,
            connections_per_user_cluster: 0,
            block: None,
        }
    }
}

/// Messages a second that no address sends.
const UNREACHED: NonZeroU64 = NonZeroU64::new(100_000_000).unwrap();

impl Limits {
    /// Whether connections are counted by their address.
    pub fn counts_addresses(&self) -> bool {
        self.connections_per_address > 0 || self.block.is_some()
    }

    /// Whether connections are counted by their user.
    pub fn counts_users(&self) -> bool {
        self.connections_per_user > 0
            || self.connections_per_user_cluster > 0
            || self.block.is_some()
    }

    /// The rate that a message by HTTP is held to for its address. Where addresses can be blocked it has to be known of each
    /// whether it is: then those without a rate have one that nobody reaches.
    pub fn address_gate(&self) -> Option<Rate> {
        self.address_rate
            .or(self.block.map(|_| Rate::new(UNREACHED, UNREACHED.get())))
    }

    /// The soft bound of an outbox: one message of the largest size is never slow by itself.
    pub fn outbox_soft(&self) -> usize {
        self.outbox_soft_bytes.max(self.message_bytes_max)
    }

    /// The hard bound of an outbox: the first message that does not fit closes a slow consumer.
    pub fn outbox_hard(&self) -> usize {
        (2 * self.outbox_soft()).max(MIB)
    }
}

const _: () = {
    assert!(TURN_FRAMES_MAX <= LANE_DATA_FRAMES_MAX && TURN_FRAMES_MAX <= LANE_CONTROL_FRAMES_MAX);
    assert!(ROOM_SLICE_DELIVERIES <= TURN_DELIVERIES_MAX);
    assert!(TURN_WRITES_WHILE_FANNING_OUT <= TURN_WRITES_MAX);
    assert!(OUTGOING_FRAMES_MAX <= LANE_DATA_FRAMES_MAX && LINK_WAIT_MS < OUTGOING_WAIT_MS);
    // A lane holds at least the largest message, and an outbox counts its bytes in 32 bits.
    assert!(MESSAGE_BYTES_CEILING <= LANE_DATA_BYTES_MAX);
    assert!(4 * MESSAGE_BYTES_CEILING < u32::MAX as usize);
    assert!(INLINE_PAYLOAD_BYTES_MAX < REPLY_BUFFER_BYTES_MAX);
    assert!(REPLY_BUFFER_BYTES_FIRST < REPLY_BUFFER_BYTES_MAX);
    assert!(WRITE_SLICES_MAX <= 1024, "IOV_MAX");
    // One write carries what was gathered for it, and that is never empty.
    assert!(
        GATHERED_ENTRY_BYTES_MAX <= GATHERED_BYTES_MAX && GATHERED_BYTES_MAX <= WRITE_BYTES_MAX
    );
    assert!(MEMORY_REFUSE_PERCENT < 100);
};
