//! Why connections end: the catalogue from which close codes, logs and metrics are made.

/// Why a connection was closed, or why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// The peer sent a close frame.
    PeerClosed,
    /// The peer went away without one.
    PeerGone,
    /// A plain HTTP exchange is over.
    RequestDone,
    /// No complete opening handshake in time.
    HandshakeTimeout,
    /// The request could not be read as HTTP.
    BadRequest,
    /// The peer broke the WebSocket protocol.
    ProtocolError,
    /// A text message was not UTF-8.
    InvalidText,
    /// A message was larger than allowed.
    MessageTooBig,
    /// No sign of life after a ping.
    HeartbeatTimeout,
    /// The peer did not read what was sent to it.
    SlowConsumer,
    /// The shard's memory ran out and this connection held the most of it.
    MemoryFull,
    /// The room's id belongs to a room with another name.
    RoomRefused,
    /// The engine is stopping, as it does when it is to be started anew.
    Stopping,
    /// The connection has lived as long as it may.
    LifetimeOver,
    /// A compressed message could not be restored.
    InvalidCompression,
    /// The peer sent more than a rate allows.
    RateExceeded,
    /// The TLS handshake failed, or a record could not be read.
    TlsFailed,
    /// The token that the connection came with has expired.
    TokenExpired,
    /// The first message was not a token that is taken.
    TokenRefused,
    /// The token that was to be the first message did not come in time.
    TokenTimeout,
    /// The peer may not publish in its room, and did.
    PublishRefused,
    /// The user of a token that came as a message has as many connections as it may, or is blocked.
    TooManyConnections,
    /// An operator wanted it closed.
    ClosedByOperator,
}

/// What the catalogue says of a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseEntry {
    /// The reason.
    pub reason: CloseReason,
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// The WebSocket close code, where a close frame is sent.
    pub code: Option<u16>,
    /// What the close frame tells the peer.
    pub text: &'static str,
    /// Whether the client may come back, and when.
    pub reconnect: Reconnect,
    /// How much its line in the log matters.
    pub severity: Severity,
}

/// How much it matters that a connection ended for a reason, or was refused. The levels of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be, or of no interest to the operator.
    Debug,
    /// The client has done something wrong, or does not keep up.
    Info,
    /// The server is in trouble.
    Warn,
}

/// Advice to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// It would fail in the same way.
    No,
    /// At once, to this or another node.
    Now,
    /// After a pause of some seconds, with jitter.
    Later,
}

const fn entry(
    reason: CloseReason,
    name: &'static str,
    code: Option<u16>,
    text: &'static str,
    reconnect: Reconnect,
) -> CloseEntry {
    CloseEntry {
        reason,
        name,
        code,
        text,
        reconnect,
        severity: reason.severity(),
    }
}

impl CloseReason {
    /// All reasons, in the order of their numbers.
    pub const CATALOGUE: [CloseEntry; 23] = [
        entry(
            CloseReason::PeerClosed,
            "peer_closed",
            None,
            "",
            Reconnect::Now,
        ),
        entry(CloseReason::PeerGone, "peer_gone", None, "", Reconnect::Now),
        entry(
            CloseReason::RequestDone,
            "request_done",
            None,
            "",
            Reconnect::Now,
        ),
        entry(
            CloseReason::HandshakeTimeout,
            "handshake_timeout",
            None,
            "",
            Reconnect::Later,
        ),
        entry(
            CloseReason::BadRequest,
            "bad_request",
            None,
            "",
            Reconnect::No,
        ),
        entry(
            CloseReason::ProtocolError,
            "protocol_error",
            Some(1002),
            "protocol error",
            Reconnect::No,
        ),
        entry(
            CloseReason::InvalidText,
            "invalid_text",
            Some(1007),
            "text is not UTF-8",
            Reconnect::No,
        ),
        entry(
            CloseReason::MessageTooBig,
            "message_too_big",
            Some(1009),
            "message too big",
            Reconnect::No,
        ),
        entry(
            CloseReason::HeartbeatTimeout,
            "heartbeat_timeout",
            None,
            "",
            Reconnect::Now,
        ),
        entry(
            CloseReason::SlowConsumer,
            "slow_consumer",
            Some(1013),
            "reads too slowly",
            Reconnect::Later,
        ),
        entry(
            CloseReason::MemoryFull,
            "memory_full",
            Some(1013),
            "server memory is full",
            Reconnect::Later,
        ),
        entry(
            CloseReason::RoomRefused,
            "room_refused",
            Some(1008),
            "the room's name collides with another's: choose another name",
            Reconnect::No,
        ),
        entry(
            CloseReason::Stopping,
            "stopping",
            Some(1012),
            "server restarts, reconnect",
            Reconnect::Now,
        ),
        entry(
            CloseReason::LifetimeOver,
            "lifetime_over",
            Some(1001),
            "the connection has lived as long as it may: connect again at once",
            Reconnect::Now,
        ),
        entry(
            CloseReason::InvalidCompression,
            "invalid_compression",
            Some(1007),
            "a compressed message cannot be inflated",
            Reconnect::No,
        ),
        entry(
            CloseReason::RateExceeded,
            "rate_exceeded",
            Some(1008),
            "too much a second: send more slowly",
            Reconnect::Later,
        ),
        entry(
            CloseReason::TlsFailed,
            "tls_failed",
            None,
            "",
            Reconnect::No,
        ),
        // 3000 and 3008 stand in IANA's registry of close codes, as Unauthorized and Timeout.
        entry(
            CloseReason::TokenExpired,
            "token_expired",
            Some(3000),
            "the token has expired: connect again with a new one",
            Reconnect::Now,
        ),
        entry(
            CloseReason::TokenRefused,
            "token_refused",
            Some(3000),
            "the token is refused",
            Reconnect::No,
        ),
        entry(
            CloseReason::TokenTimeout,
            "token_timeout",
            Some(3008),
            "no token came in time as the first message",
            Reconnect::Later,
        ),
        entry(
            CloseReason::PublishRefused,
            "publish_refused",
            Some(1008),
            "publishing in this room is not allowed",
            Reconnect::No,
        ),
        entry(
            CloseReason::TooManyConnections,
            "too_many_connections",
            Some(1013),
            "this user has as many connections as it may, or is blocked: try again later",
            Reconnect::Later,
        ),
        // Another code and text may be asked for.
        entry(
            CloseReason::ClosedByOperator,
            "closed_by_operator",
            Some(1008),
            "closed by the operator",
            Reconnect::No,
        ),
    ];

    /// Normal ends are of no interest one by one, faults of clients are worth a line, and trouble of the server a warning.
    const fn severity(self) -> Severity {
        match self {
            CloseReason::PeerClosed
            | CloseReason::PeerGone
            | CloseReason::RequestDone
            | CloseReason::BadRequest
            | CloseReason::Stopping
            | CloseReason::TokenExpired
            | CloseReason::LifetimeOver => Severity::Debug,
            CloseReason::HandshakeTimeout
            | CloseReason::ProtocolError
            | CloseReason::InvalidText
            | CloseReason::InvalidCompression
            | CloseReason::MessageTooBig
            | CloseReason::HeartbeatTimeout
            | CloseReason::RateExceeded
            | CloseReason::TooManyConnections
            | CloseReason::ClosedByOperator
            | CloseReason::TlsFailed
            | CloseReason::TokenRefused
            | CloseReason::TokenTimeout
            | CloseReason::PublishRefused
            | CloseReason::SlowConsumer => Severity::Info,
            CloseReason::MemoryFull | CloseReason::RoomRefused => Severity::Warn,
        }
    }

    /// The catalogue's entry.
    pub const fn entry(self) -> &'static CloseEntry {
        &Self::CATALOGUE[self as usize]
    }
}

const _: () = {
    let mut index = 0;
    while index < CloseReason::CATALOGUE.len() {
        assert!(
            CloseReason::CATALOGUE[index].reason as usize == index,
            "the catalogue is in order"
        );
        index += 1;
    }
};
