//! What a frame is for.

use super::MessageKind;

/// The opcode of a frame (RFC 6455, section 5.2). Opcodes that the RFC reserves cannot be expressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of a message that an earlier frame began.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The sender will send nothing after this frame.
    Close = 0x8,
    /// Asks the peer for a [`Opcode::Pong`] with the same payload.
    Ping = 0x9,
    /// The answer to a ping, or an unasked heartbeat.
    Pong = 0xA,
}

impl Opcode {
    /// Reads the low four bits of a frame's first byte; `None` for the opcodes that are reserved.
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// Whether frames of this kind control the connection instead of carrying a message.
    pub const fn is_control(self) -> bool {
        // RFC 6455, 5.5: "Control frames are identified by opcodes where the most significant bit of the opcode is 1."
        self as u8 & 0x8 != 0
    }

    /// The kind of message that a frame with this opcode begins, if it begins one.
    pub(super) const fn message_kind(self) -> Option<MessageKind> {
        match self {
            Self::Text => Some(MessageKind::Text),
            Self::Binary => Some(MessageKind::Binary),
            _ => None,
        }
    }
}

impl From<MessageKind> for Opcode {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}
