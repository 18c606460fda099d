//! What the parser hands to its caller.

use std::ops::Deref;

use super::CloseFrame;

/// The kind of a message (RFC 6455, section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// One thing that the peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A whole message, put together if it came in fragments.
    Message {
        /// Text or binary.
        kind: MessageKind,
        /// The message, unmasked. If `kind` is [`MessageKind::Text`], it is valid UTF-8.
        payload: Payload<'b>,
    },
    /// A whole message that the peer has compressed, put together if it came in fragments; only if
    /// [`ParserSettings::compression`](super::ParserSettings::compression) allows it.
    Compressed {
        /// Text or binary.
        kind: MessageKind,
        /// The compressed message, unmasked. Only an [`Inflater`](super::deflate::Inflater) can tell what it holds.
        payload: Payload<'b>,
    },
    /// A ping, at most 125 bytes. RFC 6455, 5.5.2: it must be answered with a pong that has the same payload.
    Ping(Payload<'b>),
    /// A pong, at most 125 bytes. RFC 6455, 5.5.3: it may be unasked, and then needs no answer.
    Pong(Payload<'b>),
    /// The peer will send nothing more; `None` if it gave no code. RFC 6455, 5.5.1: it must be answered with a close
    /// frame unless one was sent before. The parser ignores whatever follows.
    Close(Option<CloseFrame>),
}

/// The bytes of an event.
#[derive(Clone, Debug)]
pub enum Payload<'b> {
    /// The whole frame lay in the parser's input, and was unmasked there.
    Borrowed(&'b [u8]),
    /// The payload came in several pieces and was put together.
    Owned(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes, copied only if they are still borrowed.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Borrowed(bytes) => bytes.to_vec(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Equality of the bytes: how they arrived does not matter.
impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}
