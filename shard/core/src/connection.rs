//! A connection: a socket's state as the core sees it.

use ringmain_proto::ws::Parser;
use ringmain_proto::ws::deflate::Direction;
use ringmain_router::PeerId;

use crate::SessionId;
use crate::access::Expiry;
use crate::close::CloseReason;
use crate::limited::Limited;
use crate::outbox::Outbox;
use crate::tick::Tick;

/// A connection. What it says while it is HTTP is the shell's business; from the upgrade on its
/// bytes are parsed here.
#[derive(Debug)]
pub struct Connection {
    /// How far it has come.
    pub stage: Stage,
    /// When it was last heard or, while a ping waits for a sign of life, when that was sent. While it is HTTP: when it was
    /// accepted, or its present request began.
    pub beat: Tick,
    /// When it became a WebSocket: its lifetime runs from then.
    pub opened: Tick,
    /// The session that it carries.
    pub session: Option<SessionId>,
    /// The unfinished part of its stream.
    pub parser: Parser,
    /// How the peer may compress what it sends; `None`: not at all.
    pub inflates: Option<Direction>,
    /// Received bytes that were not parsed when the connection was paused. Boxed, for most have none.
    pub unread: Option<Box<Vec<u8>>>,
    /// HTTP that goes out before all else. Boxed, since it is gone after the handshake.
    pub http: Option<Box<Outbox>>,
    /// How it stands to limits. Boxed, for most have none.
    pub limited: Option<Box<Limited>>,
    /// Why it is being closed.
    pub reason: Option<CloseReason>,
    /// Not read, and nothing of it published, until there is room for what its messages need.
    pub pause: Option<Pause>,
    /// A ping waits for a sign of life.
    pub pinged: bool,
    /// Its time in a drain has come while it was not yet open: its request is the last, or it is closed
    /// as soon as it is open.
    pub finishing: bool,
    /// The socket takes no HTTP until it says so.
    pub http_blocked: bool,
    /// When what it may do ends, or the wait for its token.
    pub expiry: Expiry,
    /// When it was accepted, in whole seconds of the shard's time, for the log.
    pub accepted_s: u32,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It speaks HTTP.
    Http,
    /// Its upgrade waits for the room's home.
    Joining,
    /// A message that its HTTP request brought waits to be published.
    Publishing,
    /// The upgrade is granted; the 101, or the head of an event stream's response, is not written yet.
    Granted,
    /// It speaks WebSocket.
    Open,
    /// It is sent an event stream, and has no more to say.
    Streaming,
    /// It is being closed: what is queued goes out, what comes in is ignored but for a close frame.
    Closing {
        /// The peer has sent its close frame.
        peer_closed: bool,
        /// What the peer sends cannot be parsed any more.
        deaf: bool,
        /// Our half of the socket is closed.
        half_closed: bool,
    },
    /// The shell was told to shut the socket; only its end is awaited.
    Ending,
}

/// What a connection waits for before it is read again, or its message published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Its own outbox: it does not read what it is sent.
    Outbox,
    /// Its room has as many publications in fan-out as it may.
    Room,
    /// As many frames wait for this shard as may.
    Outgoing(PeerId),
    /// The next turn: this one has restored and compressed as much as it may.
    Turn,
    /// Until its token is looked at and it is a member of its room.
    Admission,
    /// The time at which its rate lets it send more.
    Rate,
    /// Its room's rate, or the lender's word on it.
    Lease,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(now: Tick) -> Self {
        Connection {
            stage: Stage::Http,
            beat: now,
            opened: now,
            session: None,
            parser: Parser::new(),
            inflates: None,
            unread: None,
            http: None,
            limited: None,
            reason: None,
            pause: None,
            pinged: false,
            finishing: false,
            http_blocked: false,
            expiry: Expiry::NEVER,
            accepted_s: (now.0 / 1_000) as u32,
        }
    }

    /// It has given a sign of life, or is taken to have given one.
    pub fn heard(&mut self, now: Tick) {
        self.beat = now;
        self.pinged = false;
    }

    /// Whether it is on its way out.
    pub fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Closing { .. } | Stage::Ending)
    }
}
