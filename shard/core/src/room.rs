//! One room as one shard knows it.

use std::collections::VecDeque;
use std::sync::Arc;

use ringmain_proto::ws::deflate::WindowBits;
use ringmain_router::{Holding, Interest, PeerId, Publication, RoomId, RoomName};

use crate::dialect::ENCODINGS;
use crate::encoded::Encoded;
use crate::limits::ROOM_PUBLICATIONS_MAX;
use crate::members::Members;
use crate::room_settings::RoomSettings;
use crate::table::Key;
use crate::{ConnId, SessionId};

/// Names a room of one shard.
pub type RoomKey = Key<Room>;

/// A room with members, members to be, or publishers on this shard.
#[derive(Debug)]
pub struct Room {
    /// The room's id.
    pub id: RoomId,
    /// Its name.
    pub name: RoomName,
    /// The shard that keeps its interest.
    pub home: PeerId,
    /// What an operator has set for it.
    pub settings: RoomSettings,
    /// What this shard has told home, and home's answer.
    pub interest: Interest,
    /// Confirmed members.
    pub members: Members,
    /// Sessions that wait for home's answer. At most one entry a connection.
    pub waiting: Vec<SessionId>,
    /// Connections that are no members and wait to publish one message each.
    pub publishers: Vec<ConnId>,
    /// Publications in fan-out, oldest first; at most [`ROOM_PUBLICATIONS_MAX`].
    pub fan_outs: VecDeque<FanOut>,
    /// Whether the room stands in the shard's queue of rooms with work.
    pub scheduled: bool,
    /// Connections that are not read, or publish nothing, until a fan-out is done. At most one entry a connection.
    pub paused: Vec<ConnId>,
}

/// A publication on its way to the members of one shard: a job that can be put down and taken up.
#[derive(Debug)]
pub struct FanOut {
    /// What is delivered.
    pub publication: Arc<Publication>,
    /// The next slot.
    pub cursor: u32,
    /// One past the last slot: members that joined later are not served.
    pub end: u32,
    /// The publication in each encoding that some member has needed so far.
    pub encoded: [Option<Encoded>; ENCODINGS],
    /// The same compressed, by index of the window. Boxed, since most rooms have no such member.
    pub compressed: Option<Box<[[Option<Encoded>; WindowBits::COUNT]; ENCODINGS]>>,
}

impl Room {
    /// A room without members.
    pub fn new(id: RoomId, name: RoomName, home: PeerId, settings: RoomSettings) -> Self {
        Room {
            id,
            name,
            home,
            settings,
            interest: Interest::default(),
            members: Members::default(),
            waiting: Vec::new(),
            publishers: Vec::new(),
            fan_outs: VecDeque::new(),
            scheduled: false,
            paused: Vec::new(),
        }
    }

    /// Whether no more publications can be taken.
    pub fn is_full(&self) -> bool {
        self.fan_outs.len() >= ROOM_PUBLICATIONS_MAX
    }

    /// Whether publishers that were paused may go on.
    pub fn has_room(&self) -> bool {
        self.fan_outs.len() <= ROOM_PUBLICATIONS_MAX / 2
    }

    /// What this shard wants of it now.
    pub fn holding(&self) -> Holding {
        if !self.members.is_empty() || !self.waiting.is_empty() {
            Holding::Member
        } else if !self.publishers.is_empty() {
            Holding::Publisher
        } else {
            Holding::Nothing
        }
    }
}
