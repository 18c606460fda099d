//! Every bound of the cluster link, in one place.

/// Buckets that rooms are spread over. Part of the protocol: all nodes of a cluster have the same.
pub const BUCKETS: u16 = 4096;
/// How long a bucket without rooms stays subscribed, so that members who come and go cost nothing.
pub const LINGER_MS: u64 = 5_000;

/// The longest name of a node or a cluster.
pub const NAME_BYTES_MAX: usize = 32;
/// The longest address or version that a node tells.
pub const TEXT_BYTES_MAX: usize = 128;

/// Other nodes that one knows. Those beyond are not shown; what they publish is delivered all the same.
pub const NODES_MAX: usize = 256;
/// Starts of nodes that are known to be over.
pub const DEPARTED_MAX: usize = 1_024;
/// How long after a node has gone its numbers are kept: something of it may still be on its way.
pub const DEPARTED_MS: u64 = 10_000;
/// How often a node announces itself and repeats its last sequences.
pub const ANNOUNCE_MS: u64 = 1_000;
/// Silence after which a node is gone: two announcements may be lost.
pub const SILENCE_MS: u64 = 2_900;
/// A node that has not had a turn for so long was stopped itself, and does not know who is silent.
pub const PAUSE_MS: u64 = 1_000;

/// Rooms whose sequences a node keeps for what it sends; the longest unused make room for others.
pub const SENDING_ROOMS_MAX: usize = 262_144;
/// A room that was not published to for so long is forgotten; its next publication begins a new generation.
pub const SENDING_IDLE_MS: u64 = 60_000;
/// How often a room's last sequence is repeated after a publication. A receiver believes what it hears twice.
pub const REPEATS: u8 = 5;
/// Rooms in one message of last sequences.
pub const REPEAT_ROOMS_MAX: usize = 128;
/// Such messages each time. Where more rooms were published to, they take turns.
pub const REPEAT_MESSAGES_MAX: usize = 64;

/// Senders that are followed in one room.
pub const ROOM_STREAMS_MAX: usize = NODES_MAX;
/// How long a sequence that was told, and has not come in, is waited for. Subscriptions have no mutual order.
pub const SETTLE_MS: u64 = 900;

/// Messages of the link's own that wait for the broker before all others.
pub const NOTICES_MAX: usize = 1_024;
/// Answers to plain messages that wait for it. They are as many as others ask for, so they have a bound of their own.
pub const REPLIES_MAX: usize = 1_024;
/// Orders of other nodes that wait to be carried out. Those beyond are dropped, and counted.
pub const ORDERS_MAX: usize = 64;
/// Bytes that publications of one room come to that go as one message, because they wait together.
pub const BUNDLE_BYTES_MAX: usize = 16 * 1024;
/// Publications of one message: each has at least a kind and a length.
pub const BUNDLE_PARTS_MAX: usize = BUNDLE_BYTES_MAX / 2;
/// Numbers of orders that are known of each other node: one of these is not carried out again.
pub const ORDERS_KEPT: usize = 64;
/// Bytes around a payload in the queue, so that small messages are not free.
pub const MESSAGE_OVERHEAD_BYTES: usize = 256;

/// Plain messages that wait for the word of the shard that has their room's rate. Their answers may all come at once.
pub const PLAIN_WAITING_MAX: usize = 512;
/// Bytes of them.
pub const PLAIN_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long they wait before they are refused.
pub const PLAIN_WAIT_MS: u64 = 1_000;
/// Rooms of which the link holds a lease at a time.
pub const PLAIN_LEASES_MAX: usize = 4_096;

/// Users of this node that others are told of, and users of others that this one follows. Those beyond are counted on
/// their node alone.
pub const USERS_MAX: usize = 262_144;
/// Users that others are to be told of. Beyond it, those who have gone are left out: others forget them by themselves.
pub const USERS_UNTOLD_MAX: usize = 2 * USERS_MAX;
/// Users in one notice.
pub const USERS_IN_NOTICE_MAX: usize = 256;
/// Such notices in one turn of the link.
pub const USERS_NOTICES_MAX: usize = 4;
/// Users that one turn tells shards of.
pub const USERS_FRAMES_MAX: usize = 2_048;
/// At least so long is it from telling all users to telling them again.
pub const USERS_ROUND_MS: u64 = 5_000;
/// Users that are told again each second.
pub const USERS_REPEATED_MAX: usize = 4_096;

/// Publications from other nodes that wait for a shard's lane.
pub const DELIVERIES_MAX: usize = 131_072;
/// Payload bytes of them.
pub const DELIVERIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long they wait for a lane that takes nothing.
pub const DELIVERIES_WAIT_MS: u64 = 1_000;

const _: () = {
    assert!(BUCKETS.is_power_of_two());
    assert!(2 * ANNOUNCE_MS < SILENCE_MS && SILENCE_MS < 3_000);
    assert!(SETTLE_MS < ANNOUNCE_MS && REPEATS > 2);
    assert!(REPEATS as u64 * ANNOUNCE_MS < SENDING_IDLE_MS);
    assert!(PLAIN_WAITING_MAX < REPLIES_MAX);
    // Their lengths are bytes.
    assert!(NAME_BYTES_MAX < 256 && TEXT_BYTES_MAX < 256);
};
