//! The turns of a node's cores.

use std::collections::HashSet;

use bytes::Bytes;
use ringmain_core::WriteOutcome;
use ringmain_core::limits::TURN_WRITES_MAX;
use ringmain_core::shard::{Ending, Input, Verdict};
use ringmain_proto::ws::Opcode;
use ringmain_router::{Lane, ShardFrame};

use super::{Core, Node, OPEN_WINDOW, RESPONSE, key};
use crate::Random;
use crate::oracle::masked;

impl Node {
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
    pub(super) fn drain(&mut self, index: usize) {
        while let Some((conn, verdict)) = self.cores[index].core.poll_verdict() {
            let client = self.cores[index].clients[&key(conn)];
            match verdict {
                Verdict::Granted => self.join(index, client),
                Verdict::Published | Verdict::Busy => self.posted(index, client, verdict),
                Verdict::NameCollision => panic!("the rooms have different ids"),
                Verdict::Counted | Verdict::Refused { .. } | Verdict::TooFast { .. } => {
                    panic!("nothing is limited")
                }
            }
        }
        while let Some((conn, ending)) = self.cores[index].core.poll_close() {
            let client = self.cores[index].clients[&key(conn)];
            match ending {
                Ending::Shutdown => {}
                // The request that is under way is answered first.
                Ending::Finish if self.sockets[client].is_posting => {
                    self.sockets[client].is_finishing = true;
                    continue;
                }
                Ending::Finish | Ending::HalfClose if self.is_stopping => {}
                other => panic!("{other:?}: nobody here breaks the protocol"),
            }
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
        self.end_closed(index);
    }

    fn posted(&mut self, index: usize, client: usize, verdict: Verdict) {
        let socket = &mut self.sockets[client];
        socket.is_posting = false;
        let conn = socket.conn;
        if verdict == Verdict::Busy {
            // Nothing of it was sent: the same message comes again.
            self.clients[client].begun -= 1;
            self.unpublished += 1;
        }
        if socket.is_finishing {
            return self.end(client);
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
        let begun_before = begun
            .map(|(n, other)| (self.first + n, other.begun))
            .collect();
        self.clients[client].begun_before = begun_before;
        self.clients[client].joined_at = Some(self.now);
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
    pub(super) fn moved(&self) -> u64 {
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
}
