//! Frames on their way out, encoded one behind the other so that one send takes them all.

use ringmain_proto::ws::{Opcode, encode};

use crate::cli::Mask;
use crate::payload::Stamp;
use crate::random::Random;

/// The frames for one connection; one buffer serves all of a thread, one after the other.
pub struct Outgoing {
    frames: Vec<u8>,
    payload: Vec<u8>,
    keys: Keys,
}

enum Keys {
    Random(Random),
    Zero,
}

impl Keys {
    #[inline]
    fn next(&mut self) -> [u8; 4] {
        match self {
            Keys::Random(random) => (random.next() as u32).to_ne_bytes(),
            Keys::Zero => [0; 4],
        }
    }
}

impl Outgoing {
    /// Nothing yet.
    pub fn new(mask: Mask, seed: u64) -> Self {
        Outgoing {
            frames: Vec::new(),
            payload: Vec::new(),
            keys: match mask {
                Mask::Random => Keys::Random(Random::new(seed)),
                Mask::Zero => Keys::Zero,
            },
        }
    }

    /// Appends a message of so many bytes.
    #[inline]
    pub fn push(&mut self, stamp: Stamp, bytes: usize) {
        stamp.write(bytes, &mut self.payload);
        let key = self.keys.next();
        encode::write_masked_frame(&mut self.frames, Opcode::Binary, key, &self.payload);
    }

    /// Appends a control frame, with at most 125 bytes.
    pub fn push_control(&mut self, opcode: Opcode, payload: &[u8]) {
        let key = self.keys.next();
        encode::write_masked_frame(&mut self.frames, opcode, key, payload);
    }

    /// Where bytes that are no frame are appended: the request of a handshake.
    pub fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.frames
    }

    /// What has been appended.
    pub fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.frames.clear();
    }
}
