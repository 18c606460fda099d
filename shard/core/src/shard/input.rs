//! The ways in: what happens to a shard.

use bytes::Bytes;
use ringmain_proto::ws::deflate::Agreement;
use ringmain_router::{Publication, RoomName, ShardFrame, Subject};

use super::Rules;
use crate::ConnId;
use crate::access::{Access, Pass};
use crate::dialect::Target;

/// What happens to a shard.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection's HTTP asks for an upgrade. Answered by a [`Verdict`](super::Verdict).
    Upgrade {
        /// The connection.
        conn: ConnId,
        /// Where it wants to go.
        target: Target,
        /// How its messages are compressed, if at all; as [`ShardCore::affordable`](super::ShardCore::affordable) has it.
        compression: Option<Agreement>,
        /// What it may do there.
        access: Access,
    },
    /// The token of a session that waits for its [`Access`] is taken.
    Admitted {
        /// The connection.
        conn: ConnId,
        /// Where it wanted to go.
        target: Target,
        /// What it may do there.
        pass: Pass,
    },
    /// The same, and the session is to be counted for a user first.
    AdmittedAs {
        /// The connection.
        conn: ConnId,
        /// Where it wanted to go.
        target: Target,
        /// What it may do there.
        pass: Pass,
        /// Whose token it is.
        user: Subject<'a>,
    },
    /// The token of such a session is not taken.
    TokenRefused {
        /// The connection.
        conn: ConnId,
        /// Why not, for the client and the log. Holds nothing of the token.
        why: String,
    },
    /// A connection that speaks HTTP is to be counted for a subject, and refused if that has too many, or is blocked. Answered
    /// by a [`Verdict`](super::Verdict).
    Count {
        /// The connection.
        conn: ConnId,
        /// For whom.
        subject: Subject<'a>,
    },
    /// Whose a connection is, by the token that let it in: so that an operator can close what a user has.
    Owned {
        /// The connection.
        conn: ConnId,
        /// The user.
        user: Subject<'a>,
    },
    /// Bytes of HTTP, to be sent before all else.
    Respond {
        /// The connection.
        conn: ConnId,
        /// The bytes.
        bytes: Bytes,
    },
    /// The first bytes of a request, after another was answered; or its head is whole and its body follows.
    RequestBegun {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes of a request's body have come in, to be kept until it is answered.
    BodyReceived {
        /// The connection.
        conn: ConnId,
        /// How many.
        bytes: usize,
    },
    /// A request publishes a message to a room that its connection is no member of. Answered by a [`Verdict`](super::Verdict).
    Publish {
        /// The connection.
        conn: ConnId,
        /// The room.
        room: RoomName,
        /// The message. Boxed, so that the inputs that come more often stay small.
        publication: Box<Publication>,
        /// Whose address it counts for, if any.
        from: Option<Subject<'a>>,
        /// Frames in the shard's own data lane. They have their turn first: among them may be a message whose request was
        /// answered, by another shard, before this one was sent.
        lane_frames: usize,
    },
    /// A request is answered, and another may follow.
    RequestDone {
        /// The connection.
        conn: ConnId,
    },
    /// The HTTP exchange ended without an upgrade: close once the response is sent.
    HttpDone {
        /// The connection.
        conn: ConnId,
    },
    /// What came in could not be read as HTTP: close once the answer is sent, if there is one.
    HttpFailed {
        /// The connection.
        conn: ConnId,
    },
    /// The 101, or the head of an event stream's response, was handed over by [`Input::Respond`]: from now on the
    /// connection speaks WebSocket, or is sent events.
    Upgraded {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes of WebSocket have come in. They are unmasked in place. What comes in from an event stream's peer says
    /// nothing.
    Received {
        /// The connection.
        conn: ConnId,
        /// The bytes.
        bytes: &'a mut [u8],
    },
    /// A connection's TLS has failed; the peer has been told.
    TlsFailed {
        /// The connection.
        conn: ConnId,
        /// What was wrong, for the log.
        why: String,
    },
    /// What a connection's transport keeps has changed: of a record that is not whole yet, and of what its socket has
    /// not taken.
    TransportHolds {
        /// The connection.
        conn: ConnId,
        /// How many bytes.
        bytes: usize,
    },
    /// A socket that took less than it was offered takes more again, or a transport has sent all that it kept.
    Writable {
        /// The connection.
        conn: ConnId,
    },
    /// The socket is gone; the connection's id is void from here on.
    Ended {
        /// The connection.
        conn: ConnId,
    },
    /// The rules have changed. They hold for what happens from now on: what was let in by the old ones stays. Rooms
    /// that there are go by the new ones within some turns.
    Configure(Box<Rules>),
    /// A peer has sent something. Data frames only if [`ShardCore::takes_data`](super::ShardCore::takes_data) has just said so.
    Frame(ShardFrame),
    /// Time has passed, and there may be work left: once a turn.
    Turn {
        /// Payload bytes that wait in the shard's own data lane.
        lane_bytes: usize,
    },
}
