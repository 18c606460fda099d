//! The part of RFC 6455 framing that a benchmark meets: whole messages of at most 64 KiB in one frame each.

use std::fmt;

/// The longest payload that is handled.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// The longest frame that is handled: two bytes, an eight-byte length, the mask and the payload.
pub const FRAME_BYTES_MAX: usize = 2 + 8 + 4 + PAYLOAD_BYTES_MAX;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// A text message.
pub const TEXT: u8 = 1;
/// A binary message.
pub const BINARY: u8 = 2;
/// The close frame.
pub const CLOSE: u8 = 8;
/// The ping frame.
pub const PING: u8 = 9;
/// The pong frame.
pub const PONG: u8 = 10;

/// A frame as it lies in the receive buffer, still masked if it came from a client.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The four bits that name the kind of frame.
    pub opcode: u8,
    /// The key of a client's frame; zero, which changes nothing, in a server's frame.
    pub mask: [u8; 4],
    /// The payload, to be unmasked with `mask`.
    pub payload: &'a [u8],
    /// How many bytes the frame took from the front of the data.
    pub bytes: usize,
}

/// A frame that a floor does not handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The message came in several frames, or with reserved bits set.
    NotOneFrame,
    /// The payload is longer than [`PAYLOAD_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotOneFrame => {
                "a fragmented or extended frame: send each message uncompressed, in one frame"
            }
            Self::TooLong => "a payload over 64 KiB: send shorter messages",
        })
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for std::io::Error {
    fn from(error: FrameError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// Reads the frame at the front of `data`; `None` while it is unfinished.
pub fn parse(data: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let [first, second, rest @ ..] = data else {
        return Ok(None);
    };
    if first & 0xf0 != FIN {
        return Err(FrameError::NotOneFrame);
    }
    let (length, rest) = match (second & 0x7f, rest) {
        (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (usize::try_from(length).unwrap_or(usize::MAX), rest)
        }
        (126 | 127, _) => return Ok(None),
        (length, rest) => (usize::from(length), rest),
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLong);
    }
    let (mask, rest) = match (second & MASKED, rest) {
        (0, rest) => ([0; 4], rest),
        (_, [a, b, c, d, rest @ ..]) => ([*a, *b, *c, *d], rest),
        _ => return Ok(None),
    };
    let Some(payload) = rest.get(..length) else {
        return Ok(None);
    };
    let bytes = data.len() - rest.len() + length;
    Ok(Some(Frame {
        opcode: first & 0x0f,
        mask,
        payload,
        bytes,
    }))
}

/// Appends the header of a server's frame.
pub fn push_header(out: &mut Vec<u8>, opcode: u8, length: usize) {
    push_masked_header(out, opcode, length, 0);
}

/// Appends a client's frame around `payload`, masked with `mask`.
pub fn push_masked(out: &mut Vec<u8>, opcode: u8, mask: [u8; 4], payload: &[u8]) {
    push_masked_header(out, opcode, payload.len(), MASKED);
    out.extend_from_slice(&mask);
    push_unmasked(out, payload, mask);
}

fn push_masked_header(out: &mut Vec<u8>, opcode: u8, length: usize, masked: u8) {
    out.push(FIN | opcode);
    match length {
        0..126 => out.push(masked | length as u8),
        126..0x1_0000 => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends `payload` with its mask taken off (or put on), in one pass over the bytes.
pub fn push_unmasked(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    out.reserve(payload.len());
    let [a, b, c, d] = mask;
    let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (from, from_rest) = payload.as_chunks::<8>();
    let (to, to_rest) = out.spare_capacity_mut()[..payload.len()].as_chunks_mut::<8>();
    for (to, from) in to.iter_mut().zip(from) {
        let bytes = (u64::from_ne_bytes(*from) ^ key).to_ne_bytes();
        *to = bytes.map(std::mem::MaybeUninit::new);
    }
    for (index, (to, from)) in to_rest.iter_mut().zip(from_rest).enumerate() {
        to.write(from ^ mask[index & 3]);
    }
    // SAFETY: the loops above have written every byte of the `payload.len()` that are added here.
    unsafe { out.set_len(out.len() + payload.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_parsed_again_at_every_length_form() {
        for length in [0, 1, 7, 8, 13, 125, 126, 127, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut wire = Vec::new();
            push_masked(&mut wire, BINARY, [1, 2, 3, 4], &payload);
            for cut in [0, 1, 5, wire.len() - 1] {
                assert!(matches!(parse(&wire[..cut.min(wire.len() - 1)]), Ok(None)));
            }
            let Ok(Some(frame)) = parse(&wire) else {
                panic!("no frame of {length} bytes");
            };
            let mut plain = Vec::new();
            push_unmasked(&mut plain, frame.payload, frame.mask);
            assert_eq!(
                (frame.opcode, frame.bytes, plain),
                (BINARY, wire.len(), payload)
            );
        }
    }

    #[test]
    fn fragments_and_giants_are_refused() {
        assert_eq!(parse(&[0x01, 0x00]).err(), Some(FrameError::NotOneFrame));
        let giant = [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1];
        assert_eq!(parse(&giant).err(), Some(FrameError::TooLong));
    }
}
