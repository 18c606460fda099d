//! Orders to close connections: what an operator may ask for, and what the shards of a node are told of it.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::cluster::{NodeName, Source};
use crate::id::PeerId;
use crate::subject::SubjectId;

/// The longest name of a user, in bytes.
pub const USER_BYTES_MAX: usize = 255;
/// The longest text that a close frame carries (RFC 6455, section 5.5), in bytes.
pub const TEXT_BYTES_MAX: usize = 123;
/// The code of a close frame that says nothing else: the policy is violated (RFC 6455, section 7.4.1).
pub const CODE: u16 = 1008;

/// Names a connection of the whole cluster, such as `eu-1.3f9a0c2e.0.17.2`: its node, which start of that, its shard, its
/// place there, and which of those that were in that place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionName {
    /// The node.
    pub node: NodeName,
    /// Tells its starts apart.
    pub start: u32,
    /// The shard.
    pub shard: PeerId,
    /// The place.
    pub index: u32,
    /// Which of the connections that were in that place.
    pub generation: u32,
}

/// What tells the starts of a node apart in the names of its connections: a part of its incarnation, which is random
/// enough for that.
pub fn start_of(incarnation: u64) -> u32 {
    incarnation as u32
}

/// What the names of a node's connections begin with.
pub fn prefix(node: &Source) -> String {
    format!("{}.{:08x}", node.node, start_of(node.incarnation))
}

/// Why a text names no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a connection's name has five parts, as in eu-1.3f9a0c2e.0.17.2: node, start, shard, place, and how often that was used before"
)]
pub struct ConnectionNameError;

impl ConnectionName {
    /// Whether it is of this start of a node.
    pub fn is_of(&self, node: &Source) -> bool {
        self.is_of_start(&node.node, node.incarnation)
    }

    /// The same, of a start by its incarnation.
    pub fn is_of_start(&self, node: &NodeName, incarnation: u64) -> bool {
        self.node == *node && self.start == start_of(incarnation)
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConnectionName {
            node,
            start,
            shard,
            index,
            generation,
        } = self;
        write!(
            f,
            "{node}.{start:08x}.{}.{index}.{generation}",
            shard.index()
        )
    }
}

impl FromStr for ConnectionName {
    type Err = ConnectionNameError;

    fn from_str(text: &str) -> Result<Self, ConnectionNameError> {
        let parts: Vec<&str> = text.split('.').collect();
        let [node, start, shard, index, generation] = parts[..] else {
            return Err(ConnectionNameError);
        };
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u32>().map_err(|_| ConnectionNameError),
            false => Err(ConnectionNameError),
        };
        let is_hex = start.len() == 8 && start.bytes().all(|byte| byte.is_ascii_hexdigit());
        let start = u32::from_str_radix(start, 16).ok().filter(|_| is_hex);
        Ok(ConnectionName {
            node: node.parse().map_err(|_| ConnectionNameError)?,
            start: start.ok_or(ConnectionNameError)?,
            shard: PeerId::shard(number(shard)? as usize).ok_or(ConnectionNameError)?,
            index: number(index)?,
            generation: number(generation)?,
        })
    }
}

/// Whose connections are to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One connection.
    Connection(ConnectionName),
    /// All of a user, of 1 to [`USER_BYTES_MAX`] bytes.
    User(String),
}

/// What those who are closed are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    code: u16,
    text: String,
}

/// Why a close frame cannot say this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Not a code for this.
    #[error("the code {0} is not for this: use {CODE}, or one from 3000 to 4999")]
    Code(u64),
    /// Too long.
    #[error("the text has {0} bytes; a close frame takes {TEXT_BYTES_MAX}")]
    Text(usize),
}

impl Words {
    /// A code and a text for a close frame.
    ///
    /// # Errors
    /// The frame cannot carry them.
    pub fn new(code: u64, text: String) -> Result<Self, WordsError> {
        let is_free = (3_000..=4_999).contains(&code) || code == u64::from(CODE);
        if !is_free {
            return Err(WordsError::Code(code));
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(WordsError::Text(text.len()));
        }
        let code = code as u16;
        Ok(Words { code, text })
    }

    /// The code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What an operator asks for, as one node tells it to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseRequest {
    /// Whose connections.
    pub whom: Whom,
    /// What they are told.
    pub words: Words,
}

/// The same as a shard knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The connection in this place.
    Connection {
        /// The place.
        index: u32,
        /// Which of those that were there.
        generation: u32,
    },
    /// All of a user.
    User(SubjectId),
}

/// An order to the shards of one node, which say in it what they have done.
#[derive(Debug)]
pub struct CloseOrder {
    /// Whose connections.
    pub closing: Closing,
    /// What they are told.
    pub words: Words,
    closed: AtomicU64,
    shards_left: AtomicUsize,
    was_refused: AtomicBool,
}

/// What has become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were closed.
    pub closed: u64,
    /// All shards have carried it out.
    pub is_done: bool,
    /// A shard had too many orders before it, and did nothing.
    pub was_refused: bool,
}

impl CloseOrder {
    /// An order to so many shards.
    pub fn new(closing: Closing, words: Words, shards: usize) -> Self {
        CloseOrder {
            closing,
            words,
            closed: AtomicU64::new(0),
            shards_left: AtomicUsize::new(shards),
            was_refused: AtomicBool::new(false),
        }
    }

    /// A shard has closed so many connections, and is done.
    pub fn carried_out(&self, closed: u64) {
        self.closed.fetch_add(closed, Ordering::Relaxed);
        // What it has closed is known to whoever sees that it is done.
        self.shards_left.fetch_sub(1, Ordering::Release);
    }

    /// A shard, or the way to it, has too many orders.
    pub fn refuse(&self) {
        self.was_refused.store(true, Ordering::Relaxed);
        self.carried_out(0);
    }

    /// What has become of it so far.
    pub fn outcome(&self) -> Outcome {
        let is_done = self.shards_left.load(Ordering::Acquire) == 0;
        Outcome {
            closed: self.closed.load(Ordering::Relaxed),
            is_done,
            was_refused: self.was_refused.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_connections_name_is_read_back(
            node in "[A-Za-z0-9_-]{1,32}",
            numbers: (u32, u32, u32),
            shard in 0usize..62,
        ) {
            let name = ConnectionName {
                node: node.parse().unwrap(),
                start: numbers.0,
                shard: PeerId::shard(shard).unwrap(),
                index: numbers.1,
                generation: numbers.2,
            };
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn any_text_is_a_name_or_refused(text in ".{0,60}") {
            if let Ok(name) = text.parse::<ConnectionName>() {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
    }

    #[test]
    fn what_names_no_connection_is_refused() {
        for text in [
            "",
            "0.17.2",
            "eu-1.3f9a0c2e.0.17",
            "eu-1.3f9a0c2e.0.17.2.1",
            "eu-1.3f9a0c2e.62.17.2",
            "eu-1.+f9a0c2e.0.17.2",
            "eu-1.3f9a0c2.0.17.2",
            "eu-1.3f9a0c2e.0.+17.2",
            "eu-1.3f9a0c2e.0.4294967296.2",
            "e u.3f9a0c2e.0.17.2",
        ] {
            assert_eq!(
                text.parse::<ConnectionName>(),
                Err(ConnectionNameError),
                "{text}"
            );
        }
    }

    #[test]
    fn only_what_a_close_frame_may_say_is_taken() {
        assert!(Words::new(1008, "x".repeat(123)).is_ok());
        assert_eq!(
            Words::new(1008, "x".repeat(124)),
            Err(WordsError::Text(124))
        );
        for code in [0, 1000, 1005, 1006, 2999, 5000, 65_536 + 4000] {
            assert_eq!(Words::new(code, String::new()), Err(WordsError::Code(code)));
        }
    }
}
