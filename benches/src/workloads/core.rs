//! A whole core between two sockets that are not there: echoes, joins, and fan-out.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use ringmain_core::limits::TURN_WRITES_MAX;
use ringmain_core::shard::{Input, ShardConfig};
use ringmain_core::{
    Access, ConnId, Limits, RoomPolicies, ShardCore, ShardStats, Target, Tick, WriteOutcome,
};
use ringmain_proto::ws::Opcode;
use ringmain_proto::ws::encode::write_masked_frame;
use ringmain_router::{Moment, PeerId, RoomKey, RoomName};

use super::{Run, Workload};

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

pub(super) const WORKLOADS: &[Workload] = &[
    Workload::new("echo", "64B", 1, 200, || echo(64, 1)),
    Workload::new("echo", "64B-x16", 16, 100, || echo(64, 16)),
    Workload::new("echo", "16KiB", 1, 50, || echo(16 * 1024, 1)),
    Workload::new("join-leave", "10", 1, 200, || join_and_leave(10)),
    Workload::new("join-leave", "1000", 1, 200, || join_and_leave(1_000)),
    Workload::new("join-leave", "100000", 1, 50, || join_and_leave(100_000)),
    Workload::new("fan-out", "10", 10, 100, || fan_out(10, 1)),
    Workload::new("fan-out", "100", 100, 50, || fan_out(100, 1)),
    Workload::new("fan-out", "1000", 1_000, 10, || fan_out(1_000, 1)),
    Workload::new("fan-out", "1000-x4", 4_000, 5, || fan_out(1_000, 4)),
    Workload::new("fan-out", "10000", 10_000, 2, || fan_out(10_000, 1)),
    Workload::new("fan-out", "100000", 100_000, 1, || fan_out(100_000, 1)),
];

/// One shard alone, whose sockets take everything.
struct OneCore {
    core: ShardCore,
    bytes_written: usize,
}

impl OneCore {
    fn new() -> Self {
        let config = ShardConfig {
            me: PeerId::shard(0).unwrap(),
            shards: 1,
            linked: false,
            room_secret: RoomKey::new([5; 16]),
            limits: Limits::default(),
            rooms: RoomPolicies::default(),
            stats: Arc::new(ShardStats::default()),
        };
        Self {
            core: ShardCore::new(config, Tick(0)),
            bytes_written: 0,
        }
    }

    fn open(&mut self, target: Target) -> ConnId {
        let conn = self.core.admit(Tick(0)).unwrap();
        self.core.handle(
            Tick(0),
            Input::Upgrade {
                conn,
                target,
                compression: None,
                access: Access::default(),
            },
        );
        self.turns();
        conn
    }

    fn receive(&mut self, conn: ConnId, bytes: &mut [u8]) {
        self.core.set_moment(Moment::new(1_000));
        self.core.handle(Tick(0), Input::Received { conn, bytes });
    }

    /// Turns as the shell makes them, until nothing is left to do.
    fn turns(&mut self) {
        loop {
            self.core.handle(Tick(0), Input::Turn { lane_bytes: 0 });
            // A shard alone talks to no other.
            self.core.send_frames(Tick(0), |_, frame| Err(frame));
            let written = &mut self.bytes_written;
            self.core.flush(TURN_WRITES_MAX, |writes, outcomes| {
                outcomes.extend(writes.iter().map(|write| {
                    *written += black_box(write).bytes();
                    WriteOutcome::Wrote(write.bytes())
                }));
                Some(Moment::new(1_300))
            });
            while let Some((conn, _)) = self.core.poll_verdict() {
                let bytes = Bytes::new();
                self.core.handle(Tick(0), Input::Respond { conn, bytes });
                self.core.handle(Tick(0), Input::Upgraded { conn });
            }
            while self.core.poll_readable().is_some() {}
            self.core.show();
            if !self.core.has_work() {
                break;
            }
        }
    }

    /// Turns, and proves that so much was written meanwhile.
    fn turns_that_write(&mut self, bytes: usize) {
        let before = self.bytes_written;
        self.turns();
        assert_eq!(self.bytes_written - before, bytes);
    }
}

fn lobby() -> Target {
    Target::Raw {
        room: RoomName::new(b"lobby").unwrap(),
        to_self: false,
    }
}

/// Messages of one client as they come in with one read. Unmasking only turns the payloads over.
fn messages(payload_bytes: usize, count: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for _ in 0..count {
        write_masked_frame(&mut wire, Opcode::Binary, KEY, &vec![7; payload_bytes]);
    }
    wire
}

fn echo(payload_bytes: usize, count: usize) -> Run {
    let mut one = OneCore::new();
    let conn = one.open(Target::Echo);
    let mut wire = messages(payload_bytes, count);
    // What comes back is not masked.
    let bytes = wire.len() - KEY.len() * count;
    Box::new(move || {
        one.receive(conn, &mut wire);
        one.turns_that_write(bytes);
    })
}

/// One more joins a room and leaves it again.
fn join_and_leave(members: usize) -> Run {
    let mut one = OneCore::new();
    for _ in 0..members {
        one.open(lobby());
    }
    Box::new(move || {
        let conn = one.open(lobby());
        one.core.handle(Tick(0), Input::Ended { conn });
        one.turns();
    })
}

/// Messages of one member, come in with one read, go to all the others.
fn fan_out(others: usize, count: usize) -> Run {
    let mut one = OneCore::new();
    let publisher = one.open(lobby());
    for _ in 0..others {
        one.open(lobby());
    }
    let mut wire = messages(128, count);
    let bytes = (wire.len() - KEY.len() * count) * others;
    Box::new(move || {
        one.receive(publisher, &mut wire);
        one.turns_that_write(bytes);
    })
}
