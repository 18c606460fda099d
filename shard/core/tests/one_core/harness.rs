//! One core with clients made of vectors, under virtual time.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ringmain_core::shard::{Ending, Input, ShardConfig, Verdict};
use ringmain_core::{
    Access, CloseReason, ConnId, DropReason, Limits, RoomPolicies, RoomSettings, Rules, ShardCore,
    ShardStats, Target, Tick, WriteOutcome,
};
use ringmain_proto::ws::deflate::{Agreement, Deflater, History, Inflater, WindowBits};
use ringmain_proto::ws::encode::write_masked_frame;
use ringmain_proto::ws::{Event, MessageKind, Opcode, Parser, ParserSettings, Role};
use ringmain_router::placement::home_shard;
use ringmain_router::{
    Generation, Holding, Moment, PayloadKind, PeerId, Publication, RoomKey, RoomName, ShardFrame,
    Subject,
};

/// What a client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Message(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(u16),
    /// Its HTTP request is to be the last.
    Finishing,
    HalfClosed,
    Shut,
}

#[derive(Default)]
pub struct Socket {
    parser: Parser,
    agreement: Option<Agreement>,
    sent: History,
    received: History,
    /// Compressed messages among those that it has seen.
    pub compressed: usize,
    /// Bytes that it has taken.
    pub bytes: usize,
    pub seen: Vec<Seen>,
    /// It takes nothing.
    pub is_stuck: bool,
    /// It takes so many bytes, and is stuck then.
    pub takes: usize,
    is_blocked: bool,
    writes: usize,
    /// What an event stream's client has got; none of it is WebSocket.
    stream: Option<String>,
}

/// Under which the core hashes room names.
pub const SECRET: [u8; 16] = [5; 16];

pub struct One {
    pub core: ShardCore,
    pub stats: Arc<ShardStats>,
    pub now: Tick,
    pub sockets: HashMap<ConnId, Socket>,
    /// Frames for other shards that their lanes have taken.
    pub sent: Vec<(PeerId, ShardFrame)>,
    /// What was decided of messages that came by HTTP.
    pub verdicts: Vec<(ConnId, Verdict)>,
    /// Tokens that came as first messages.
    pub tokens: Vec<(ConnId, Vec<u8>)>,
    /// The other shards' lanes take no publications.
    pub lanes_are_full: bool,
    /// When the writes of the next turns are made, where a test is about lags.
    pub sent_at: Option<Moment>,
}

impl One {
    pub fn new(limits: Limits) -> Self {
        Self::among(1, limits)
    }

    /// With settings for all rooms.
    pub fn with_rooms(settings: RoomSettings) -> Self {
        let mut one = Self::new(Limits::default());
        one.set_rooms(settings);
        one
    }

    /// Sets all rooms anew.
    pub fn set_rooms(&mut self, settings: RoomSettings) {
        let rules = Rules {
            limits: self.core.limits().clone(),
            rooms: RoomPolicies::new(Vec::new(), settings),
        };
        self.core
            .handle(self.now, Input::Configure(Box::new(rules)));
        self.turn();
    }

    pub fn among(shards: usize, limits: Limits) -> Self {
        Self::start(shards, false, limits)
    }

    /// Of a node that is linked to others.
    pub fn linked(limits: Limits) -> Self {
        Self::start(1, true, limits)
    }

    fn start(shards: usize, linked: bool, limits: Limits) -> Self {
        let stats = Arc::new(ShardStats::default());
        let config = ShardConfig {
            me: PeerId::shard(0).unwrap(),
            shards,
            linked,
            room_secret: RoomKey::new(SECRET),
            limits,
            rooms: RoomPolicies::default(),
            stats: stats.clone(),
        };
        One {
            core: ShardCore::new(config, Tick(0)),
            stats,
            now: Tick(0),
            sockets: HashMap::new(),
            sent: Vec::new(),
            verdicts: Vec::new(),
            tokens: Vec::new(),
            lanes_are_full: false,
            sent_at: None,
        }
    }

    pub fn echo(&mut self) -> ConnId {
        self.open(Target::Echo)
    }

    pub fn member(&mut self, room: &str) -> ConnId {
        self.open(Target::Raw {
            room: RoomName::new(room.as_bytes()).unwrap(),
            to_self: false,
        })
    }

    /// A member that listens to an event stream.
    pub fn stream(&mut self, room: &str) -> ConnId {
        self.open(Target::Events {
            room: RoomName::new(room.as_bytes()).unwrap(),
        })
    }

    /// What an event stream's client has got since the last call.
    pub fn events(&mut self, conn: ConnId) -> String {
        let stream = &mut self.sockets.get_mut(&conn).unwrap().stream;
        std::mem::take(stream.as_mut().unwrap())
    }

    /// A connection that publishes by HTTP.
    pub fn publisher(&mut self) -> ConnId {
        let conn = self.core.admit(self.now).unwrap();
        self.sockets.insert(conn, Socket::default());
        conn
    }

    pub fn post(&mut self, conn: ConnId, room: &str, text: &str) {
        self.post_from(None, conn, room, text);
    }

    /// The same, counted for an address.
    pub fn post_from(&mut self, from: Option<Subject<'_>>, conn: ConnId, room: &str, text: &str) {
        let room = RoomName::new(room.as_bytes()).unwrap();
        let publication = Publication {
            kind: PayloadKind::Text,
            payload: Bytes::copy_from_slice(text.as_bytes()),
            exclude: None,
            began: None,
        };
        let bytes = text.len();
        for input in [
            Input::RequestBegun { conn },
            Input::BodyReceived { conn, bytes },
            Input::Publish {
                conn,
                room,
                publication: Box::new(publication),
                from,
                lane_frames: 0,
            },
        ] {
            self.core.handle(self.now, input);
        }
    }

    /// The name of a room whose home is another of so many shards.
    pub fn room_of_another(shards: usize) -> String {
        let is_elsewhere = |name: &String| {
            let name = RoomName::new(name.as_bytes()).unwrap();
            home_shard(RoomKey::new(SECRET).id(&name), shards) != PeerId::shard(0).unwrap()
        };
        let names = (0..).map(|n| format!("room-{n}"));
        names.into_iter().find(is_elsewhere).unwrap()
    }

    /// A member to be, whose room's home is another shard.
    pub fn pending_member(&mut self, room: &str) -> ConnId {
        let conn = self.publisher();
        let target = Target::Raw {
            room: RoomName::new(room.as_bytes()).unwrap(),
            to_self: false,
        };
        self.core.handle(
            self.now,
            Input::Upgrade {
                conn,
                target,
                compression: None,
                access: Access::default(),
            },
        );
        self.turn();
        conn
    }

    /// What was decided since the last call.
    pub fn verdicts(&mut self) -> Vec<(ConnId, Verdict)> {
        std::mem::take(&mut self.verdicts)
    }

    /// Opens a connection whose upgrade needs no other shard.
    pub fn open(&mut self, target: Target) -> ConnId {
        self.open_compressed(target, None)
    }

    /// The same with what it may do.
    pub fn open_with(&mut self, target: Target, access: Access) -> ConnId {
        self.open_as(target, None, access)
    }

    /// The same with compression, as far as the core can afford it.
    pub fn open_compressed(&mut self, target: Target, wanted: Option<Agreement>) -> ConnId {
        self.open_as(target, wanted, Access::default())
    }

    fn open_as(&mut self, target: Target, wanted: Option<Agreement>, access: Access) -> ConnId {
        let conn = self.core.admit(self.now).unwrap();
        let compression = wanted.map(|wanted| self.core.affordable(wanted));
        let socket = Socket {
            stream: matches!(target, Target::Events { .. }).then(String::new),
            agreement: compression,
            ..Socket::default()
        };
        self.sockets.insert(conn, socket);
        self.core.handle(
            self.now,
            Input::Upgrade {
                conn,
                target,
                compression,
                access,
            },
        );
        self.turn();
        assert!(
            self.sockets.contains_key(&conn),
            "granted by this shard itself"
        );
        conn
    }

    pub fn frame(&mut self, conn: ConnId, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::new();
        write_masked_frame(&mut bytes, opcode, [4, 3, 2, 1], payload);
        self.receive(conn, &bytes);
    }

    pub fn say(&mut self, conn: ConnId, payload: &[u8]) {
        self.frame(conn, Opcode::Binary, payload);
    }

    /// Says something compressed, as it was agreed on.
    pub fn say_compressed(&mut self, conn: ConnId, message: &[u8]) {
        let bytes = self.sockets.get_mut(&conn).unwrap().compress(message);
        self.receive(conn, &bytes);
    }

    pub fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        self.core.handle(
            self.now,
            Input::Received {
                conn,
                bytes: &mut bytes.to_vec(),
            },
        );
    }

    pub fn end(&mut self, conn: ConnId) {
        self.core.handle(self.now, Input::Ended { conn });
        self.sockets.remove(&conn);
    }

    /// A stuck socket takes bytes again.
    pub fn unstick(&mut self, conn: ConnId) {
        let socket = self.sockets.get_mut(&conn).unwrap();
        socket.is_stuck = false;
        if std::mem::take(&mut socket.is_blocked) {
            self.core.handle(self.now, Input::Writable { conn });
        }
    }

    /// Turns until nothing is left to do.
    pub fn turn(&mut self) {
        loop {
            self.turn_once(usize::MAX);
            if !self.core.has_work() {
                break;
            }
        }
    }

    pub fn turn_once(&mut self, writes: usize) {
        self.core.handle(self.now, Input::Turn { lane_bytes: 0 });
        while let Some(token) = self.core.poll_token() {
            self.tokens.push(token);
        }
        let (sent, full) = (&mut self.sent, self.lanes_are_full);
        self.core.send_frames(self.now, |to, frame| {
            if full {
                return Err(frame);
            }
            sent.push((to, frame));
            Ok(())
        });
        let sockets = &mut self.sockets;
        self.core.flush(writes, |writes, outcomes| {
            outcomes.extend(writes.iter().map(|write| {
                let Some(socket) = sockets.get_mut(&write.conn) else {
                    return WriteOutcome::Gone;
                };
                socket.writes += 1;
                let mut bytes: Vec<u8> = write
                    .slices
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect();
                if socket.is_stuck {
                    let taken = bytes.len().min(socket.takes);
                    socket.takes -= taken;
                    socket.is_blocked = taken < bytes.len();
                    bytes.truncate(taken);
                }
                let count = bytes.len();
                socket.bytes += count;
                socket.read(bytes);
                WriteOutcome::Wrote(count)
            }));
            self.sent_at
        });
        while let Some((conn, verdict)) = self.core.poll_verdict() {
            if verdict != Verdict::Granted {
                self.verdicts.push((conn, verdict));
                self.core.handle(self.now, Input::RequestDone { conn });
                continue;
            }
            self.core.handle(
                self.now,
                Input::Respond {
                    conn,
                    bytes: Bytes::new(),
                },
            );
            self.core.handle(self.now, Input::Upgraded { conn });
        }
        while let Some((conn, ending)) = self.core.poll_close() {
            let seen = match ending {
                Ending::Finish => Seen::Finishing,
                Ending::HalfClose => Seen::HalfClosed,
                Ending::Shutdown => Seen::Shut,
            };
            self.sockets.get_mut(&conn).unwrap().seen.push(seen);
        }
        while self.core.poll_readable().is_some() {}
        self.core.show();
    }

    /// Lets time pass, with a turn whenever the core asks for one.
    pub fn pass(&mut self, milliseconds: u64) {
        let end = self.now.plus(milliseconds);
        while let Some(at) = self.core.poll_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = end;
        self.turn();
    }

    pub fn seen(&mut self, conn: ConnId) -> Vec<Seen> {
        std::mem::take(&mut self.sockets.get_mut(&conn).unwrap().seen)
    }

    pub fn messages(&mut self, conn: ConnId) -> Vec<Vec<u8>> {
        let message = |seen| match seen {
            Seen::Message(payload) => payload,
            other => panic!("{other:?} among messages"),
        };
        self.seen(conn).into_iter().map(message).collect()
    }

    /// Writes that one socket was asked to take since the last call.
    pub fn writes(&mut self, conn: ConnId) -> usize {
        std::mem::take(&mut self.sockets.get_mut(&conn).unwrap().writes)
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.stats.drops[reason as usize].get()
    }

    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.stats.closes[reason as usize].get()
    }

    /// Grants this shard the room as its home on another shard would, with members there too.
    pub fn grant_with_peer(&mut self, peer: PeerId) {
        let at = self
            .sent
            .iter()
            .position(|(_, frame)| matches!(frame, ShardFrame::Interest { .. }));
        let (home, frame) = self.sent.remove(at.expect("interest was told"));
        let ShardFrame::Interest {
            room,
            name,
            from,
            generation,
            holding,
        } = frame
        else {
            unreachable!()
        };
        let mut table = ringmain_router::HomeTable::new(home);
        table.interest(room, &name, peer, Generation(1), Holding::Member);
        table.interest(room, &name, from, generation, holding);
        let core = &mut self.core;
        let now = self.now;
        while table.poll_answer(|to, frame| {
            if to == from {
                core.handle(now, Input::Frame(frame));
            }
            Ok(())
        }) {}
        self.turn();
    }
}

impl Socket {
    /// The frame of a compressed message.
    pub fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        let client = self.agreement.unwrap().client;
        let mut deflater = Deflater::new(6, client.window);
        let payload = deflater.deflate(message, self.sent.as_slice()).unwrap();
        let frame = compressed_frame(payload);
        if client.takeover {
            self.sent.push(message, client.window);
        }
        frame
    }

    fn inflate(&mut self, kind: MessageKind, payload: &[u8]) -> Vec<u8> {
        let server = self.agreement.expect("no compression was agreed on").server;
        let mut inflater = Inflater::new();
        let message = inflater
            .inflate(kind, payload, self.received.as_slice(), 1 << 26)
            .expect("the core compresses messages")
            .to_vec();
        if server.takeover {
            self.received.push(&message, WindowBits::MAX);
        }
        self.compressed += 1;
        message
    }

    fn read(&mut self, mut bytes: Vec<u8>) {
        if let Some(stream) = &mut self.stream {
            stream.push_str(&String::from_utf8(bytes).expect("events are text"));
            return;
        }
        let settings = ParserSettings {
            role: Role::Client,
            message_bytes_max: 1 << 26,
            compression: self.agreement.is_some(),
        };
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let (event, left) = self
                .parser
                .next(&settings, rest)
                .expect("the core writes frames");
            match event {
                Some(Event::Message { payload, .. }) => {
                    self.seen.push(Seen::Message(payload.to_vec()))
                }
                Some(Event::Compressed { kind, payload }) => {
                    let payload = payload.into_vec();
                    let message = self.inflate(kind, &payload);
                    self.seen.push(Seen::Message(message));
                }
                Some(Event::Ping(_)) => self.seen.push(Seen::Ping),
                Some(Event::Close(frame)) => self
                    .seen
                    .push(Seen::Close(frame.map_or(1005, |frame| frame.code.get()))),
                Some(Event::Pong(payload)) => self.seen.push(Seen::Pong(payload.to_vec())),
                None => {}
            }
            rest = left;
        }
    }
}

/// A client's frame with the payload of a compressed message.
pub fn compressed_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, Opcode::Binary, [4, 3, 2, 1], payload);
    frame[0] |= 0x40;
    frame
}
