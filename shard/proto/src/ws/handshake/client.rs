//! The client's side of the opening handshake.

use super::{accept_key, lists_token};

/// The longest head of a response that is accepted, in bytes.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 8192;
const RESPONSE_HEADERS_MAX: usize = 64;

/// Appends a client's handshake (RFC 6455, section 4.1).
///
/// `host` is the server's authority, `path` the resource name with its query, and `key` 16 random bytes in base64.
/// None of them may contain line breaks or spaces.
pub fn client_request(host: &str, path: &str, key: &str, out: &mut Vec<u8>) {
    for part in [
        "GET ",
        path,
        " HTTP/1.1\r\nHost: ",
        host,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ",
        key,
        "\r\n\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// How far a client's handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientHandshake {
    /// The response's head is not all there: receive more and check again.
    NeedMore,
    /// The connection is open.
    Done {
        /// The length of the response's head in bytes; frames follow it.
        consumed: usize,
    },
    /// The server answered with another status than 101.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The response is not one to a WebSocket handshake; the connection must be failed.
    Invalid(ResponseError),
}

/// Why a response is not one to our handshake (RFC 6455, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The head is longer than [`RESPONSE_HEAD_BYTES_MAX`].
    #[error("the response's head is longer than {RESPONSE_HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// The bytes are not an HTTP/1 response.
    #[error("the response is not HTTP: {0}")]
    NotHttp(httparse::Error),
    /// RFC 6455, 4.1 (2): an `Upgrade` header that says "websocket".
    #[error("the response lacks Upgrade: websocket")]
    UpgradeMissing,
    /// RFC 6455, 4.1 (3): a `Connection` header with the token "Upgrade".
    #[error("the response lacks Connection: Upgrade")]
    ConnectionNotUpgrade,
    /// RFC 6455, 4.1 (4): `Sec-WebSocket-Accept` answers our key.
    #[error("Sec-WebSocket-Accept does not answer our key")]
    AcceptWrong,
    /// RFC 6455, 4.1 (5): an extension "that was not present in the client's handshake".
    #[error("the server uses an extension that was not offered")]
    ExtensionNotOffered,
    /// RFC 6455, 4.1 (6): a subprotocol "that was not present in the client's handshake".
    #[error("the server uses a subprotocol that was not offered")]
    SubprotocolNotOffered,
}

/// Checks a server's handshake (RFC 6455, section 4.1), given all that has been received since the request with `key`
/// was sent.
pub fn check_response(received: &[u8], key: &str) -> ClientHandshake {
    let mut headers = [httparse::EMPTY_HEADER; RESPONSE_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = &received[..received.len().min(RESPONSE_HEAD_BYTES_MAX)];
    let consumed = match response.parse(head) {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if received.len() >= RESPONSE_HEAD_BYTES_MAX => {
            return ClientHandshake::Invalid(ResponseError::HeadTooLong);
        }
        Ok(httparse::Status::Partial) => return ClientHandshake::NeedMore,
        Err(error) => return ClientHandshake::Invalid(ResponseError::NotHttp(error)),
    };
    // RFC 6455, 4.1 (1): "If the status code received from the server is not 101, the client handles the response per
    // HTTP procedures."
    match response.code {
        Some(101) => match check_headers(response.headers, key) {
            Ok(()) => ClientHandshake::Done { consumed },
            Err(error) => ClientHandshake::Invalid(error),
        },
        Some(status) => ClientHandshake::Refused { status },
        None => ClientHandshake::Invalid(ResponseError::NotHttp(httparse::Error::Status)),
    }
}

fn check_headers(headers: &[httparse::Header<'_>], key: &str) -> Result<(), ResponseError> {
    let values = |name: &'static str| {
        headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    // RFC 6455, 4.1 (2): the `Upgrade` header's value is "an ASCII case-insensitive match for the value "websocket"".
    if !lists_token(values("upgrade"), "websocket") {
        return Err(ResponseError::UpgradeMissing);
    }
    // RFC 6455, 4.1 (3): the `Connection` header "contains a token that is an ASCII case-insensitive match for the
    // value "Upgrade"".
    if !lists_token(values("connection"), "upgrade") {
        return Err(ResponseError::ConnectionNotUpgrade);
    }
    // RFC 6455, 4.1 (4): the accept value is checked "ignoring any leading and trailing whitespace"; 11.3.3: it "MUST
    // NOT appear more than once".
    let mut accepts = values("sec-websocket-accept").map(<[u8]>::trim_ascii);
    if accepts.next() != Some(accept_key(key).as_bytes()) || accepts.next().is_some() {
        return Err(ResponseError::AcceptWrong);
    }
    if values("sec-websocket-extensions").next().is_some() {
        return Err(ResponseError::ExtensionNotOffered);
    }
    if values("sec-websocket-protocol").next().is_some() {
        return Err(ResponseError::SubprotocolNotOffered);
    }
    Ok(())
}
