//! All that was said in the room, once, as the bytes that go on the wire: a ring that every member reads with a
//! cursor of its own. Sending all that waits is then one contiguous send, and a message costs a member nothing.

use std::ops::Range;

/// How far a member may fall behind.
pub const LOG_BYTES: usize = 4 * 1024 * 1024;

/// The ring. Positions count from the start of time; the byte of one lies at its remainder.
#[derive(Debug)]
pub struct RoomLog {
    bytes: Box<[u8]>,
    end: u64,
}

impl RoomLog {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; LOG_BYTES].into_boxed_slice(),
            end: 0,
        }
    }

    /// The position after the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends over the oldest bytes and returns where.
    pub fn append(&mut self, mut data: &[u8]) -> Range<u64> {
        let start = self.end;
        while !data.is_empty() {
            let at = offset(self.end);
            let (head, rest) = data.split_at(data.len().min(LOG_BYTES - at));
            self.bytes[at..at + head.len()].copy_from_slice(head);
            self.end += head.len() as u64;
            data = rest;
        }
        start..self.end
    }

    /// The bytes from `cursor` towards `limit`, up to where the ring wraps.
    pub fn read(&self, cursor: u64, limit: u64) -> &[u8] {
        let at = offset(cursor);
        let bytes = (limit - cursor).min((LOG_BYTES - at) as u64) as usize;
        &self.bytes[at..at + bytes]
    }
}

fn offset(position: u64) -> usize {
    (position % LOG_BYTES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_over_the_seam_is_read_in_two() {
        let mut log = RoomLog::new();
        log.append(&vec![1; LOG_BYTES - 3]);
        let span = log.append(&[1, 2, 3, 4, 5]);
        assert_eq!(log.read(span.start, span.end), [1, 2, 3]);
        assert_eq!(log.read(span.start + 3, span.end), [4, 5]);
        assert!(log.read(log.end(), log.end()).is_empty());
    }
}
