//! A small WebSocket server of threads and locks, which can do wrong on purpose.
//!
//! `/echo` sends back, `/raw/ROOM` sends to the others of the room, with `?self=1` to all.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ringmain_proto::ws::handshake::accept_key;
use ringmain_proto::ws::{CloseCode, Event, Opcode, Parser, ParserSettings, Role, encode};

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Nothing.
    Good,
    /// The delivery of this number does not happen.
    Drop(u64),
    /// Of the deliveries to connections from this number on, the one of this number does not happen.
    DropFrom(u64, u64),
    /// The delivery of this number happens twice.
    Duplicate(u64),
    /// The delivery of this number happens after the next one to the same member.
    Swap(u64),
    /// A bit is changed in the delivery of this number.
    Corrupt(u64),
    /// The delivery of this number also goes to another room, or another echo.
    Leak(u64),
    /// The delivery of this number comes as text.
    AsText(u64),
    /// Instead of the delivery of this number, the connection is closed with this code.
    Close(u64, u16),
    /// Instead of the delivery of this number, the connection just ends.
    End(u64),
    /// Instead of the delivery of this number come bytes that are no frame.
    Garbage(u64),
    /// Every handshake is answered with 503.
    Refuse,
    /// Handshakes are answered with 503 after so many that were not.
    RefuseAfter(u64),
    /// Handshakes are not answered.
    Silent,
    /// Handshakes are not answered after so many that were.
    SilentAfter(u64),
    /// The handshake of this number is not answered, all others after this time.
    Late(u64, Duration),
    /// The handshake's answer is wrong.
    WrongAccept,
    /// The answer to the handshake arrives in single bytes, with a first ping right behind it.
    Slowly,
    /// Nothing is read after the handshake.
    Deaf,
    /// Close frames are not answered.
    Clinging,
}

struct Server {
    conduct: Conduct,
    rooms: Mutex<HashMap<String, Vec<Arc<Member>>>>,
    accepted: AtomicU64,
    deliveries: AtomicU64,
    deliveries_late: AtomicU64,
}

struct Member {
    number: u64,
    path: String,
    /// The socket, and a frame that is held back.
    out: Mutex<(TcpStream, Option<Vec<u8>>)>,
}

/// Starts a server; returns the URL of its root, without a slash at the end. It ends with the process.
pub fn start(conduct: Conduct) -> String {
    start_watched(conduct).0
}

/// The same, and what has happened there.
pub fn start_watched(conduct: Conduct) -> (String, Watched) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Server {
        conduct,
        rooms: Mutex::default(),
        accepted: AtomicU64::new(0),
        deliveries: AtomicU64::new(0),
        deliveries_late: AtomicU64::new(0),
    });
    let watched = Watched(server.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let server = server.clone();
            let number = server.accepted.fetch_add(1, Ordering::Relaxed);
            // Errors of a connection are the client's to find.
            thread::spawn(move || server.serve(stream.unwrap(), number).ok());
        }
    });
    (format!("ws://{address}"), watched)
}

/// What has happened at a server.
pub struct Watched(Arc<Server>);

impl Watched {
    /// Connections that were accepted.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Members of rooms, and others whose handshake was answered, that are there.
    pub fn present(&self) -> usize {
        self.0.rooms.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Messages that were to be delivered.
    pub fn deliveries(&self) -> u64 {
        self.0.deliveries.load(Ordering::Relaxed)
    }
}

impl Server {
    fn serve(&self, mut stream: TcpStream, number: u64) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let Some((path, key)) = read_request(&mut stream)? else {
            return Ok(());
        };
        let refused = match self.conduct {
            Conduct::SilentAfter(count) if number < count => false,
            Conduct::Silent | Conduct::SilentAfter(_) => {
                // Until the client gives up.
                return stream.read_exact(&mut [0]);
            }
            Conduct::Late(silent, _) if number == silent => {
                return stream.read_exact(&mut [0]);
            }
            Conduct::Late(_, late) => {
                thread::sleep(late);
                false
            }
            Conduct::Refuse => true,
            Conduct::RefuseAfter(count) => number >= count,
            _ => false,
        };
        if refused {
            return stream
                .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
        let member = Arc::new(Member {
            number,
            path: path.clone(),
            out: Mutex::new((stream.try_clone()?, None)),
        });
        let room = path.split('?').next().unwrap_or_default().to_owned();
        self.enter(&room, member.clone());
        self.answer_handshake(&mut stream, &key)?;
        let result = self.read(&mut stream, &member, &room);
        let members = &mut *self.rooms.lock().unwrap();
        if let Some(members) = members.get_mut(&room) {
            members.retain(|other| other.number != member.number);
        }
        result
    }

    /// Members of a room stand in the order of their connections, whichever thread is here first: tests count on
    /// who gets which delivery.
    fn enter(&self, room: &str, member: Arc<Member>) {
        let mut rooms = self.rooms.lock().unwrap();
        let members = rooms.entry(room.to_owned()).or_default();
        let place = members.partition_point(|other| other.number < member.number);
        members.insert(place, member);
    }

    fn answer_handshake(&self, stream: &mut TcpStream, key: &str) -> std::io::Result<()> {
        let accept = match self.conduct {
            Conduct::WrongAccept => accept_key("another"),
            _ => accept_key(key),
        };
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        if self.conduct == Conduct::Slowly {
            encode::write_frame(&mut answer, Opcode::Ping, b"first");
            answer
                .iter()
                .try_for_each(|byte| stream.write_all(&[*byte]))
        } else {
            stream.write_all(&answer)
        }
    }

    fn read(
        &self,
        stream: &mut TcpStream,
        member: &Arc<Member>,
        room: &str,
    ) -> std::io::Result<()> {
        if self.conduct == Conduct::Deaf {
            thread::park();
        }
        let settings = ParserSettings {
            role: Role::Server,
            message_bytes_max: 1 << 24,
            compression: false,
        };
        let mut parser = Parser::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let bytes = stream.read(&mut buffer)?;
            if bytes == 0 {
                return Ok(());
            }
            let mut input = &mut buffer[..bytes];
            while let (Some(event), rest) = parser.next(&settings, input).unwrap() {
                input = rest;
                match event {
                    Event::Message { payload, .. } => self.publish(member, room, &payload),
                    Event::Close(_) if self.conduct != Conduct::Clinging => {
                        member.send(&frame(
                            Opcode::Close,
                            &encode::close_payload(CloseCode::NORMAL, ""),
                        ));
                        return stream.shutdown(Shutdown::Both);
                    }
                    _ => {}
                }
            }
        }
    }

    fn publish(&self, from: &Arc<Member>, room: &str, payload: &[u8]) {
        let own = from.path.ends_with("?self=1");
        let receivers: Vec<_> = if room == "/echo" {
            vec![from.clone()]
        } else {
            let rooms = self.rooms.lock().unwrap();
            let others = rooms[room].iter();
            let others = others.filter(|member| own || member.number != from.number);
            others.cloned().collect()
        };
        for receiver in receivers {
            self.deliver(&receiver, payload);
        }
    }

    fn deliver(&self, to: &Arc<Member>, payload: &[u8]) {
        let number = self.deliveries.fetch_add(1, Ordering::Relaxed);
        let good = frame(Opcode::Binary, payload);
        match self.conduct {
            Conduct::Drop(wrong) if wrong == number => {}
            Conduct::DropFrom(first, wrong)
                if to.number >= first
                    && self.deliveries_late.fetch_add(1, Ordering::Relaxed) == wrong => {}
            Conduct::Duplicate(wrong) if wrong == number => {
                to.send(&good);
                to.send(&good);
            }
            Conduct::Swap(wrong) if wrong == number => to.out.lock().unwrap().1 = Some(good),
            Conduct::Corrupt(wrong) if wrong == number => {
                let mut changed = payload.to_vec();
                changed[payload.len() / 2] ^= 4;
                to.send(&frame(Opcode::Binary, &changed));
            }
            Conduct::Leak(wrong) if wrong == number => {
                to.send(&good);
                let rooms = self.rooms.lock().unwrap();
                let mut others = rooms.values().flatten();
                let other = others.find(|member| {
                    member.number != to.number && (member.path != to.path || to.path == "/echo")
                });
                other.unwrap().send(&good);
            }
            Conduct::AsText(wrong) if wrong == number => {
                to.send(&frame(Opcode::Text, b"not what was sent"));
            }
            Conduct::Close(wrong, code) if wrong == number => {
                let payload = encode::close_payload(CloseCode::new(code).unwrap(), "");
                to.send(&frame(Opcode::Close, &payload));
            }
            Conduct::End(wrong) if wrong == number => {
                to.out.lock().unwrap().0.shutdown(Shutdown::Both).unwrap();
            }
            Conduct::Garbage(wrong) if wrong == number => to.send(&[0xff; 16]),
            _ => to.send(&good),
        }
    }
}

impl Member {
    /// Sends a frame, and after it the one that was held back.
    fn send(&self, frame: &[u8]) {
        let (stream, held) = &mut *self.out.lock().unwrap();
        // A client that has gone has been counted there.
        let _ = stream.write_all(frame);
        if let Some(held) = held.take() {
            let _ = stream.write_all(&held);
        }
    }
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode::write_frame(&mut frame, opcode, payload);
    frame
}

/// The path and the key of a handshake; `None` if the client has gone.
fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<(String, String)>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    Ok(Some((path, key.unwrap().to_owned())))
}
