//! A node of several cores, its mesh, and its sockets made of vectors.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use ringmain_core::limits::TURN_WRITES_MAX;
use ringmain_core::shard::{Ending, Input, ShardConfig, Verdict};
use ringmain_core::{ConnId, Limits, ShardCore, ShardStats, Target, Tick, WriteOutcome};
use ringmain_proto::ws::Opcode;
use ringmain_router::{
    Doorbell, Lane, Mesh, MeshLimits, MeshPort, PeerId, RoomKey, RoomName, ShardFrame,
};

use crate::Random;
use crate::oracle::{Client, masked};

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
    is_ended: bool,
}

pub struct Node {
    now: Tick,
    cores: Vec<Core>,
    rooms: Vec<RoomName>,
    clients: Vec<Client>,
    sockets: Vec<Socket>,
}

/// Stands for the 101: all of it comes before the first frame.
pub const RESPONSE: &[u8] = b"101";
const OPEN_WINDOW: usize = 1 << 30;

impl Node {
    pub fn new(cores: usize, rooms: usize, seed: u64) -> Self {
        let limits = MeshLimits {
            data_frames_max: 4,
            control_frames_max: 4,
            data_bytes_max: 20_000,
        };
        let bells = (0..cores)
            .map(|_| Box::new(NoBell) as Box<dyn Doorbell>)
            .collect();
        let (ports, _) = Mesh::new(limits, bells).into_ports();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let room_secret = RoomKey::new(key);
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
                room_secret,
                limits,
                stats: stats.clone(),
            };
            Core {
                core: ShardCore::new(config, Tick(0)),
                port,
                stats,
                clients: BTreeMap::new(),
            }
        });
        Node {
            now: Tick(0),
            cores: cores.collect(),
            rooms: (0..rooms)
                .map(|n| RoomName::new(format!("room-{n}").as_bytes()).expect("valid"))
                .collect(),
            clients: Vec::new(),
            sockets: Vec::new(),
        }
    }

    pub fn connect(&mut self, random: &mut Random) {
        let (core, room) = (
            random.below(self.cores.len()),
            random.below(self.rooms.len()),
        );
        let to_self = random.one_in(4);
        let target = Target::Raw {
            room: self.rooms[room].clone(),
            to_self,
        };
        let it = &mut self.cores[core];
        let conn = it.core.admit(self.now).expect("there is room");
        it.core.handle(
            self.now,
            Input::Upgrade {
                conn,
                target,
                compression: None,
            },
        );
        it.clients.insert(key(conn), self.clients.len());
        self.clients.push(Client::new(room, to_self));
        self.sockets.push(Socket {
            core,
            conn,
            window: OPEN_WINDOW,
            is_blocked: false,
            unsent: Vec::new(),
            joined: false,
            is_ended: false,
        });
        if random.one_in(2) {
            self.drain(core);
        }
    }

    fn any_joined(&self, random: &mut Random) -> Option<usize> {
        let joined: Vec<_> = (0..self.sockets.len())
            .filter(|&n| {
                self.sockets[n].joined && !self.sockets[n].is_ended && !self.clients[n].is_closed
            })
            .collect();
        (!joined.is_empty()).then(|| joined[random.below(joined.len())])
    }

    pub fn publish(&mut self, random: &mut Random) {
        let Some(publisher) = self.any_joined(random) else {
            return;
        };
        let mut bytes = Vec::new();
        for _ in 0..1 + random.below(5) {
            let client = &mut self.clients[publisher];
            let payload = Client::payload(client.room, publisher, client.begun);
            client.begun += 1;
            bytes.extend_from_slice(&masked(Opcode::Binary, &payload));
        }
        self.sockets[publisher].unsent.extend_from_slice(&bytes);
        self.send_unsent(publisher);
    }

    /// Hands over what a client has sent, if its connection is being read.
    fn send_unsent(&mut self, client: usize) {
        let socket = &mut self.sockets[client];
        let core = &mut self.cores[socket.core].core;
        if socket.joined
            && !socket.is_ended
            && !socket.unsent.is_empty()
            && core.is_reading(socket.conn)
        {
            let mut bytes = std::mem::take(&mut socket.unsent);
            core.handle(
                self.now,
                Input::Received {
                    conn: socket.conn,
                    bytes: &mut bytes,
                },
            );
        }
    }

    /// One client goes: politely, abruptly, or while its join is still under way.
    pub fn disconnect(&mut self, random: &mut Random) {
        if self.sockets.is_empty() {
            return;
        }
        let client = random.below(self.sockets.len());
        let politely = random.one_in(2);
        self.leave(client, politely);
    }

    fn leave(&mut self, client: usize, politely: bool) {
        let socket = &mut self.sockets[client];
        if socket.is_ended {
            return;
        }
        if politely && socket.joined {
            socket.unsent.extend_from_slice(&masked(Opcode::Close, &[]));
            self.send_unsent(client);
        } else {
            self.end(client);
        }
    }

    fn end(&mut self, client: usize) {
        let socket = &mut self.sockets[client];
        if !std::mem::replace(&mut socket.is_ended, true) {
            let core = &mut self.cores[socket.core];
            core.core
                .handle(self.now, Input::Ended { conn: socket.conn });
            core.clients.remove(&key(socket.conn));
        }
    }

    pub fn pass_time(&mut self, milliseconds: u64) {
        self.now = self.now.plus(milliseconds);
    }

    /// A socket begins to take only a few bytes, or takes all again.
    pub fn toggle_socket(&mut self, random: &mut Random) {
        let Some(client) = self.any_joined(random) else {
            return;
        };
        let window = if self.sockets[client].window == OPEN_WINDOW {
            random.below(3_000)
        } else {
            OPEN_WINDOW
        };
        self.set_window(client, window);
    }

    fn set_window(&mut self, client: usize, window: usize) {
        let socket = &mut self.sockets[client];
        socket.window = window;
        if window > 0 && std::mem::take(&mut socket.is_blocked) && !socket.is_ended {
            let conn = socket.conn;
            self.cores[socket.core]
                .core
                .handle(self.now, Input::Writable { conn });
        }
    }

    pub fn turn(&mut self, index: usize, random: &mut Random) {
        let Core { core, port, .. } = &mut self.cores[index];
        for lane in [Lane::Control, Lane::Data] {
            for _ in 0..random.below(6) {
                if lane == Lane::Data && !core.takes_data() {
                    break;
                }
                let Some(frame) = port.receive(lane) else {
                    break;
                };
                core.handle(self.now, Input::Frame(frame));
            }
        }
        core.handle(self.now, Input::Turn { lane_bytes: 0 });
        // One flush as the shell makes it, or several small ones.
        for _ in 0..1 + random.below(3) {
            self.flush(index, 1 + random.below(TURN_WRITES_MAX));
        }
        let Core { core, port, .. } = &mut self.cores[index];
        core.send_frames(self.now, |to, frame: ShardFrame| port.send(to, frame));
        self.drain(index);
    }

    fn flush(&mut self, index: usize, writes_max: usize) {
        let Node {
            cores,
            sockets,
            clients,
            ..
        } = self;
        let Core {
            core, clients: of, ..
        } = &mut cores[index];
        core.flush(writes_max, |writes, outcomes| {
            let mut written = HashSet::new();
            for write in writes {
                let client = of[&key(write.conn)];
                assert!(written.insert(client), "two writes on one socket at once");
                let socket = &mut sockets[client];
                let mut bytes: Vec<u8> = write.slices.iter().flat_map(|s| s.to_vec()).collect();
                assert!(
                    !bytes.is_empty() && !socket.is_blocked,
                    "a write that was not due"
                );
                let offered = bytes.len();
                bytes.truncate(socket.window);
                if socket.window != OPEN_WINDOW {
                    socket.window -= bytes.len();
                }
                socket.is_blocked = bytes.len() < offered;
                outcomes.push(WriteOutcome::Wrote(bytes.len()));
                clients[client].read(bytes);
            }
        });
    }

    /// Takes what a core has decided.
    fn drain(&mut self, index: usize) {
        while let Some((conn, verdict)) = self.cores[index].core.poll_verdict() {
            assert_eq!(verdict, Verdict::Granted);
            let client = self.cores[index].clients[&key(conn)];
            self.join(index, client);
        }
        while let Some((conn, ending)) = self.cores[index].core.poll_close() {
            assert_eq!(ending, Ending::Shutdown, "nobody here breaks the protocol");
            let client = self.cores[index].clients[&key(conn)];
            self.end(client);
        }
        while let Some(conn) = self.cores[index].core.poll_readable() {
            if let Some(&client) = self.cores[index].clients.get(&key(conn)) {
                self.send_unsent(client);
            }
        }
        let clients: Vec<usize> = self.cores[index].clients.values().copied().collect();
        for client in clients {
            for payload in std::mem::take(&mut self.clients[client].pongs) {
                self.sockets[client]
                    .unsent
                    .extend_from_slice(&masked(Opcode::Pong, &payload));
            }
            self.send_unsent(client);
        }
    }

    fn join(&mut self, index: usize, client: usize) {
        let room = self.clients[client].room;
        let begun = self
            .clients
            .iter()
            .enumerate()
            .filter(|(_, other)| other.room == room);
        let begun_before = begun.map(|(n, other)| (n, other.begun)).collect();
        self.clients[client].begun_before = begun_before;
        self.sockets[client].joined = true;
        let conn = self.sockets[client].conn;
        let core = &mut self.cores[index].core;
        core.handle(
            self.now,
            Input::Respond {
                conn,
                bytes: Bytes::from_static(RESPONSE),
            },
        );
        core.handle(self.now, Input::Upgraded { conn });
    }

    /// Runs until nothing is left to do.
    pub fn settle(&mut self, random: &mut Random) {
        for client in 0..self.sockets.len() {
            self.set_window(client, OPEN_WINDOW);
        }
        // At rest: three rounds in which nothing moved. A round may take no frame at all.
        let (mut moved, mut still) = (self.moved(), 0);
        for _ in 0..5_000 {
            for core in 0..self.cores.len() {
                self.turn(core, random);
            }
            let idle = self
                .cores
                .iter()
                .all(|it| !it.core.has_work() && it.port.is_empty());
            still = if idle && moved == self.moved() {
                still + 1
            } else {
                0
            };
            moved = self.moved();
            if still == 3 {
                return;
            }
        }
        panic!("the node does not come to rest");
    }

    /// Everything that moves is counted somewhere.
    fn moved(&self) -> u64 {
        let mut sum = 0;
        for core in &self.cores {
            core.stats.each(|metric, value| {
                if metric.name != "turns" {
                    sum += value;
                }
            });
        }
        sum
    }

    pub fn check_members(&self) {
        for core in &self.cores {
            assert!(
                core.stats.drops.iter().all(|dropped| dropped.get() == 0) || self.any_left(),
                "nothing is dropped"
            );
            assert_eq!(core.stats.room_gaps.get(), 0);
        }
        for (index, client) in self.clients.iter().enumerate() {
            let socket = &self.sockets[index];
            if socket.is_ended || client.is_closed {
                continue;
            }
            assert!(socket.joined, "client {index}: every join is answered");
            for (other, publisher) in self.clients.iter().enumerate() {
                // Who left abruptly may have taken unread messages along.
                if publisher.room == client.room && !self.sockets[other].is_ended {
                    client.check(other, publisher.begun, other == index);
                }
            }
        }
    }

    fn any_left(&self) -> bool {
        self.sockets.iter().any(|socket| socket.is_ended)
    }

    pub fn close_all(&mut self, random: &mut Random) {
        for client in 0..self.sockets.len() {
            self.leave(client, client.is_multiple_of(2));
        }
        self.settle(random);
    }

    pub fn check_empty(&self) {
        for (index, core) in self.cores.iter().enumerate() {
            assert_eq!(
                core.core.rooms(),
                (0, 0),
                "core {index}: rooms that nobody holds"
            );
            assert_eq!(
                core.core.connections(),
                0,
                "core {index}: connections that are gone"
            );
            assert_eq!(
                core.core.memory_bytes(),
                0,
                "core {index}: memory that nobody holds"
            );
        }
    }
}
