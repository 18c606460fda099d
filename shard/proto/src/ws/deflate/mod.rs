//! Compression of messages: permessage-deflate, RFC 7692.
//!
//! * [`negotiate`] answers the offers of a client's handshake with an [`Agreement`].
//! * A [`Parser`](super::Parser) whose settings say so lets the bit of a compressed message pass, and hands the message
//!   over as [`Event::Compressed`](super::Event::Compressed).
//! * An [`Inflater`] restores such a message, a [`Deflater`] makes one; neither keeps anything of a connection. Where
//!   the context is taken over from message to message, the connection has a [`History`] for that way, which is no more
//!   than the bytes that the next message may refer to: so one of each serves all connections of a thread.

mod agreement;
mod deflater;
mod extensions;
mod history;
mod inflater;

pub use agreement::{Agreement, Direction, Rules, negotiate};
pub use deflater::Deflater;
pub use extensions::ExtensionsMalformed;
pub use history::History;
pub use inflater::Inflater;

/// RFC 7692, 7.2.1: what ends the compressed data of a message, and is not sent: an empty block without compression.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// The size of the window of the past that a message may refer to, as its base-2 logarithm (RFC 7692, section 7.1.2):
/// 9 to 15. The RFC also has 8, which no compressor at hand can honour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowBits(u8);

impl WindowBits {
    /// The smallest, of 512 bytes.
    pub const MIN: Self = Self(9);
    /// The largest, of 32 KiB, which holds where nothing else was agreed on.
    pub const MAX: Self = Self(15);
    /// How many there are.
    pub const COUNT: usize = (Self::MAX.0 - Self::MIN.0) as usize + 1;

    /// The window of this size, if there is one.
    pub const fn new(bits: u8) -> Option<Self> {
        match bits {
            9..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The logarithm.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        1 << self.0
    }

    /// Its place among all of them, from 0.
    pub const fn index(self) -> usize {
        (self.0 - Self::MIN.0) as usize
    }
}

/// How large the compressed form of a message may be, in bytes, if the message itself may have `message_bytes_max`.
///
/// Bytes that cannot be compressed take no more than this in whichever kind of block they come: literals of the fixed
/// code have 9 bits at most (RFC 1951, section 3.2.6).
pub const fn compressed_bytes_max(message_bytes_max: usize) -> usize {
    message_bytes_max
        .saturating_add(message_bytes_max / 8)
        .saturating_add(64)
}
