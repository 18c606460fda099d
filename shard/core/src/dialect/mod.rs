//! Dialects: what a client's messages mean, and how a publication looks to a client.
//!
//! A dialect is told of each message and answers by [`Actions`]: any number of replies and
//! publications, so that one protocol message may mean several things and one thing may take several
//! messages. A publication is encoded once for each [`Encoding`] among a room's members, not once a
//! member; an encoding may put several frames on the wire.

mod awaiting;
mod echo;
pub mod events;
mod raw;

use ringmain_proto::ws::{MessageKind, Opcode, Payload};
use ringmain_router::{PayloadKind, Publication, RoomName};

use crate::access::Access;
use crate::close::CloseReason;
use crate::encoded::Encoded;
use crate::memory::Meter;
use crate::refused_token::RefusedToken;

pub use awaiting::Awaiting;
pub use echo::Echo;
pub use events::Events;
pub use raw::Raw;

/// What a dialect may do with a message.
pub trait Actions {
    /// Sends a message to the session itself.
    fn reply(&mut self, opcode: Opcode, payload: Payload<'_>);
    /// Publishes to the session's room; to the session itself only if `to_self`.
    fn publish(&mut self, kind: PayloadKind, payload: Payload<'_>, to_self: bool);
    /// Says that the session's client has published what it may not.
    ///
    /// # Errors
    /// Unless such messages are dropped.
    fn refuse_publish(&mut self) -> Result<(), CloseReason>;
    /// Asks whether this token is taken. Nothing more is received until that is answered.
    fn ask(&mut self, token: Payload<'_>);
    /// Counts what was to be a token, and need not be asked about.
    fn refuse_token(&mut self, reason: RefusedToken);
}

/// One way of speaking to the engine. The state of one session, small and cheap to copy out.
pub trait Dialect {
    /// Takes one message of the session's client.
    ///
    /// # Errors
    /// A reason closes the connection.
    fn receive(
        &mut self,
        kind: MessageKind,
        payload: Payload<'_>,
        actions: &mut impl Actions,
    ) -> Result<(), CloseReason>;

    /// How this session wants publications encoded; sessions with the same answer share the bytes.
    fn encoding(&self) -> Encoding;
}

/// The ways in which a publication is put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// One WebSocket message with the payload as it is.
    Plain,
    /// One event of an event stream.
    EventStream,
}

/// How many encodings there are.
pub const ENCODINGS: usize = 2;

impl Encoding {
    /// Encodes a publication with its messages compressed by `deflate`; `None` if that makes none of them shorter.
    pub fn encode_compressed<'d>(
        self,
        publication: &Publication,
        deflate: impl FnOnce(&[u8]) -> Option<&'d [u8]>,
        meter: &Meter,
    ) -> Option<Encoded> {
        match self {
            Encoding::Plain => {
                let compressed = deflate(&publication.payload)?;
                Some(Encoded::compressed(
                    opcode(publication.kind),
                    compressed,
                    meter,
                ))
            }
            // No WebSocket: nothing is agreed on there.
            Encoding::EventStream => None,
        }
    }

    /// Encodes a publication.
    pub fn encode(self, publication: &Publication, meter: &Meter) -> Encoded {
        match self {
            Encoding::Plain => {
                Encoded::message(opcode(publication.kind), &publication.payload, meter)
            }
            Encoding::EventStream => Encoded::event(events::event(publication), meter),
        }
    }
}

/// The opcode of a payload's kind.
pub fn opcode(kind: PayloadKind) -> Opcode {
    match kind {
        PayloadKind::Text => Opcode::Text,
        PayloadKind::Binary => Opcode::Binary,
    }
}

/// Where an upgrade leads: the dialect, and the room that the session is a member of from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/echo`: every message comes back.
    Echo,
    /// `/raw/{room}`: every message reaches the room's other members.
    Raw {
        /// The room.
        room: RoomName,
        /// The sender gets its own messages too.
        to_self: bool,
    },
    /// `/sse/{room}`: an event stream of the room's messages.
    Events {
        /// The room.
        room: RoomName,
    },
}

/// The dialect of a session.
#[derive(Clone, Copy, Debug)]
pub enum DialectState {
    /// See [`Echo`].
    Echo(Echo),
    /// See [`Raw`].
    Raw(Raw),
    /// See [`Events`].
    Events(Events),
    /// See [`Awaiting`].
    Awaiting(Awaiting),
}

impl DialectState {
    /// The state that a session starts with.
    pub fn of(target: &Target, access: Access) -> Self {
        let Access::Granted(pass) = access else {
            return DialectState::Awaiting(Awaiting::Token);
        };
        match target {
            Target::Echo => DialectState::Echo(Echo),
            Target::Raw { to_self, .. } => DialectState::Raw(Raw {
                to_self: *to_self,
                publishes: pass.publish,
            }),
            Target::Events { .. } => DialectState::Events(Events),
        }
    }
}

impl Dialect for DialectState {
    fn receive(
        &mut self,
        kind: MessageKind,
        payload: Payload<'_>,
        actions: &mut impl Actions,
    ) -> Result<(), CloseReason> {
        match self {
            DialectState::Echo(dialect) => dialect.receive(kind, payload, actions),
            DialectState::Raw(dialect) => dialect.receive(kind, payload, actions),
            DialectState::Events(dialect) => dialect.receive(kind, payload, actions),
            DialectState::Awaiting(dialect) => dialect.receive(kind, payload, actions),
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            DialectState::Echo(dialect) => dialect.encoding(),
            DialectState::Raw(dialect) => dialect.encoding(),
            DialectState::Events(dialect) => dialect.encoding(),
            DialectState::Awaiting(dialect) => dialect.encoding(),
        }
    }
}
