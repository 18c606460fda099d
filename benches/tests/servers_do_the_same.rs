//! Floors and peers answer handshakes, echo, and pass messages on, each as a benchmark expects it.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringmain_benches::frame::{self, BINARY, CLOSE};
use ringmain_benches::handshake;

const FLOOR: &str = env!("CARGO_BIN_EXE_floor");
const PEERS: [&str; 2] = [
    env!("CARGO_BIN_EXE_peer-tungstenite"),
    env!("CARGO_BIN_EXE_peer-fastwebsockets"),
];
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A server process, gone with this.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// `None` where the system forbids what a floor is made of.
    fn start(program: &str, words: &[&str]) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let process = Command::new(program)
            .args(words)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Server { process, port };
        let deadline = Instant::now() + WAIT_MAX;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.process.try_wait().unwrap().is_some() {
                let mut said = String::new();
                let stderr = server.process.stderr.as_mut().unwrap();
                stderr.read_to_string(&mut said).unwrap();
                assert!(said.contains("no io_uring"), "{program}: {said}");
                eprintln!("left out: {said}");
                return None;
            }
            assert!(Instant::now() < deadline, "{program} does not listen");
            std::thread::yield_now();
        }
        Some(server)
    }

    fn client(&self, path: &str) -> Client {
        let client = self.try_client(path);
        client.unwrap_or_else(|answer| panic!("{path}: {answer}"))
    }

    /// A client, or what was answered instead of the 101.
    fn try_client(&self, path: &str) -> Result<Client, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut client = Client {
            stream,
            received: Vec::new(),
        };
        loop {
            if let Some(end) = handshake::head_bytes(&client.received) {
                let head: Vec<u8> = client.received.drain(..end).collect();
                let head = String::from_utf8(head).unwrap();
                let accepts = head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
                return if accepts { Ok(client) } else { Err(head) };
            }
            assert!(client.receive(), "the head has an end");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn say(&mut self, payload: &[u8]) {
        let mut wire = Vec::new();
        frame::push_masked(&mut wire, BINARY, [1, 2, 3, 4], payload);
        self.stream.write_all(&wire).unwrap();
    }

    /// Whether something came before the end.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(bytes) => {
                self.received.extend_from_slice(&buffer[..bytes]);
                bytes > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next frame's opcode and payload.
    fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = frame::parse(&self.received).unwrap() {
                let heard = (frame.opcode, frame.payload.to_vec());
                let bytes = frame.bytes;
                self.received.drain(..bytes);
                return Some(heard);
            }
            if !self.receive() {
                return None;
            }
        }
    }
}

#[test]
fn echoes_come_back() {
    let mut servers: Vec<(&str, &[&str])> = PEERS.map(|peer| (peer, &[][..])).to_vec();
    servers.push((FLOOR, &["echo"]));
    for (program, words) in servers {
        let Some(server) = Server::start(program, words) else {
            continue;
        };
        let mut client = server.client("/echo");
        for payload in [vec![7; 64], vec![8; 16 * 1024]] {
            client.say(&payload);
            assert_eq!(client.hear(), Some((BINARY, payload)), "{program}");
        }
    }
}

#[test]
fn messages_reach_all_others_of_the_room_and_not_their_sender() {
    let mut servers: Vec<(&str, &[&str])> = PEERS.map(|peer| (peer, &[][..])).to_vec();
    servers.push((FLOOR, &["fanout"]));
    for (program, words) in servers {
        let Some(server) = Server::start(program, words) else {
            continue;
        };
        let mut clients: Vec<Client> = (0..3).map(|_| server.client("/raw/bench")).collect();
        // Whoever hears the others' messages and not its own has one from each of them.
        for (index, client) in clients.iter_mut().enumerate() {
            client.say(&[index as u8; 128]);
        }
        for (index, client) in clients.iter_mut().enumerate() {
            let mut heard: Vec<Vec<u8>> = (0..2)
                .map(|_| client.hear().map(|(_, payload)| payload).unwrap())
                .collect();
            heard.sort();
            let others = (0..3).filter(|other| *other != index);
            let expected: Vec<Vec<u8>> = others.map(|other| vec![other as u8; 128]).collect();
            assert_eq!(heard, expected, "{program}, client {index}");
        }
    }
}

#[test]
fn peers_refuse_what_is_no_route() {
    for program in PEERS {
        let server = Server::start(program, &[]).unwrap();
        let answer = server.try_client("/chat").err().unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{program}: {answer}");
    }
}

#[test]
fn a_floor_that_only_accepts_keeps_or_closes_as_it_was_told() {
    if let Some(server) = Server::start(FLOOR, &["accept", "--then", "close"]) {
        let mut client = server.client("/echo");
        assert_eq!(client.hear(), Some((CLOSE, Vec::new())));
        assert_eq!(client.hear(), None);
    }
    for words in [&["accept"][..], &["idle"]] {
        let Some(server) = Server::start(FLOOR, words) else {
            continue;
        };
        let mut client = server.client("/echo");
        // Were it not kept, the answer to its own close would not come.
        client.say(b"unanswered");
        client.stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
        assert_eq!(client.hear(), Some((CLOSE, Vec::new())), "{words:?}");
        assert_eq!(client.hear(), None);
    }
}
