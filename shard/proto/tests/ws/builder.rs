//! Frames built by hand, right and wrong, independently of `ws::encode`.

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// The key of [`masked`]; its bytes differ, so that a wrong rotation shows.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// How a frame states the length of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// In the fewest bytes, as RFC 6455, section 5.2, demands.
    Minimal,
    /// In 2 bytes, whether needed or not.
    TwoBytes,
    /// In 8 bytes, whether needed or not.
    EightBytes,
}

/// A frame from its first byte (FIN, reserved bits, opcode), masking key and payload.
pub fn frame_with_length(
    first: u8,
    key: Option<[u8; 4]>,
    length: Length,
    payload: &[u8],
) -> Vec<u8> {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match (length, payload.len()) {
        (Length::Minimal, 0..=125) => frame.push(mask_bit | payload.len() as u8),
        (Length::Minimal, 126..=0xFFFF) | (Length::TwoBytes, _) => {
            frame.push(mask_bit | 126);
            frame.extend((payload.len() as u16).to_be_bytes());
        }
        (Length::Minimal, _) | (Length::EightBytes, _) => {
            frame.push(mask_bit | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    match key {
        Some(key) => {
            frame.extend(key);
            frame.extend(
                payload
                    .iter()
                    .enumerate()
                    .map(|(i, byte)| byte ^ key[i % 4]),
            );
        }
        None => frame.extend(payload),
    }
    frame
}

/// A client's frame.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with_length(first, Some(KEY), Length::Minimal, payload)
}

/// A server's frame.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame_with_length(first, None, Length::Minimal, payload)
}
