//! A node of several cores, its mesh, and its sockets made of vectors.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use ringmain_core::limits::TURN_WRITES_MAX;
use ringmain_core::shard::{Ending, Input, ShardConfig, Verdict};
use ringmain_core::{
    ConnId, DropReason, Limits, Pattern, RoomPolicies, RoomSettings, ShardCore, ShardStats,
    SlowConsumer, Target, Tick, WriteOutcome,
};
use ringmain_proto::ws::Opcode;
use ringmain_router::{
    Doorbell, Lane, Mesh, MeshLimits, MeshPort, PeerId, RoomKey, RoomName, ShardFrame,
};
use ringmain_router::{PayloadKind, Publication};

use crate::Random;
use crate::oracle::{Client, Kind, masked};

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
    is_ended: bool,
}

pub struct Node {
    now: Tick,
    cores: Vec<Core>,
    rooms: Vec<RoomName>,
    /// Which rooms drop messages for slow consumers.
    drops: Vec<bool>,
    clients: Vec<Client>,
    sockets: Vec<Socket>,
}

/// Stands for the 101: all of it comes before the first frame.
pub const RESPONSE: &[u8] = b"101";
const OPEN_WINDOW: usize = 1 << 30;

/// What is set for one room.
fn settings(random: &mut Random) -> RoomSettings {
    let policies = [
        SlowConsumer::Disconnect,
        SlowConsumer::DropOldest,
        SlowConsumer::KeepLatest,
    ];
    RoomSettings {
        slow_consumer: policies[random.below(3)],
        queue_bytes_max: 1 + random.below(12_000),
        queue_messages_max: 1 + random.below(20),
    }
}

/// Whether messages are dropped for this because a room has it so.
fn is_policy(reason: DropReason) -> bool {
    matches!(reason, DropReason::DropOldest | DropReason::KeepLatest)
}

impl Node {
    pub fn new(cores: usize, rooms: usize, seed: u64, random: &mut Random) -> Self {
        let settings: Vec<RoomSettings> = (0..rooms).map(|_| settings(random)).collect();
        let entry = |(n, settings): (usize, &RoomSettings)| {
            let pattern = Pattern::new(&format!("room-{n}")).expect("valid");
            (pattern, *settings)
        };
        let entries = settings.iter().enumerate().map(entry).collect();
        let policies = RoomPolicies::new(entries, RoomSettings::default());
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
                rooms: policies.clone(),
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
            drops: settings
                .iter()
                .map(|settings| settings.slow_consumer != SlowConsumer::Disconnect)
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
        let (target, kind) = if random.one_in(3) {
            let room = self.rooms[room].clone();
            (Target::Events { room }, Kind::Stream)
        } else {
            let room = self.rooms[room].clone();
            (Target::Raw { room, to_self }, Kind::Socket { to_self })
        };
        let conn = self.admit(core, room, kind);
        let it = &mut self.cores[core];
        it.core.handle(
            self.now,
            Input::Upgrade {
                conn,
                target,
                compression: None,
            },
        );
        if random.one_in(2) {
            self.drain(core);
        }
    }

    /// One who publishes to a room by HTTP, and is no member of it.
    pub fn connect_publisher(&mut self, random: &mut Random) {
        let (core, room) = (
            random.below(self.cores.len()),
            random.below(self.rooms.len()),
        );
        self.admit(core, room, Kind::Publisher);
    }

    fn admit(&mut self, core: usize, room: usize, kind: Kind) -> ConnId {
        let it = &mut self.cores[core];
        let conn = it.core.admit(self.now).expect("there is room");
        it.clients.insert(key(conn), self.clients.len());
        self.clients.push(Client::new(room, kind));
        self.sockets.push(Socket {
            core,
            conn,
            window: OPEN_WINDOW,
            is_blocked: false,
            unsent: Vec::new(),
            joined: false,
            is_posting: false,
            is_ended: false,
        });
        conn
    }

    /// One of them publishes, if it does not wait for a verdict.
    pub fn post(&mut self, random: &mut Random) {
        let idle: Vec<_> = (0..self.sockets.len())
            .filter(|&n| {
                let socket = &self.sockets[n];
                self.clients[n].kind == Kind::Publisher && !socket.is_posting && !socket.is_ended
            })
            .collect();
        if idle.is_empty() {
            return;
        }
        let publisher = idle[random.below(idle.len())];
        if random.one_in(2) {
            // Clients have several connections, which different shards may have.
            self.move_publisher(publisher, random.below(self.cores.len()));
        }
        let client = &mut self.clients[publisher];
        let payload = Client::payload(client.room, publisher, client.begun);
        client.begun += 1;
        let room = self.rooms[client.room].clone();
        let socket = &mut self.sockets[publisher];
        socket.is_posting = true;
        let conn = socket.conn;
        let Core { core, port, .. } = &mut self.cores[socket.core];
        let lane_frames = port.waiting_frames();
        core.handle(self.now, Input::RequestBegun { conn });
        core.handle(
            self.now,
            Input::BodyReceived {
                conn,
                bytes: payload.len(),
            },
        );
        core.handle(
            self.now,
            Input::Publish {
                conn,
                room,
                publication: Box::new(Publication {
                    kind: PayloadKind::Binary,
                    payload: payload.into(),
                    exclude: None,
                    began: None,
                }),
                lane_frames,
            },
        );
    }

    fn move_publisher(&mut self, publisher: usize, to: usize) {
        let Socket { core, conn, .. } = self.sockets[publisher];
        let from = &mut self.cores[core];
        from.core.handle(self.now, Input::Ended { conn });
        from.clients.remove(&key(conn));
        let it = &mut self.cores[to];
        let conn = it.core.admit(self.now).expect("there is room");
        it.clients.insert(key(conn), publisher);
        self.sockets[publisher].core = to;
        self.sockets[publisher].conn = conn;
    }

    fn any_joined(&self, random: &mut Random) -> Option<usize> {
        let joined: Vec<_> = (0..self.sockets.len())
            .filter(|&n| {
                self.sockets[n].joined && !self.sockets[n].is_ended && !self.clients[n].is_closed
            })
            .collect();
        (!joined.is_empty()).then(|| joined[random.below(joined.len())])
    }

    /// A member that can publish.
    fn any_talker(&self, random: &mut Random) -> Option<usize> {
        let joined: Vec<_> = (0..self.sockets.len())
            .filter(|&n| {
                matches!(self.clients[n].kind, Kind::Socket { .. })
                    && self.sockets[n].joined
                    && !self.sockets[n].is_ended
                    && !self.clients[n].is_closed
            })
            .collect();
        (!joined.is_empty()).then(|| joined[random.below(joined.len())])
    }

    pub fn publish(&mut self, random: &mut Random) {
        let Some(publisher) = self.any_talker(random) else {
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
        let is_socket = matches!(self.clients[client].kind, Kind::Socket { .. });
        if politely && socket.joined && is_socket {
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
            // From now on it is slow at times.
            self.clients[client].may_miss = self.drops[self.clients[client].room];
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
            None
        });
    }

    /// Takes what a core has decided.
    fn drain(&mut self, index: usize) {
        while let Some((conn, verdict)) = self.cores[index].core.poll_verdict() {
            let client = self.cores[index].clients[&key(conn)];
            match verdict {
                Verdict::Granted => self.join(index, client),
                Verdict::Published | Verdict::Busy => self.posted(index, client, verdict),
                Verdict::NameCollision => panic!("the rooms have different ids"),
            }
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

    fn posted(&mut self, index: usize, client: usize, verdict: Verdict) {
        let socket = &mut self.sockets[client];
        socket.is_posting = false;
        let conn = socket.conn;
        if verdict == Verdict::Busy {
            // Nothing of it was sent: the same message comes again.
            self.clients[client].begun -= 1;
        }
        let core = &mut self.cores[index].core;
        core.handle(self.now, Input::RequestDone { conn });
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
            let mut drops = DropReason::NAMES.iter().zip(&core.stats.drops);
            assert!(
                drops.all(|((_, reason), dropped)| is_policy(*reason) || dropped.get() == 0)
                    || self.any_left(),
                "nothing is dropped but by a policy"
            );
            assert_eq!(core.stats.room_gaps.get(), 0);
        }
        for (index, client) in self.clients.iter().enumerate() {
            let socket = &self.sockets[index];
            if socket.is_ended || client.is_closed {
                continue;
            }
            if client.kind == Kind::Publisher {
                assert!(
                    !socket.is_posting,
                    "client {index}: every message is answered"
                );
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

    /// Everything that was queued for a member has been received or is counted as dropped. Returns what the two
    /// policies have dropped.
    pub fn check_counts(&self) -> [u64; 2] {
        let sum = |of: &dyn Fn(&ShardStats) -> u64| -> u64 {
            self.cores.iter().map(|core| of(&core.stats)).sum()
        };
        let dropped = |reason: DropReason| sum(&|stats| stats.drops[reason as usize].get());
        let queued = sum(&|stats| stats.messages_out.get());
        let received: u64 = self.clients.iter().map(Client::received).sum();
        let lost: u64 = DropReason::NAMES
            .iter()
            .map(|&(_, reason)| dropped(reason))
            .sum();
        assert_eq!(
            queued,
            received + lost,
            "every loss is counted, and nothing else"
        );
        let by_policy = [DropReason::DropOldest, DropReason::KeepLatest].map(dropped);
        let may_miss = self.clients.iter().any(|client| client.may_miss);
        assert!(may_miss || by_policy == [0, 0], "nobody was slow");
        by_policy
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
