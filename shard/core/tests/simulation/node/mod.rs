//! A node of several cores, its mesh, and its sockets made of vectors.

mod checks;
mod clients;
mod far;
mod stopping;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;

use ringmain_core::shard::ShardConfig;
use ringmain_core::{
    ConnId, DropReason, Limits, Pattern, RoomPolicies, RoomSettings, ShardCore, ShardStats,
    SlowConsumer, Tick,
};
use ringmain_router::{Doorbell, Mesh, MeshLimits, MeshPort, PeerId, RoomKey, RoomName};

use crate::Random;
use crate::oracle::Client;

pub use far::Publisher;

struct NoBell;

impl Doorbell for NoBell {
    fn ring(&self) {}
}

struct Core {
    core: ShardCore,
    port: MeshPort,
    stats: Arc<ShardStats>,
    /// Which client is behind a connection.
    clients: BTreeMap<(u32, u32), usize>,
}

/// Ordered, so that a seed always does the same.
fn key(conn: ConnId) -> (u32, u32) {
    (conn.index, conn.generation)
}

struct Socket {
    core: usize,
    conn: ConnId,
    /// Bytes that it takes before it blocks.
    window: usize,
    is_blocked: bool,
    /// Bytes that were sent to the server while it did not read.
    unsent: Vec<u8>,
    joined: bool,
    /// It has published by HTTP, and waits for the verdict.
    is_posting: bool,
    /// Its connection ends when that is there.
    is_finishing: bool,
    is_ended: bool,
}

pub struct Node {
    now: Tick,
    /// The number of its first client: none has the number of another, on whichever node and in whichever life.
    first: usize,
    far_may_miss: bool,
    cores: Vec<Core>,
    rooms: Vec<RoomName>,
    /// Which rooms drop messages for slow consumers.
    drops: Vec<bool>,
    clients: Vec<Client>,
    sockets: Vec<Socket>,
    is_stopping: bool,
    /// Messages by HTTP that were not published.
    unpublished: u64,
    /// Those whose clients went before they knew.
    unknown: u64,
}

/// Stands for the 101: all of it comes before the first frame.
pub const RESPONSE: &[u8] = b"101";
const OPEN_WINDOW: usize = 1 << 30;

/// What a node is made of.
pub struct Setup {
    pub cores: usize,
    pub rooms: Vec<RoomSettings>,
    pub room_secret: RoomKey,
    /// The number of its first client.
    pub first: usize,
    /// Whether it has the control plane as a peer.
    pub linked: bool,
    /// Whether messages from other nodes may be missing.
    pub far_may_miss: bool,
    pub now: Tick,
}

/// The name of a room, by its number.
pub fn room_name(room: usize) -> RoomName {
    RoomName::new(format!("room-{room}").as_bytes()).expect("valid")
}

/// The secret of a seed's nodes.
pub fn secret(seed: u64) -> RoomKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    RoomKey::new(key)
}

/// What is set for one room.
pub fn settings(random: &mut Random) -> RoomSettings {
    let policies = [
        SlowConsumer::Disconnect,
        SlowConsumer::DropOldest,
        SlowConsumer::KeepLatest,
    ];
    RoomSettings {
        slow_consumer: policies[random.below(3)],
        queue_bytes_max: 1 + random.below(12_000),
        queue_messages_max: 1 + random.below(20),
        message_rate: None,
    }
}

/// Whether messages are dropped for this because a room has it so.
fn is_policy(reason: DropReason) -> bool {
    matches!(reason, DropReason::DropOldest | DropReason::KeepLatest)
}

impl Node {
    /// The node, and the control plane's end of its mesh if it is linked.
    pub fn new(setup: Setup) -> (Self, Option<MeshPort>) {
        let Setup {
            cores,
            rooms: settings,
            room_secret,
            first,
            linked,
            far_may_miss,
            now,
        } = setup;
        let entry = |(n, settings): (usize, &RoomSettings)| {
            let pattern = Pattern::new(room_name(n).as_str()).expect("valid");
            (pattern, *settings)
        };
        let entries = settings.iter().enumerate().map(entry).collect();
        let policies = RoomPolicies::new(entries, RoomSettings::default());
        let (ports, link) = ports(cores, linked);
        let cores = ports.into_iter().enumerate().map(|(index, port)| {
            let stats = Arc::new(ShardStats::default());
            let me = PeerId::shard(index).expect("few cores");
            let limits = Limits {
                heartbeat_ms: 400,
                pong_wait_ms: 2_000,
                ..Limits::default()
            };
            let config = ShardConfig {
                me,
                shards: cores,
                linked,
                room_secret,
                limits,
                rooms: policies.clone(),
                stats: stats.clone(),
            };
            Core {
                core: ShardCore::new(config, now),
                port,
                stats,
                clients: BTreeMap::new(),
            }
        });
        let node = Node {
            now,
            first,
            far_may_miss,
            cores: cores.collect(),
            rooms: (0..settings.len()).map(room_name).collect(),
            drops: settings
                .iter()
                .map(|settings| settings.slow_consumer != SlowConsumer::Disconnect)
                .collect(),
            clients: Vec::new(),
            sockets: Vec::new(),
            is_stopping: false,
            unpublished: 0,
            unknown: 0,
        };
        (node, link)
    }
}

/// Lanes of four frames, so that all of them are full at times.
fn ports(cores: usize, linked: bool) -> (Vec<MeshPort>, Option<MeshPort>) {
    let limits = MeshLimits {
        data_frames_max: 4,
        control_frames_max: 4,
        data_bytes_max: 20_000,
    };
    let bells = (0..cores)
        .map(|_| Box::new(NoBell) as Box<dyn Doorbell>)
        .collect();
    let mesh = if linked {
        Mesh::linked(limits, bells, Box::new(NoBell))
    } else {
        Mesh::new(limits, bells)
    };
    let (ports, _, link) = mesh.into_linked_ports();
    (ports, link)
}
