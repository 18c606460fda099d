//! What the cluster link counts.

/// Messages that the link did not carry further, by why. The names are the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LinkDrop {
    /// More bytes waited for the broker than may.
    QueueFull,
    /// It waited for the broker for longer than it may.
    QueueExpired,
    /// It is larger than the broker takes.
    TooLarge,
    /// A shard took too little: its members miss it.
    LaneFull,
    /// It came in a second time.
    Duplicate,
    /// It came in after a later one of its publisher's node.
    Late,
    /// It is of a version or form that this node does not read.
    Unreadable,
    /// A plain message that breaks a rule.
    Refused,
    /// The broker's client did not take it.
    SendFailed,
    /// An order to close connections: of a node that is not known, for the second time, or when too many waited.
    Order,
    /// A plain message beyond the node's rate of these.
    NodeRate,
    /// A plain message beyond its room's rate.
    RoomRate,
    /// A plain message whose room's rate could not be asked for, or was not answered.
    RateUnknown,
}

impl LinkDrop {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, LinkDrop); 13] = [
        ("queue_full", LinkDrop::QueueFull),
        ("queue_expired", LinkDrop::QueueExpired),
        ("too_large", LinkDrop::TooLarge),
        ("lane_full", LinkDrop::LaneFull),
        ("duplicate", LinkDrop::Duplicate),
        ("late", LinkDrop::Late),
        ("unreadable", LinkDrop::Unreadable),
        ("refused", LinkDrop::Refused),
        ("send_failed", LinkDrop::SendFailed),
        ("order", LinkDrop::Order),
        ("node_rate", LinkDrop::NodeRate),
        ("room_rate", LinkDrop::RoomRate),
        ("rate_unknown", LinkDrop::RateUnknown),
    ];
}

/// What rooms promise, as far as the counting of losses tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RoomClass {
    /// The order of each publisher, at the lowest latency, and no history.
    Relay,
}

impl RoomClass {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, RoomClass); 1] = [("relay", RoomClass::Relay)];
}

/// What was noticed of the streams of other nodes into the rooms of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Publications that were sent and did not come in, or not in time.
    pub missed: u64,
    /// Publications that came in again; they were dropped.
    pub duplicates: u64,
    /// Publications that came in after later ones; they had been counted as missed, and were dropped.
    pub reordered: u64,
    /// Places in streams that were claimed in a node's name and that it did not know of itself.
    pub overruled: u64,
}

/// All that the link counts since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Publications that the broker's client has taken.
    pub sent: u64,
    /// Publications from other nodes for rooms with members here.
    pub received: u64,
    /// Publications that came in for other rooms of a subscribed bucket.
    pub not_for_us: u64,
    /// Plain messages taken in for all nodes.
    pub published: u64,
    /// Orders to close connections that were sent to other nodes.
    pub orders_sent: u64,
    /// Orders of other nodes that were taken.
    pub orders_received: u64,
    /// Times that a user of another node was not followed, because there were too many.
    pub users_unfollowed: u64,
    /// Messages of this node's own that the broker sent back nevertheless.
    pub echoes: u64,
    /// Bytes of another version of the protocol.
    pub other_versions: u64,
    /// Times the connection to the broker was lost.
    pub interruptions: u64,
    /// Rooms with members here, over all interruptions: each may have a gap.
    pub room_interruptions: u64,
    /// Publications whose streams were not followed, because there were too many in their room.
    pub streams_unfollowed: u64,
    /// Messages not carried further, by [`LinkDrop`].
    pub drops: [u64; LinkDrop::NAMES.len()],
    /// Of the streams of other nodes, by [`RoomClass`].
    pub streams: [StreamCounters; RoomClass::NAMES.len()],
}

impl Counters {
    /// Counts what is not carried further.
    pub fn dropped(&mut self, reason: LinkDrop, messages: u64) {
        self.drops[reason as usize] += messages;
    }

    /// Of the streams into the rooms of a class.
    pub fn of(&mut self, class: RoomClass) -> &mut StreamCounters {
        &mut self.streams[class as usize]
    }
}
