//! How a peer can break the protocol.

use super::CloseCode;

/// What the peer did wrong; the connection must be failed (RFC 6455, section 7.1.7) with [`ProtocolError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// RFC 6455, 5.2: reserved bits "MUST be 0 unless an extension is negotiated that defines meanings".
    #[error("a reserved bit is set to which no negotiated extension gives a meaning")]
    ReservedBits,
    /// RFC 7692, 6.1: the bit of a compressed message must not be set on "control frames and non-first fragments of a data
    /// message".
    #[error("the bit of a compressed message is set on a frame that begins none")]
    CompressedBitMisplaced,
    /// RFC 7692, 7.2.2: the payload of a compressed message cannot be restored.
    #[error("a compressed message cannot be inflated")]
    CompressionInvalid,
    /// RFC 6455, 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// RFC 6455, 5.5: control frames "MUST NOT be fragmented".
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// RFC 6455, 5.5: "All control frames MUST have a payload length of 125 bytes or less".
    #[error("a control frame has more than 125 bytes of payload")]
    ControlTooLong,
    /// RFC 6455, 5.4: a continuation follows a frame that is not final.
    #[error("a continuation frame came although no message was begun")]
    UnexpectedContinuation,
    /// RFC 6455, 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message".
    #[error("a new message began before the last fragment of the one before")]
    InterleavedMessage,
    /// RFC 6455, 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
    #[error("a client's frame is not masked")]
    Unmasked,
    /// RFC 6455, 5.1: "A client MUST close a connection if it detects a masked frame."
    #[error("a server's frame is masked")]
    Masked,
    /// RFC 6455, 5.2: "the minimal number of bytes MUST be used to encode the length".
    #[error("a payload length is not encoded in the fewest bytes")]
    LengthNotMinimal,
    /// RFC 6455, 5.2: the most significant bit of a 64-bit length "MUST be 0".
    #[error("a payload length has its most significant bit set")]
    LengthHighBit,
    /// RFC 6455, 10.4: the endpoint may limit the size of a message put together from frames.
    #[error("the message is larger than the {bytes_max} bytes allowed")]
    MessageTooBig {
        /// The limit that was broken, in bytes.
        bytes_max: usize,
    },
    /// RFC 6455, 8.1: text that is not UTF-8 fails the connection.
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    /// RFC 6455, 5.5.1: a close frame's body begins with a code of two bytes.
    #[error("a close frame has a body of one byte")]
    CloseCodeTruncated,
    /// RFC 6455, 7.4: the code is reserved, or must not be sent.
    #[error("close code {0} must not be sent")]
    CloseCodeInvalid(u16),
    /// RFC 6455, 5.5.1 and 8.1: the reason is UTF-8.
    #[error("the reason in a close frame is not UTF-8")]
    CloseReasonNotUtf8,
}

impl ProtocolError {
    /// The code to close the connection with (RFC 6455, section 7.4.1).
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::TextNotUtf8 | Self::CloseReasonNotUtf8 | Self::CompressionInvalid => {
                CloseCode::INVALID_DATA
            }
            Self::ReservedBits
            | Self::CompressedBitMisplaced
            | Self::ReservedOpcode(_)
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::UnexpectedContinuation
            | Self::InterleavedMessage
            | Self::Unmasked
            | Self::Masked
            | Self::LengthNotMinimal
            | Self::LengthHighBit
            | Self::CloseCodeTruncated
            | Self::CloseCodeInvalid(_) => CloseCode::PROTOCOL_ERROR,
        }
    }
}
