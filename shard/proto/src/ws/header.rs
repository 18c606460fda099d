//! Decoding the header of a frame.

use super::deflate::compressed_bytes_max;
use super::{CONTROL_PAYLOAD_BYTES_MAX, Opcode, ParserSettings, ProtocolError, Role};

/// The longest header: 2 bytes, 8 of extended length, 4 of masking key (RFC 6455, section 5.2).
pub(super) const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
/// RSV1 to RSV3.
const RESERVED_BITS: u8 = 0x70;
/// RSV1, which says that a message is compressed (RFC 7692, section 6).
const COMPRESSED: u8 = 0x40;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const SHORT_LENGTH: u8 = 0x7F;
/// Values of the short length which say that the length follows in 2 or in 8 bytes.
const LENGTH_IN_2_BYTES: u8 = 126;
const LENGTH_IN_8_BYTES: u8 = 127;

/// Whether a frame that begins with this byte controls the connection (RFC 6455, section 5.5).
pub(super) const fn is_control(first: u8) -> bool {
    first & 0x8 != 0
}

/// A decoded header that passed every check which needs no payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHeader {
    /// Whether this frame ends its message.
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// Whether this frame begins a compressed message.
    pub(super) compressed: bool,
    /// Bytes of the header itself.
    pub(super) header_bytes: usize,
    /// Bytes of payload that follow; within the limit of the message.
    pub(super) payload_bytes: usize,
    /// The masking key; `None` in frames from a server.
    pub(super) key: Option<[u8; 4]>,
}

/// How much of a message has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenSize {
    /// Its payload so far.
    pub(super) bytes: usize,
    /// Whether it is compressed.
    pub(super) compressed: bool,
}

impl FrameHeader {
    /// Decodes the header at the front of `input`; `None` if it is not all there yet.
    ///
    /// `open` is the fragmented message that is unfinished, if there is one.
    /// The checks follow the order of the bytes, and each is made as soon as its byte is there: so the same bytes give
    /// the same error however they are split.
    #[inline]
    pub(super) fn decode(
        input: &[u8],
        settings: &ParserSettings,
        open: Option<OpenSize>,
    ) -> Result<Option<Self>, ProtocolError> {
        let Some(&first) = input.first() else {
            return Ok(None);
        };
        let opcode = check_first_byte(first, settings, open.is_some())?;
        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        check_second_byte(second, opcode, settings.role)?;

        let Some((payload_bytes, length_end)) = decode_length(input, second & SHORT_LENGTH)? else {
            return Ok(None);
        };
        let payload_bytes = if opcode.is_control() {
            // At most 125: the second byte was checked.
            payload_bytes as usize
        } else {
            let compressed = first & COMPRESSED != 0;
            let open = open.unwrap_or(OpenSize {
                bytes: 0,
                compressed,
            });
            check_message_size(payload_bytes, settings, open)?
        };

        let (header_bytes, key) = if second & MASKED == 0 {
            (length_end, None)
        } else {
            let Some(key) = input[length_end..].first_chunk::<4>() else {
                return Ok(None);
            };
            (length_end + 4, Some(*key))
        };
        Ok(Some(Self {
            fin: first & FIN != 0,
            opcode,
            compressed: first & COMPRESSED != 0,
            header_bytes,
            payload_bytes,
            key,
        }))
    }

    /// Unmasks a piece of the payload that begins `offset` bytes into it (RFC 6455, section 5.3).
    #[inline]
    pub(super) fn unmask(&self, piece: &mut [u8], offset: usize) {
        if let Some(mut key) = self.key {
            // RFC 6455, 5.3: octet i is masked with octet i modulo 4 of the key.
            key.rotate_left(offset & 3);
            fastwebsockets::unmask(piece, key);
        }
    }
}

/// FIN, reserved bits and opcode.
#[inline]
fn check_first_byte(
    first: u8,
    settings: &ParserSettings,
    message_open: bool,
) -> Result<Opcode, ProtocolError> {
    // RFC 6455, 5.2: "If a nonzero value is received and none of the negotiated extensions defines the meaning of such
    // a nonzero value, the receiving endpoint MUST _Fail the WebSocket Connection_."
    if first & RESERVED_BITS != 0 {
        check_reserved_bits(first, settings)?;
    }
    let Some(opcode) = Opcode::from_bits(first & OPCODE) else {
        return Err(ProtocolError::ReservedOpcode(first & OPCODE));
    };
    match opcode {
        // RFC 6455, 5.4: a message is "a single frame with the FIN bit clear and an opcode other than 0, followed by
        // zero or more frames with the FIN bit clear and the opcode set to 0, and terminated by a single frame with
        // the FIN bit set and an opcode of 0".
        Opcode::Continuation if !message_open => Err(ProtocolError::UnexpectedContinuation),
        Opcode::Text | Opcode::Binary if message_open => Err(ProtocolError::InterleavedMessage),
        // RFC 6455, 5.5: control frames "MUST NOT be fragmented".
        _ if opcode.is_control() && first & FIN == 0 => Err(ProtocolError::FragmentedControl),
        _ => Ok(opcode),
    }
}

/// Some reserved bit is set: only compression gives one of them a meaning, and only at the beginning of a message.
#[cold]
fn check_reserved_bits(first: u8, settings: &ParserSettings) -> Result<(), ProtocolError> {
    if first & RESERVED_BITS != COMPRESSED || !settings.compression {
        return Err(ProtocolError::ReservedBits);
    }
    // RFC 7692, 6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first fragments
    // of a data message. An endpoint receiving such a frame MUST _Fail the WebSocket Connection_."
    match Opcode::from_bits(first & OPCODE) {
        Some(opcode) if opcode.message_kind().is_none() => {
            Err(ProtocolError::CompressedBitMisplaced)
        }
        _ => Ok(()),
    }
}

/// Mask bit and short length.
#[inline]
fn check_second_byte(second: u8, opcode: Opcode, role: Role) -> Result<(), ProtocolError> {
    // RFC 6455, 5.1: "a client MUST mask all frames that it sends to the server"; "A server MUST NOT mask any frames
    // that it sends to the client." The receiver closes the connection on a breach.
    match (role, second & MASKED != 0) {
        (Role::Server, false) => return Err(ProtocolError::Unmasked),
        (Role::Client, true) => return Err(ProtocolError::Masked),
        _ => {}
    }
    if opcode.is_control() {
        let length = second & SHORT_LENGTH;
        // RFC 6455, 5.5: "All control frames MUST have a payload length of 125 bytes or less".
        if usize::from(length) > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
        // RFC 6455, 5.5.1: a body begins with a code of two bytes.
        if opcode == Opcode::Close && length == 1 {
            return Err(ProtocolError::CloseCodeTruncated);
        }
    }
    Ok(())
}

/// The payload length and where in `input` it ends; `None` if it is not all there.
#[inline]
fn decode_length(input: &[u8], short: u8) -> Result<Option<(u64, usize)>, ProtocolError> {
    // RFC 6455, 5.2: "in all cases, the minimal number of bytes MUST be used to encode the length".
    match short {
        LENGTH_IN_2_BYTES => {
            let Some(bytes) = input[2..].first_chunk::<2>() else {
                return Ok(None);
            };
            let length = u64::from(u16::from_be_bytes(*bytes));
            if length < u64::from(LENGTH_IN_2_BYTES) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((length, 4)))
        }
        LENGTH_IN_8_BYTES => {
            let Some(bytes) = input[2..].first_chunk::<8>() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(*bytes);
            // RFC 6455, 5.2: "a 64-bit unsigned integer (the most significant bit MUST be 0)".
            if length >> 63 != 0 {
                return Err(ProtocolError::LengthHighBit);
            }
            if length <= u64::from(u16::MAX) {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(Some((length, 10)))
        }
        short => Ok(Some((u64::from(short), 2))),
    }
}

/// Refuses a message by its declared length, before a byte of it is kept.
#[inline]
fn check_message_size(
    payload_bytes: u64,
    settings: &ParserSettings,
    open: OpenSize,
) -> Result<usize, ProtocolError> {
    // RFC 6455, 10.4: "Implementations [...] MUST protect themselves against exceeding those limits", on the size of a
    // frame and of the message put together from frames.
    let bytes_max = settings.message_bytes_max;
    // How large a compressed message is when restored is seen then. Until then it is kept as it came.
    let received_bytes_max = match open.compressed {
        true => compressed_bytes_max(bytes_max),
        false => bytes_max,
    };
    let room_bytes = received_bytes_max.saturating_sub(open.bytes);
    match usize::try_from(payload_bytes) {
        Ok(payload_bytes) if payload_bytes <= room_bytes => Ok(payload_bytes),
        _ => Err(ProtocolError::MessageTooBig { bytes_max }),
    }
}
