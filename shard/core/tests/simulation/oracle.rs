//! What one client has seen, and what it must have seen.

use std::collections::HashMap;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use ringmain_core::Tick;
use ringmain_proto::ws::{Event, Opcode, Parser, ParserSettings, Role};

/// How a client speaks with the node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A member by WebSocket.
    Socket { to_self: bool },
    /// A member by an event stream, which only listens.
    Stream,
    /// One that publishes by HTTP, and hears nothing.
    Publisher,
}

/// The most clients of a node in one life.
pub const CLIENTS_MAX: usize = 10_000;

/// A client of the node under test.
pub struct Client {
    pub room: usize,
    pub kind: Kind,
    /// An event of which not all has come.
    event: Vec<u8>,
    parser: Parser,
    /// What is still to come of the HTTP response.
    response: &'static [u8],
    /// Sequence numbers received of each publisher, in order.
    received: HashMap<usize, Vec<u32>>,
    /// Publications begun by each publisher of the room when this client's join was confirmed.
    pub begun_before: HashMap<usize, u32>,
    /// Publications begun by this client.
    pub begun: u32,
    pub pongs: Vec<Vec<u8>>,
    pub is_closed: bool,
    pub joined_at: Option<Tick>,
    /// Messages from other nodes may be missing.
    pub far_may_miss: bool,
    /// It hears other nodes, and knows what they had published before.
    pub hears_far: bool,
    /// Its node's clients have these numbers.
    near: Range<usize>,
    /// Messages from other nodes between two that it got.
    pub far_gaps: u64,
    /// It has been slow in a room that drops.
    pub may_miss: bool,
}

impl Client {
    pub fn new(room: usize, kind: Kind, first: usize) -> Self {
        Client {
            room,
            kind,
            event: Vec::new(),
            parser: Parser::new(),
            response: crate::node::RESPONSE,
            received: HashMap::new(),
            begun_before: HashMap::new(),
            begun: 0,
            pongs: Vec::new(),
            is_closed: false,
            joined_at: None,
            far_may_miss: false,
            hears_far: false,
            near: first..first + CLIENTS_MAX,
            far_gaps: 0,
            may_miss: false,
        }
    }

    /// A publication's payload: room, publisher, sequence, and filling that depends on them.
    pub fn payload(room: usize, publisher: usize, sequence: u32) -> Vec<u8> {
        let mut payload = Vec::new();
        payload.extend_from_slice(&(room as u32).to_le_bytes());
        payload.extend_from_slice(&(publisher as u32).to_le_bytes());
        payload.extend_from_slice(&sequence.to_le_bytes());
        // Some are long enough to travel beside their header, not behind it.
        let filling = if sequence.is_multiple_of(7) {
            5_000
        } else {
            10
        };
        payload.resize(payload.len() + filling, publisher as u8 ^ sequence as u8);
        payload
    }

    /// Takes what the server has written.
    pub fn read(&mut self, mut bytes: Vec<u8>) {
        let head = self.response.len().min(bytes.len());
        assert_eq!(
            bytes.drain(..head).as_slice(),
            &self.response[..head],
            "the response comes first"
        );
        self.response = &self.response[head..];
        if self.kind == Kind::Stream {
            return self.read_stream(&bytes);
        }
        let settings = ParserSettings {
            role: Role::Client,
            message_bytes_max: 1 << 20,
            compression: false,
        };
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let (event, left) = self
                .parser
                .next(&settings, rest)
                .expect("the server speaks WebSocket");
            match event {
                Some(Event::Message { payload, .. }) => self.message(&payload),
                Some(Event::Ping(payload)) => self.pongs.push(payload.to_vec()),
                Some(Event::Close(_)) => self.is_closed = true,
                Some(Event::Compressed { .. }) => panic!("compression was not negotiated"),
                Some(Event::Pong(_)) | None => {}
            }
            rest = left;
        }
    }

    fn read_stream(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.event.extend_from_slice(line);
            if !self.event.ends_with(b"\n\n") {
                continue;
            }
            let event = String::from_utf8(std::mem::take(&mut self.event)).expect("text");
            let is_control = event.starts_with(':') || event.starts_with("retry: ");
            self.is_closed |= event.starts_with("event: ringmain.close\n");
            if let Some(data) = event.strip_prefix("event: ringmain.binary\ndata: ") {
                let payload = STANDARD.decode(data.trim_end()).expect("base64");
                self.message(&payload);
            } else {
                assert!(is_control || self.is_closed, "{event:?}");
            }
        }
    }

    fn message(&mut self, payload: &[u8]) {
        let word =
            |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().expect("four bytes"));
        let (room, publisher, sequence) = (word(0) as usize, word(4) as usize, word(8));
        assert_eq!(room, self.room, "a message of another room");
        let expected = Client::payload(room, publisher, sequence);
        // Not assert_eq: that would print all the bytes.
        assert!(
            payload == expected,
            "publisher {publisher}'s message {sequence} has changed: {} bytes, {} expected",
            payload.len(),
            expected.len(),
        );
        let received = self.received.entry(publisher).or_default();
        if let Some(&last) = received.last() {
            let far_may_miss = self.far_may_miss && !self.near.contains(&publisher);
            assert!(
                sequence == last + 1 || (self.may_miss || far_may_miss) && sequence > last,
                "publisher {publisher}: {sequence} after {last}, not once and in order"
            );
            self.far_gaps += u64::from(sequence - last - 1);
        }
        received.push(sequence);
    }

    /// Messages received.
    pub fn received(&self) -> u64 {
        self.received.values().map(|of| of.len() as u64).sum()
    }

    /// Checks a member that has stayed: of this publisher, it must have all that was begun after its
    /// join was confirmed, to the last.
    pub fn check(&self, publisher: usize, begun: u32, is_self: bool) {
        let received = self.received.get(&publisher);
        if is_self && self.kind != (Kind::Socket { to_self: true }) {
            assert!(received.is_none(), "its own messages do not come back");
            return;
        }
        let before = self.begun_before.get(&publisher).copied().unwrap_or(0);
        if begun == before || self.may_miss {
            return;
        }
        let received =
            received.unwrap_or_else(|| panic!("nothing of publisher {publisher}, {begun} begun"));
        assert_eq!(
            received.last(),
            Some(&(begun - 1)),
            "the last message of publisher {publisher}"
        );
        assert!(
            received[0] <= before,
            "the first after the join of publisher {publisher}"
        );
    }
}

/// A frame as a client sends it.
pub fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ringmain_proto::ws::encode::write_masked_frame(&mut out, opcode, [1, 2, 3, 4], payload);
    out
}
