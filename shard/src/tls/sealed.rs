//! A buffer for encrypted bytes.

use std::ops::Range;

/// What the buffer keeps from one flush to the next.
const KEPT_CAPACITY_MAX: usize = 256 * 1024;

/// Encrypted bytes of one flush, those of several connections one after the other.
#[derive(Default)]
pub struct Sealed {
    /// Room, of which the first bytes are used: it is filled with zeros once, not for each write.
    bytes: Vec<u8>,
    used: usize,
}

impl Sealed {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.used = 0;
        if self.bytes.len() > KEPT_CAPACITY_MAX {
            self.bytes.truncate(KEPT_CAPACITY_MAX);
            self.bytes.shrink_to_fit();
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Some of the bytes.
    pub fn get(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Room for so many more, to be [`fill`](Self::fill)ed.
    pub fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.used + bytes;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.used..]
    }

    /// So much of the room is used.
    pub fn fill(&mut self, bytes: usize) {
        self.used += bytes;
    }
}
