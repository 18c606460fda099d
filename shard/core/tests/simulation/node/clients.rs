//! What the clients of a node do.

use ringmain_core::shard::Input;
use ringmain_core::{Access, ConnId, Target};
use ringmain_proto::ws::Opcode;
use ringmain_router::{PayloadKind, Publication};

use super::{Core, Node, OPEN_WINDOW, Socket, key};
use crate::Random;
use crate::oracle::{Client, Kind, masked};

impl Node {
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
                access: Access::default(),
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
        let mut client = Client::new(room, kind, self.first);
        client.far_may_miss = self.far_may_miss;
        self.clients.push(client);
        self.sockets.push(Socket {
            core,
            conn,
            window: OPEN_WINDOW,
            is_blocked: false,
            unsent: Vec::new(),
            joined: false,
            is_posting: false,
            is_finishing: false,
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
        let payload = Client::payload(client.room, self.first + publisher, client.begun);
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
                from: None,
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
            let payload = Client::payload(client.room, self.first + publisher, client.begun);
            client.begun += 1;
            bytes.extend_from_slice(&masked(Opcode::Binary, &payload));
        }
        self.sockets[publisher].unsent.extend_from_slice(&bytes);
        self.send_unsent(publisher);
    }

    /// Hands over what a client has sent, if its connection is being read.
    pub(super) fn send_unsent(&mut self, client: usize) {
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

    pub(super) fn leave(&mut self, client: usize, politely: bool) {
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

    pub(super) fn end(&mut self, client: usize) {
        let socket = &mut self.sockets[client];
        if !std::mem::replace(&mut socket.is_ended, true) {
            self.unknown += u64::from(socket.is_posting);
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

    pub(super) fn set_window(&mut self, client: usize, window: usize) {
        let socket = &mut self.sockets[client];
        socket.window = window;
        if window > 0 && std::mem::take(&mut socket.is_blocked) && !socket.is_ended {
            let conn = socket.conn;
            self.cores[socket.core]
                .core
                .handle(self.now, Input::Writable { conn });
        }
    }
}
