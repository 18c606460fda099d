//! The structures between the parts: outboxes, the timer wheel, and the hop from shard to shard.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;
use ringmain_core::Tick;
use ringmain_core::encoded::Encoded;
use ringmain_core::memory::Meter;
use ringmain_core::outbox::Outbox;
use ringmain_core::wheel::Wheel;
use ringmain_proto::ws::Opcode;
use ringmain_router::{
    Doorbell, Generation, Lane, Mesh, MeshLimits, MeshPort, PayloadKind, PeerId, Publication,
    RoomId, ShardFrame,
};

use super::{Run, Workload};

/// As in an engine with as many connections.
const OWNERS: u32 = 10_000;
const HEARTBEAT_MS: u64 = 25_000;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("outbox", "reply-64B", 1, 500, || replies(1)),
    Workload::new("outbox", "replies-64B-x16", 16, 100, || replies(16)),
    Workload::new("outbox", "shared-x4", 4, 200, shared),
    Workload::new("wheel", "set", 1, 1000, set),
    Workload::new("wheel", "heartbeat-100ms", 40, 100, heartbeat),
    Workload::new("mesh", "hop", 1, 500, || hop(1)),
    Workload::new("mesh", "hop-x64", 64, 50, || hop(64)),
];

/// Replies are put into an outbox, offered, and taken.
fn replies(messages: usize) -> Run {
    let meter = Meter::default();
    let payload = [7; 64];
    let mut outbox = Outbox::default();
    Box::new(move || {
        for _ in 0..messages {
            outbox.push_copied(Opcode::Binary, black_box(&payload), &meter);
        }
        drain(&mut outbox);
    })
}

/// Deliveries that a room's outboxes share: gathered, offered, and taken.
fn shared() -> Run {
    let meter = Meter::default();
    let payload = Bytes::from(vec![7; 128]);
    let entries: Vec<Encoded> = (0..4)
        .map(|_| Encoded::message(Opcode::Binary, &payload, &meter))
        .collect();
    let mut outbox = Outbox::default();
    let mut gathered = Vec::new();
    Box::new(move || {
        for entry in &entries {
            outbox.push(entry.clone());
        }
        gathered.clear();
        let range = outbox.gather(&mut gathered);
        black_box((range, &gathered));
        let bytes = outbox.bytes();
        outbox.sent(bytes);
    })
}

fn drain(outbox: &mut Outbox) {
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    outbox.push_slices(&mut slices);
    black_box(&slices);
    drop(slices);
    let bytes = outbox.bytes();
    outbox.sent(bytes);
}

fn full_wheel() -> Wheel {
    let mut wheel = Wheel::new(Tick(0));
    for owner in 0..OWNERS {
        wheel.set(owner, due(owner, 0));
    }
    wheel
}

/// Deadlines spread evenly over one heartbeat.
fn due(owner: u32, now: u64) -> Tick {
    Tick(now + 1 + u64::from(owner) * HEARTBEAT_MS / u64::from(OWNERS))
}

/// A deadline is moved, as at each message.
fn set() -> Run {
    let mut wheel = full_wheel();
    let mut owner = 0;
    Box::new(move || {
        owner = (owner + 7919) % OWNERS;
        wheel.set(black_box(owner), Tick(HEARTBEAT_MS + u64::from(owner)));
    })
}

/// A tenth of a second passes, and whoever was due then is due again a heartbeat later.
fn heartbeat() -> Run {
    let mut wheel = full_wheel();
    let mut now = 0;
    let mut fired = Vec::new();
    Box::new(move || {
        now += 100;
        wheel.advance(Tick(now), usize::MAX, |owner| fired.push(owner));
        for owner in fired.drain(..) {
            wheel.set(owner, Tick(now + HEARTBEAT_MS));
        }
    })
}

struct Silent;

impl Doorbell for Silent {
    fn ring(&self) {}
}

/// Publications go from one shard to another, and are taken there; nobody sleeps.
fn hop(frames: usize) -> Run {
    let limits = MeshLimits {
        data_frames_max: 4096,
        control_frames_max: 1024,
        data_bytes_max: 64 << 20,
    };
    let (ports, _control) =
        Mesh::new(limits, vec![Box::new(Silent), Box::new(Silent)]).into_ports();
    let [mut from, mut to]: [MeshPort; 2] = ports.try_into().ok().unwrap();
    let publication = Arc::new(Publication {
        kind: PayloadKind::Binary,
        payload: Bytes::from(vec![7; 128]),
        exclude: None,
        began: None,
    });
    let peer = PeerId::shard(1).unwrap();
    Box::new(move || {
        for _ in 0..frames {
            let frame = ShardFrame::Publish {
                room: RoomId(1),
                generation: Generation(1),
                publication: publication.clone(),
            };
            assert!(from.send(peer, frame).is_ok());
        }
        from.ring_touched();
        for _ in 0..frames {
            assert!(black_box(to.receive(Lane::Data)).is_some());
        }
        to.make_room_known();
    })
}
