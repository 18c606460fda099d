//! Clients with bad intentions.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringmain_proto::ws::Opcode;
use ringmain_proto::ws::encode::write_masked_frame;
use ringmain_proto::ws::handshake::client_request;

use crate::world::PATIENCE;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A socket on which nothing was said.
pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The request of an upgrade.
pub fn request(path: &str) -> Vec<u8> {
    let mut request = Vec::new();
    client_request("test", path, KEY, &mut request);
    request
}

/// A connection that was upgraded.
pub fn upgraded(address: SocketAddr, path: &str) -> TcpStream {
    upgraded_with(address, path, "")
}

/// The same, with these headers more.
pub fn upgraded_with(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut stream = dial(address);
    let mut bytes = request(path);
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(headers.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    stream.write_all(&bytes).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    stream
}

/// One whole masked frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_masked_frame(&mut frame, opcode, [9, 8, 7, 6], payload);
    frame
}

/// Everything that the engine says until it closes. That it resets a peer which goes on sending is an end too.
pub fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the engine does not close: {error}"),
    }
    bytes
}

/// Seeded bytes (splitmix64), so that what fails can be repeated.
pub struct Bytes(pub u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_ne_bytes());
        words.flatten().take(count).collect()
    }
}
