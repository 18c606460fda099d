//! Close codes and the payload of a close frame.

use std::fmt;

use super::ProtocolError;

/// A close code that may stand in a close frame (RFC 6455, section 7.4).
///
/// The codes that exist only to be reported locally (1005, 1006, 1015) and those that are reserved cannot be
/// expressed, so they can be neither sent nor accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint goes away: a server stops, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the peer sent a kind of message that cannot be accepted.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: the data does not fit its kind, for instance text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a message breaks the endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client needs an extension that the server did not accept.
    pub const EXTENSION_REQUIRED: Self = Self(1010);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: try again later (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway received an invalid response from upstream (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code, if it may stand in a close frame.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            // RFC 6455, 7.4.1, and the IANA registry that it founds. 1004 is reserved; 1005 and 1006 "MUST NOT be set
            // as a status code in a Close control frame by an endpoint".
            1000..=1003 | 1007..=1014 => Some(Self(code)),
            // RFC 6455, 7.4.2: 3000-3999 are registered by libraries and frameworks, 4000-4999 are for private use.
            3000..=4999 => Some(Self(code)),
            // RFC 6455, 7.4.2: 0-999 are not used; 1000-2999 belong to the protocol. 1015 is for local use.
            _ => None,
        }
    }

    /// The code as it stands in the frame.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.get()
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = ProtocolError;

    fn try_from(code: u16) -> Result<Self, ProtocolError> {
        Self::new(code).ok_or(ProtocolError::CloseCodeInvalid(code))
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the peer closes, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The reason, for programs.
    pub code: CloseCode,
    /// The reason, for people; at most 123 bytes, often empty. RFC 6455, 7.1.6: it must not be shown to end users.
    pub reason: String,
}

impl CloseFrame {
    /// Reads the payload of a close frame; an empty one says nothing (RFC 6455, section 5.5.1).
    pub(super) fn from_payload(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        // RFC 6455, 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseCodeTruncated),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::try_from(code)?;
        // RFC 6455, 5.5.1: "the body MAY contain UTF-8-encoded data"; 8.1: other bytes fail the connection.
        let reason =
            simdutf8::basic::from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
        Ok(Some(Self {
            code,
            reason: reason.to_owned(),
        }))
    }
}
