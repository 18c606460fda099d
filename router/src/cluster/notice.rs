//! What nodes tell each other beside publications.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version: 1 |
//! | 1 | kind: 1 announcement, 2 leave, 3 last sequences, 4 an order to close connections, 5 connections of users |
//! | 1 + n, 8 | name and incarnation of the node, as in an [envelope](super::envelope) |
//!
//! An announcement goes on with address and version, each a text behind its length; then, as numbers of seven bits a
//! byte, its connections, its rooms with members, and its time in milliseconds; then the number of nodes that it has
//! heard of, and of each its incarnation (8 bytes), the time that it announced last, and how many milliseconds ago that
//! came in: from that, the other node knows how long a message takes there and back.
//!
//! Last sequences go on with their number, and of each room the name behind its length, generation and sequence.
//!
//! An order goes on with its number among those of its node, and code and text of the close frame; then 1 and the
//! connection, which is the name of its node, the start of that (4 bytes), the shard (1 byte), and the connection's place
//! and generation there; or 2 and the user's name.
//!
//! Connections of users go on with the node's round and the number of users, and of each the hash of its name (16 bytes)
//! and how many connections it has there.

use bytes::Bytes;

use super::envelope::{Source, VERSION, WireError, version};
use super::limits::{NODES_MAX, REPEAT_ROOMS_MAX, TEXT_BYTES_MAX};
use super::orders::Order;
use super::users::UsersTold;
use super::wire::{Reader, list, put_text, put_varint};
use crate::room::{ROOM_NAME_BYTES_MAX, RoomName};

const ANNOUNCEMENT: u8 = 1;
const LEAVE: u8 = 2;
const LAST: u8 = 3;
const CLOSE: u8 = 4;
const USERS: u8 = 5;

/// What a node tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Where clients connect.
    pub address: String,
    /// Which version of the engine it is.
    pub version: String,
    /// Its open connections.
    pub connections: u64,
    /// Its rooms with members.
    pub rooms: u64,
    /// Its time in milliseconds, of whatever beginning.
    pub time_ms: u64,
    /// What it has heard of others.
    pub heard: Vec<Heard>,
}

/// When a node heard of another last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Which other node.
    pub incarnation: u64,
    /// The time that it announced.
    pub time_ms: u64,
    /// How long ago that came in.
    pub ago_ms: u64,
}

/// The last sequence of a node's stream into a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSequence {
    /// The room.
    pub room: RoomName,
    /// Which stream.
    pub generation: u64,
    /// Its last sequence.
    pub sequence: u64,
}

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The node is there.
    Announcement(Announcement),
    /// The node ends.
    Leave,
    /// What it has published last, in some rooms.
    Last(Vec<LastSequence>),
    /// Connections are to be closed.
    Close(Order),
    /// How many connections some users have there.
    Users(UsersTold),
}

impl Notice {
    /// The bytes of a notice of this node. Lists and texts are cut to what may be sent at once.
    pub fn encode(&self, source: &Source) -> Bytes {
        let mut bytes = vec![VERSION];
        bytes.push(match self {
            Notice::Announcement(_) => ANNOUNCEMENT,
            Notice::Leave => LEAVE,
            Notice::Last(_) => LAST,
            Notice::Close(_) => CLOSE,
            Notice::Users(_) => USERS,
        });
        source.put(&mut bytes);
        match self {
            Notice::Announcement(announcement) => announcement.put(&mut bytes),
            Notice::Leave => {}
            Notice::Close(order) => order.put(&mut bytes),
            Notice::Users(told) => told.put(&mut bytes),
            Notice::Last(rooms) => {
                let rooms = &rooms[..rooms.len().min(REPEAT_ROOMS_MAX)];
                put_varint(&mut bytes, rooms.len() as u64);
                for last in rooms {
                    put_text(&mut bytes, last.room.as_str(), ROOM_NAME_BYTES_MAX);
                    put_varint(&mut bytes, last.generation);
                    put_varint(&mut bytes, last.sequence);
                }
            }
        }
        bytes.into()
    }

    /// Reads a notice, and whose it is.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decode(bytes: &Bytes) -> Result<(Source, Self), WireError> {
        let mut reader = Reader::new(bytes);
        version(&mut reader)?;
        let kind = reader.byte()?;
        let source = Source::read(&mut reader)?;
        let notice = match kind {
            ANNOUNCEMENT => Notice::Announcement(Announcement::read(&mut reader)?),
            LEAVE => Notice::Leave,
            LAST => Notice::Last(list(&mut reader, REPEAT_ROOMS_MAX, LastSequence::read)?),
            CLOSE => Notice::Close(Order::read(&mut reader)?),
            USERS => Notice::Users(UsersTold::read(&mut reader)?),
            kind => return Err(WireError::Kind(kind)),
        };
        if reader.is_at_end() {
            Ok((source, notice))
        } else {
            Err(WireError::Trailing)
        }
    }
}

impl Announcement {
    fn put(&self, to: &mut Vec<u8>) {
        for text in [&self.address, &self.version] {
            put_text(to, text, TEXT_BYTES_MAX);
        }
        for number in [self.connections, self.rooms, self.time_ms] {
            put_varint(to, number);
        }
        let heard = &self.heard[..self.heard.len().min(NODES_MAX)];
        put_varint(to, heard.len() as u64);
        for heard in heard {
            to.extend_from_slice(&heard.incarnation.to_be_bytes());
            put_varint(to, heard.time_ms);
            put_varint(to, heard.ago_ms);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Announcement {
            address: reader.text(TEXT_BYTES_MAX)?.to_owned(),
            version: reader.text(TEXT_BYTES_MAX)?.to_owned(),
            connections: reader.varint()?,
            rooms: reader.varint()?,
            time_ms: reader.varint()?,
            heard: list(reader, NODES_MAX, |reader| {
                Ok(Heard {
                    incarnation: reader.number()?,
                    time_ms: reader.varint()?,
                    ago_ms: reader.varint()?,
                })
            })?,
        })
    }
}

impl LastSequence {
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let name = reader.text(ROOM_NAME_BYTES_MAX)?;
        let last = LastSequence {
            room: RoomName::new(name.as_bytes()).map_err(|_| WireError::Name)?,
            generation: reader.varint()?,
            sequence: reader.varint()?,
        };
        // The first is 1: nobody tells of a stream without any.
        if last.sequence == 0 {
            return Err(WireError::Number);
        }
        Ok(last)
    }
}
