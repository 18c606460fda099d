//! Writing frames.

use std::ops::Deref;

use super::{CONTROL_PAYLOAD_BYTES_MAX, CloseCode, Opcode};

const FIN: u8 = 0x80;
/// RSV1, which says that the message is compressed (RFC 7692, section 6).
const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;
/// The longest header without a masking key: 2 bytes and 8 of extended length (RFC 6455, section 5.2).
const HEADER_BYTES_MAX: usize = 10;

/// The encoded header of a frame that is not masked, as a server sends it (RFC 6455, section 5.2).
///
/// It derefs to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl Header {
    /// Encodes a header. `fin` is false in every fragment of a message but the last; a control frame is always final
    /// and has at most [`CONTROL_PAYLOAD_BYTES_MAX`] bytes of payload (RFC 6455, section 5.5).
    #[inline]
    pub const fn new(opcode: Opcode, fin: bool, payload_bytes: usize) -> Self {
        debug_assert!(!opcode.is_control() || (fin && payload_bytes <= CONTROL_PAYLOAD_BYTES_MAX));
        let mut bytes = [0; HEADER_BYTES_MAX];
        bytes[0] = opcode as u8 | if fin { FIN } else { 0 };
        // RFC 6455, 5.2: "in all cases, the minimal number of bytes MUST be used to encode the length".
        match payload_bytes {
            0..=125 => bytes[1] = payload_bytes as u8,
            126..=0xFFFF => {
                bytes[1] = 126;
                [bytes[2], bytes[3]] = (payload_bytes as u16).to_be_bytes();
            }
            _ => {
                bytes[1] = 127;
                let length = (payload_bytes as u64).to_be_bytes();
                let (_, target) = bytes.split_at_mut(2);
                target.copy_from_slice(&length);
            }
        }
        Self {
            bytes,
            len: header_len(payload_bytes) as u8,
        }
    }

    /// The header of a message whose payload is compressed (RFC 7692, section 6.1).
    #[inline]
    pub const fn compressed(opcode: Opcode, payload_bytes: usize) -> Self {
        debug_assert!(opcode.message_kind().is_some());
        let mut header = Self::new(opcode, true, payload_bytes);
        header.bytes[0] |= COMPRESSED;
        header
    }
}

impl Deref for Header {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for Header {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The length in bytes of the header of an unmasked frame; a masked one has 4 more (RFC 6455, section 5.2).
pub const fn header_len(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Appends a final frame that is not masked, as a server sends it (RFC 6455, section 5.1).
///
/// The payload of a control frame has at most [`CONTROL_PAYLOAD_BYTES_MAX`] bytes.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.reserve(header_len(payload.len()) + payload.len());
    out.extend_from_slice(&Header::new(opcode, true, payload.len()));
    out.extend_from_slice(payload);
}

/// Appends a message in one frame that is not masked, whose payload is compressed (RFC 7692, section 6.1).
pub fn write_compressed_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.reserve(header_len(payload.len()) + payload.len());
    out.extend_from_slice(&Header::compressed(opcode, payload.len()));
    out.extend_from_slice(payload);
}

/// Appends a final frame that is masked, as a client sends it (RFC 6455, section 5.3).
///
/// RFC 6455, 5.3: the key of each frame must be one that the application that supplies the payload cannot predict.
/// The payload of a control frame has at most [`CONTROL_PAYLOAD_BYTES_MAX`] bytes.
pub fn write_masked_frame(out: &mut Vec<u8>, opcode: Opcode, key: [u8; 4], payload: &[u8]) {
    let mut header = Header::new(opcode, true, payload.len());
    header.bytes[1] |= MASKED;
    out.reserve(header.len() + key.len() + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(&key);
    let payload_start = out.len();
    out.extend_from_slice(payload);
    // RFC 6455, 5.3: "the same algorithm applies regardless of the direction of the translation".
    fastwebsockets::unmask(&mut out[payload_start..], key);
}

/// The payload of a close frame (RFC 6455, section 5.5.1). The reason is cut at the last whole character that fits.
pub fn close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let code = code.get().to_be_bytes();
    let reason = &reason[..reason.floor_char_boundary(CONTROL_PAYLOAD_BYTES_MAX - code.len())];
    [&code, reason.as_bytes()].concat()
}
