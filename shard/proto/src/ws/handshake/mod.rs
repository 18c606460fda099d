//! The opening handshake (RFC 6455, section 4).
//!
//! The server's side checks a parsed request with [`validate`]; the client's side writes a request with
//! [`client_request`] and checks the answer with [`check_response`]. Neither negotiates subprotocols or extensions.

mod client;
mod server;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

pub use client::{
    ClientHandshake, RESPONSE_HEAD_BYTES_MAX, ResponseError, check_response, client_request,
};
pub use server::{Accept, HandshakeError, validate};

/// RFC 6455, 1.3: a GUID "which is unlikely to be used by network endpoints that do not understand the WebSocket
/// Protocol".
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of `Sec-WebSocket-Accept` that proves that a server read the client's `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    // RFC 6455, 4.2.2, 5.4: "concatenating /key/ [...] with the string "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", taking
    // the SHA-1 hash of this concatenated value to obtain a 20-byte value and base64-encoding this 20-byte hash."
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Whether one of the comma-separated values is `token`, whatever its case (RFC 9110, section 5.6.1).
fn lists_token<'v>(values: impl IntoIterator<Item = &'v [u8]>, token: &str) -> bool {
    values
        .into_iter()
        .flat_map(|value| value.split(|&byte| byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
