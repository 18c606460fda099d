//! The server's side of the opening handshake.

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::{accept_key, lists_token};

/// The length of 16 bytes in base64.
const KEY_CHARACTERS: usize = 24;
const KEY_BYTES: usize = 16;

/// RFC 6455 asks only what the key decodes to, so the 4 bits that the last character has in excess may be anything.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A request that may be answered with 101 (RFC 6455, section 4.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    key: String,
}

impl Accept {
    /// The value for the answer's `Sec-WebSocket-Accept` header; ASCII.
    pub fn as_str(&self) -> &str {
        &self.key
    }
}

/// What a request lacks to be a WebSocket handshake. The text is a sentence for people, fit for the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// RFC 6455, 4.1 (2): "The method of the request MUST be GET".
    #[error("A WebSocket handshake must be a GET request.")]
    MethodNotGet,
    /// RFC 6455, 4.1 (2): "the HTTP version MUST be at least 1.1".
    #[error("A WebSocket handshake needs HTTP/1.1 or later.")]
    HttpVersionTooOld,
    /// RFC 6455, 4.2.1 (2): the request has a `Host` header; RFC 9112, 3.2: one, not several.
    #[error("A request must have exactly one Host header.")]
    HostNotOne,
    /// RFC 6455, 4.2.1 (3): an `Upgrade` header contains "websocket". Without it, this is a plain request.
    #[error("This address serves WebSocket connections: send Upgrade: websocket.")]
    UpgradeMissing,
    /// RFC 6455, 4.2.1 (4): a `Connection` header contains the token "Upgrade".
    #[error(
        "A WebSocket handshake must have the header Connection: Upgrade; a proxy may have removed it."
    )]
    ConnectionNotUpgrade,
    /// RFC 6455, 4.2.1 (6) and 11.3.5: one `Sec-WebSocket-Version` header.
    #[error("A WebSocket handshake must have exactly one Sec-WebSocket-Version header.")]
    VersionNotOne,
    /// RFC 6455, 4.2.1 (6): the version is 13.
    #[error("The only WebSocket version served is 13.")]
    VersionUnsupported,
    /// RFC 6455, 4.2.1 (5) and 11.3.1: one `Sec-WebSocket-Key` header.
    #[error("A WebSocket handshake must have exactly one Sec-WebSocket-Key header.")]
    KeyNotOne,
    /// RFC 6455, 4.2.1 (5): "a base64-encoded value that, when decoded, is 16 bytes in length".
    #[error("Sec-WebSocket-Key must be 16 bytes in base64.")]
    KeyInvalid,
}

impl HandshakeError {
    /// The status to answer with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::MethodNotGet => StatusCode::METHOD_NOT_ALLOWED,
            Self::UpgradeMissing | Self::VersionUnsupported => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersionTooOld
            | Self::HostNotOne
            | Self::ConnectionNotUpgrade
            | Self::VersionNotOne
            | Self::KeyNotOne
            | Self::KeyInvalid => StatusCode::BAD_REQUEST,
        }
    }

    /// The headers that the answer must have, names in lower case.
    pub const fn headers(&self) -> &'static [(&'static str, &'static str)] {
        // RFC 9110, 15.5.22: a server that answers 426 "MUST send an Upgrade header field"; 7.8: and must name that
        // header in Connection.
        const UPGRADE_TO_WEBSOCKET: (&str, &str) = ("upgrade", "websocket");
        const UPGRADE_IS_PER_HOP: (&str, &str) = ("connection", "upgrade");
        match self {
            // RFC 9110, 15.5.6: an answer of 405 must list the methods allowed.
            Self::MethodNotGet => &[("allow", "GET")],
            Self::UpgradeMissing => &[UPGRADE_TO_WEBSOCKET, UPGRADE_IS_PER_HOP],
            // RFC 6455, 4.4: the answer lists the versions that the server speaks.
            Self::VersionUnsupported => &[
                UPGRADE_TO_WEBSOCKET,
                UPGRADE_IS_PER_HOP,
                ("sec-websocket-version", "13"),
            ],
            _ => &[],
        }
    }
}

/// Checks a client's handshake (RFC 6455, section 4.2.1).
///
/// `Origin` is policy, and left to the caller. Offered subprotocols and extensions are not looked at: not selecting
/// any declines them all (RFC 6455, section 4.2.2).
///
/// # Errors
///
/// [`HandshakeError`] says what to answer instead of 101.
pub fn validate(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<Accept, HandshakeError> {
    // RFC 6455, 4.2.1 (1): "An HTTP/1.1 or higher GET request".
    if method != Method::GET {
        return Err(HandshakeError::MethodNotGet);
    }
    if version < Version::HTTP_11 {
        return Err(HandshakeError::HttpVersionTooOld);
    }
    // RFC 6455, 4.2.1 (2): "A |Host| header field containing the server's authority."
    only_value(headers, &HOST).ok_or(HandshakeError::HostNotOne)?;
    // RFC 6455, 4.2.1 (3): "An |Upgrade| header field containing the value "websocket", treated as an ASCII
    // case-insensitive value."
    if !lists_token(values(headers, &UPGRADE), "websocket") {
        return Err(HandshakeError::UpgradeMissing);
    }
    // RFC 6455, 4.2.1 (4): "A |Connection| header field that includes the token "Upgrade", treated as an ASCII
    // case-insensitive value."
    if !lists_token(values(headers, &CONNECTION), "upgrade") {
        return Err(HandshakeError::ConnectionNotUpgrade);
    }
    // RFC 6455, 4.2.1 (6): "A |Sec-WebSocket-Version| header field, with a value of 13." Before the key: another
    // version might have other rules for it.
    let version =
        only_value(headers, &SEC_WEBSOCKET_VERSION).ok_or(HandshakeError::VersionNotOne)?;
    if version.as_bytes() != b"13" {
        return Err(HandshakeError::VersionUnsupported);
    }
    let key = only_value(headers, &SEC_WEBSOCKET_KEY).ok_or(HandshakeError::KeyNotOne)?;
    let key = check_key(key).ok_or(HandshakeError::KeyInvalid)?;
    Ok(Accept {
        key: accept_key(key),
    })
}

/// RFC 6455, 4.2.1 (5): "a base64-encoded [...] value that, when decoded, is 16 bytes in length."
fn check_key(value: &HeaderValue) -> Option<&str> {
    let key = value.to_str().ok()?;
    if key.len() != KEY_CHARACTERS {
        return None;
    }
    // The decoder wants room for 24 characters without padding.
    let mut bytes = [0; KEY_CHARACTERS / 4 * 3];
    let decoded_bytes = KEY_BASE64.decode_slice(key, &mut bytes).ok()?;
    (decoded_bytes == KEY_BYTES).then_some(key)
}

/// The value of a header that must occur exactly once.
fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

fn values<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}
