//! Subjects: what of the cluster travels under which name at the broker.
//!
//! | subject | what |
//! | --- | --- |
//! | `ringmain.<cluster>.room.<bucket>.<room>` | a room's publications from node to node, in an [envelope](super::envelope) |
//! | `ringmain.<cluster>.publish.<room>` | plain messages that any client publishes |
//! | `ringmain.<cluster>.nodes` | what nodes tell of themselves |
//! | `ringmain.<cluster>.last` | the last sequences of rooms |
//! | `ringmain.<cluster>.room.end.<incarnation>-<way>` | a node that ends, to itself: whether the broker has read all |
//!
//! In `<room>` letters, digits, `-` and `_` of ASCII stand for themselves, all other bytes are written `=XX`. So no
//! room's name has a meaning to the broker: neither a separator, nor a wildcard, nor a space or line end.

use std::fmt;
use std::str::FromStr;

use super::bucket::Bucket;
use super::limits::NAME_BYTES_MAX;
use crate::room::{ROOM_NAME_BYTES_MAX, RoomName, RoomNameError};

/// The longest room name as it stands in a subject.
pub const TOKEN_BYTES_MAX: usize = 3 * ROOM_NAME_BYTES_MAX;

/// Why a name of a node or a cluster is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it takes 1 to {NAME_BYTES_MAX} letters, digits, `-` or `_` of ASCII")]
pub struct NameError;

fn checked(text: &str) -> Result<Box<str>, NameError> {
    let is_plain = |text: &str| text.bytes().all(stands_for_itself);
    let is_good = !text.is_empty() && text.len() <= NAME_BYTES_MAX && is_plain(text);
    is_good.then(|| text.into()).ok_or(NameError)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                checked(text).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a cluster, as it stands in subjects.
    ClusterName
}
name! {
    /// The name of a node, unique in its cluster.
    NodeName
}

/// Why the token of a room in a subject is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A character that has to be encoded.
    #[error(
        "letters, digits, `-` and `_` stand for themselves in a room's token, and all other bytes are written =XX"
    )]
    Character,
    /// An `=` without two hexadecimal digits.
    #[error("`=` in a room's token is followed by two hexadecimal digits")]
    Escape,
    /// What it stands for is no name of a room.
    #[error(transparent)]
    Name(#[from] RoomNameError),
}

fn stands_for_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// A room's name as one token of a subject.
pub fn token(name: &RoomName) -> String {
    let mut token = String::with_capacity(name.as_str().len() + 8);
    push_token(&mut token, name);
    token
}

fn push_token(subject: &mut String, name: &RoomName) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in name.as_str().bytes() {
        if stands_for_itself(byte) {
            subject.push(byte.into());
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)].into());
            subject.push('=');
            subject.extend::<[char; 2]>(digits);
        }
    }
}

/// The room whose name a token stands for. Bytes that could stand for themselves may be encoded too.
///
/// # Errors
/// What is wrong with the token, or with the name.
pub fn room_of(token: &str) -> Result<RoomName, TokenError> {
    // What is longer than any room's is not looked at.
    if token.len() > TOKEN_BYTES_MAX {
        return Err(RoomNameError::TooLong(token.len()).into());
    }
    let mut name = Vec::with_capacity(token.len());
    let mut bytes = token.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let digits = digit().zip(digit());
            let (high, low) = digits.ok_or(TokenError::Escape)?;
            name.push((high * 16 + low) as u8);
        } else if stands_for_itself(byte) {
            name.push(byte);
        } else {
            return Err(TokenError::Character);
        }
    }
    Ok(RoomName::new(&name)?)
}

/// The subjects of one cluster.
#[derive(Clone, Debug)]
pub struct Subjects {
    prefix: String,
}

/// What a subject is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Publications of a room, from node to node.
    Room(RoomName),
    /// Plain messages to a room.
    Publish(RoomName),
    /// What nodes tell of themselves.
    Nodes,
    /// Last sequences.
    Last,
}

impl Subjects {
    /// Those of this cluster.
    pub fn new(cluster: &ClusterName) -> Self {
        Subjects {
            prefix: format!("ringmain.{cluster}"),
        }
    }

    /// A room's publications.
    pub fn room(&self, bucket: Bucket, name: &RoomName) -> String {
        let mut subject = self.bucket(bucket);
        subject.pop();
        push_token(&mut subject, name);
        subject
    }

    /// The publications of all rooms of a bucket.
    pub fn bucket(&self, bucket: Bucket) -> String {
        format!("{}.room.{:03x}.*", self.prefix, bucket.index())
    }

    /// Plain messages to a room.
    pub fn publish(&self, name: &RoomName) -> String {
        format!("{}.publish.{}", self.prefix, token(name))
    }

    /// Plain messages to all rooms.
    pub fn publish_all(&self) -> String {
        format!("{}.publish.*", self.prefix)
    }

    /// What nodes tell of themselves.
    pub fn nodes(&self) -> String {
        format!("{}.nodes", self.prefix)
    }

    /// Last sequences.
    pub fn last(&self) -> String {
        format!("{}.last", self.prefix)
    }

    /// Where a node that ends asks the broker whether all has been read on one of its ways. It is among those of rooms,
    /// since nodes may publish and listen there, and in no bucket.
    pub fn end(&self, incarnation: u64, way: usize) -> String {
        format!("{}.room.end.{incarnation:x}-{way}", self.prefix)
    }

    /// What a subject of this cluster is for; `None` for any other.
    ///
    /// # Errors
    /// The token of the room is wrong.
    pub fn address(&self, subject: &str) -> Option<Result<Address, TokenError>> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        let found = match (tokens.next()?, tokens.next(), tokens.next(), tokens.next()) {
            ("room", Some(_), Some(token), None) => room_of(token).map(Address::Room),
            ("publish", Some(token), None, None) => room_of(token).map(Address::Publish),
            ("nodes", None, ..) => Ok(Address::Nodes),
            ("last", None, ..) => Ok(Address::Last),
            _ => return None,
        };
        Some(found)
    }
}
