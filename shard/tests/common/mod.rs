//! A node in this process, and a blocking client for it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringmain_core::Limits;
use ringmain_proto::ws::encode::write_masked_frame;
use ringmain_proto::ws::handshake::{ClientHandshake, check_response, client_request};
use ringmain_proto::ws::{CloseFrame, Event, Opcode, Parser, ParserSettings, Role};
use ringmain_router::RoomKey;
use ringmain_rt::Backend;
use ringmain_shard::{Node, NodeConfig, Policy};

pub const DEADLINE: Duration = Duration::from_secs(20);
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Both back ends: every property holds on both.
pub fn backends() -> [Backend; 2] {
    [Backend::Uring, Backend::Epoll]
}

pub fn config(backend: Backend, shards: usize) -> NodeConfig {
    NodeConfig {
        name: "test.00000000".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        tls_listen: None,
        backlog: 1024,
        cpus: vec![None; shards],
        backend,
        policy: policy(Limits::default()),
        descriptors_max: 1024,
        linked: false,
        room_secret: RoomKey::new([3; 16]),
    }
}

/// A policy with these bounds.
pub fn policy(limits: Limits) -> Arc<Policy> {
    Arc::new(Policy {
        limits,
        connections_max: 100_000,
        ..Policy::default()
    })
}

/// Stops a node and waits until it has ended.
pub fn stop(mut node: Node) {
    until("the node takes the stop", || node.stop());
    until("the node has stopped", || node.is_finished());
    node.join().unwrap();
}

/// Waits for a state, with a deadline.
pub fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < end, "in vain waited until {what}");
        std::thread::yield_now();
    }
}

/// What a client gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Message(Vec<u8>),
    Ping,
    Close(Option<CloseFrame>),
    End,
}

pub struct Client<S = TcpStream> {
    pub stream: S,
    parser: Parser,
    received: Vec<u8>,
}

pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub fn request(path: &str) -> Vec<u8> {
    let mut request = Vec::new();
    client_request("test", path, KEY, &mut request);
    request
}

pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, opcode, [9, 8, 7, 6], payload);
    frame
}

impl Client {
    pub fn connect(address: SocketAddr, path: &str) -> Self {
        Self::connect_with(address, path, &[])
    }

    /// Sends `first` in the same call as the request.
    pub fn connect_with(address: SocketAddr, path: &str, first: &[u8]) -> Self {
        let mut stream = dial(address);
        let mut bytes = request(path);
        bytes.extend_from_slice(first);
        stream.write_all(&bytes).unwrap();
        Self::upgraded(stream)
    }
}

impl<S: Read + Write> Client<S> {
    /// Takes the answer to a request that was sent.
    pub fn upgraded(mut stream: S) -> Self {
        let mut received = Vec::new();
        loop {
            match check_response(&received, KEY) {
                ClientHandshake::NeedMore => {
                    let mut buffer = [0; 4096];
                    let bytes = stream.read(&mut buffer).unwrap();
                    assert_ne!(bytes, 0, "the server answers the handshake");
                    received.extend_from_slice(&buffer[..bytes]);
                }
                ClientHandshake::Done { consumed } => {
                    received.drain(..consumed);
                    return Client {
                        stream,
                        parser: Parser::new(),
                        received,
                    };
                }
                other => panic!("the upgrade is refused: {other:?}"),
            }
        }
    }

    /// Reads so many bytes, which must be there; [`next`](Self::next) has them. Returns their number.
    pub fn take(&mut self, bytes: usize) -> usize {
        let at = self.received.len();
        self.received.resize(at + bytes, 0);
        self.stream.read_exact(&mut self.received[at..]).unwrap();
        bytes
    }

    pub fn send(&mut self, payload: &[u8]) {
        self.stream
            .write_all(&frame(Opcode::Binary, payload))
            .unwrap();
    }

    /// The next thing that the server says; pongs are passed over.
    pub fn next(&mut self) -> Got {
        let settings = ParserSettings {
            role: Role::Client,
            message_bytes_max: 1 << 26,
            compression: false,
        };
        loop {
            if !self.received.is_empty() {
                let mut received = std::mem::take(&mut self.received);
                let (event, rest) = self.parser.next(&settings, &mut received).unwrap();
                let got = event.map(|event| match event {
                    Event::Message { payload, .. } => Some(Got::Message(payload.to_vec())),
                    Event::Ping(_) => Some(Got::Ping),
                    Event::Compressed { .. } => panic!("compression was not negotiated"),
                    Event::Pong(_) => None,
                    Event::Close(frame) => Some(Got::Close(frame)),
                });
                self.received = rest.to_vec();
                match got {
                    Some(Some(got)) => return got,
                    Some(None) => continue,
                    None => {}
                }
            }
            let mut buffer = vec![0; 1 << 16];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Got::End,
                Ok(bytes) => self.received.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return Got::End;
                }
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    pub fn expect_message(&mut self, payload: &[u8]) {
        match self.next() {
            Got::Message(got) => assert!(
                got == payload,
                "{} bytes, not the {} sent",
                got.len(),
                payload.len()
            ),
            other => panic!("{other:?} instead of a message"),
        }
    }
}

/// Everything that the server says until it closes.
pub fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server does not close: {error}"),
    }
    String::from_utf8(text).unwrap()
}

/// The head of the answer to a request that was sent, without a byte of what follows.
pub fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}
