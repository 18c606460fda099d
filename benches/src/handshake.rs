//! The opening handshake, with none of the checks that a server on a real network owes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_HEADER: &[u8] = b"sec-websocket-key:";

/// The length of the head that ends in an empty line; `None` while it is unfinished.
pub fn head_bytes(data: &[u8]) -> Option<usize> {
    data.windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// The 101 for a request head, or `None` if it names no key.
pub fn switching_protocols(head: &[u8]) -> Option<Vec<u8>> {
    let key = head.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(KEY_HEADER.len())?;
        name.eq_ignore_ascii_case(KEY_HEADER)
            .then(|| value.trim_ascii())
    })?;
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    Some(response.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_gets_its_answer() {
        let head = b"GET /chat HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert_eq!(head_bytes(head), Some(head.len()));
        let response = switching_protocols(head).unwrap_or_default();
        let response = String::from_utf8_lossy(&response).into_owned();
        assert!(
            response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{response}"
        );
    }
}
