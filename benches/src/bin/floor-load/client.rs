//! One WebSocket connection, and whether what it receives is what it should.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ringmain_benches::frame::{self, BINARY};
use ringmain_benches::handshake;

const MASK: [u8; 4] = [0x11, 0x82, 0x53, 0xc4];

/// What was found wrong with the messages.
#[derive(Debug, Default)]
pub struct Faults {
    pub lost: u64,
    pub out_of_order: u64,
    pub corrupt: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    pub stream: TcpStream,
    tail: Vec<u8>,
    unsent: Vec<u8>,
    next_sent: u64,
    next_received: u64,
}

impl Client {
    /// Connects to `ws://ADDRESS:PORT/PATH` and upgrades.
    pub fn connect(url: &str) -> io::Result<Self> {
        let wrong = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{url}: not ws://ADDRESS:PORT/PATH"),
            )
        };
        let (address, path) = url
            .strip_prefix("ws://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(wrong)?;
        let mut stream = TcpStream::connect(address).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot connect to {address}: {error}"),
            )
        })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut tail = Vec::new();
        let mut buffer = [0; 1024];
        let head_bytes = loop {
            if let Some(bytes) = handshake::head_bytes(&tail) {
                break bytes;
            }
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => tail.extend_from_slice(&buffer[..bytes]),
            }
        };
        if !tail.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(
                String::from_utf8_lossy(&tail[..head_bytes]).into_owned(),
            ));
        }
        tail.drain(..head_bytes);
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            tail,
            unsent: Vec::new(),
            next_sent: 0,
            next_received: 0,
        })
    }

    /// Queues one message, numbered.
    pub fn push(&mut self, template: &mut [u8]) {
        template[..8].copy_from_slice(&self.next_sent.to_le_bytes());
        self.next_sent += 1;
        frame::push_masked(&mut self.unsent, BINARY, MASK, template);
    }

    /// How many messages were queued.
    pub fn pushed(&self) -> u64 {
        self.next_sent
    }

    /// Sends what is queued, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(bytes) if bytes == self.unsent.len() => self.unsent.clear(),
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives all there is and calls `each` with the number of every message.
    pub fn receive(
        &mut self,
        scratch: &mut [u8],
        template: &[u8],
        faults: &mut Faults,
        mut each: impl FnMut(u64),
    ) -> io::Result<()> {
        loop {
            let kept = self.tail.len();
            scratch[..kept].copy_from_slice(&self.tail);
            self.tail.clear();
            let (filled, more) = match self.stream.read(&mut scratch[kept..]) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                // A short read is what re-arms an edge; a full one means that there may be more.
                Ok(bytes) => (kept + bytes, kept + bytes == scratch.len()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (kept, false),
                Err(error) => return Err(error),
            };
            let mut at = 0;
            while let Some(frame) = frame::parse(&scratch[at..filled])? {
                at += frame.bytes;
                each(self.check(frame.payload, template, faults));
            }
            self.tail.extend_from_slice(&scratch[at..filled]);
            if !more {
                return Ok(());
            }
        }
    }

    fn check(&mut self, payload: &[u8], template: &[u8], faults: &mut Faults) -> u64 {
        let number = payload
            .first_chunk()
            .map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        if payload.len() != template.len() || payload[8..] != template[8..] {
            faults.corrupt += 1;
        }
        if number < self.next_received {
            faults.out_of_order += 1;
        } else {
            faults.lost += number - self.next_received;
            self.next_received = number.saturating_add(1);
        }
        number
    }
}
