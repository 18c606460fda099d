//! What waits to be sent to one session, in order.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use ringmain_proto::ws::Opcode;

use crate::encoded::Encoded;
use crate::limits::{
    GATHERED_BYTES_MAX, GATHERED_ENTRY_BYTES_MAX, WRITE_BYTES_MAX, WRITE_SLICES_MAX,
};
use crate::memory::Meter;

/// A queue of [`Encoded`] bytes, of which the first may be partly sent. Its bounds are its owner's
/// to watch, by [`bytes`](Outbox::bytes).
///
/// Mostly it is empty or holds one entry, which needs no memory beside the session's.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Encoded>,
    /// What follows the first; gone when nothing does.
    #[expect(
        clippy::box_collection,
        reason = "most outboxes have none, and so stay small"
    )]
    rest: Option<Box<VecDeque<Encoded>>>,
    bytes: u32,
    /// Bytes of the first entry that are sent already.
    sent: u32,
}

impl Outbox {
    /// Bytes that are still to be sent.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many entries are not yet sent whole.
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    fn entries(&self) -> impl Iterator<Item = &Encoded> {
        self.first
            .iter()
            .chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    /// Messages that are not yet sent whole.
    pub fn messages(&self) -> u64 {
        self.entries()
            .map(|encoded| u64::from(encoded.messages()))
            .sum()
    }

    /// Puts encoded bytes at the end.
    pub fn push(&mut self, encoded: Encoded) {
        self.bytes += encoded.len() as u32;
        if self.first.is_none() {
            self.first = Some(encoded);
        } else {
            self.rest.get_or_insert_default().push_back(encoded);
        }
    }

    /// Takes the first entry off.
    fn pop(&mut self) {
        self.first = self.rest.as_mut().and_then(|rest| rest.pop_front());
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
    }

    /// Puts one short message at the end, which is copied: behind the last bytes if they are this outbox's alone.
    pub fn push_copied(&mut self, opcode: Opcode, payload: &[u8], meter: &Meter) {
        let last = match &mut self.rest {
            Some(rest) => rest.back_mut(),
            None => self.first.as_mut(),
        };
        if let Some(last) = last {
            let before = last.len();
            if last.append(opcode, payload) {
                self.bytes += (last.len() - before) as u32;
                return;
            }
        }
        self.push(Encoded::copied(opcode, payload, meter));
    }

    /// Appends what is to be sent next, in order, as far as one write carries it.
    pub fn push_slices<'a>(&'a self, slices: &mut Vec<IoSlice<'a>>) {
        let slices_max = slices.len() + WRITE_SLICES_MAX;
        let mut bytes_left = WRITE_BYTES_MAX;
        let mut sent = self.sent as usize;
        for piece in self.entries().flat_map(Encoded::pieces) {
            let skipped = sent.min(piece.len());
            sent -= skipped;
            let piece = &piece[skipped..];
            if piece.is_empty() {
                continue;
            }
            if slices.len() == slices_max || bytes_left == 0 {
                break;
            }
            let piece = &piece[..piece.len().min(bytes_left)];
            slices.push(IoSlice::new(piece));
            bytes_left -= piece.len();
        }
    }

    /// Copies what is to be sent next behind `gathered`, if it is several entries and all of them are
    /// short; returns where it lies there.
    pub fn gather(&self, gathered: &mut Vec<u8>) -> Option<Range<usize>> {
        self.rest.as_ref()?;
        let begin = gathered.len();
        let mut sent = self.sent as usize;
        for entry in self.entries() {
            if entry.len() > GATHERED_ENTRY_BYTES_MAX {
                gathered.truncate(begin);
                return None;
            }
            if gathered.len() - begin + entry.len() > GATHERED_BYTES_MAX {
                break;
            }
            for piece in entry.pieces() {
                let skipped = sent.min(piece.len());
                sent -= skipped;
                gathered.extend_from_slice(&piece[skipped..]);
            }
        }
        Some(begin..gathered.len())
    }

    /// Whether both are to be sent the very same bytes: the same entries, none of them begun.
    pub fn holds_the_same(&self, other: &Outbox) -> bool {
        self.sent == 0
            && other.sent == 0
            && self.len() == other.len()
            && self
                .entries()
                .zip(other.entries())
                .all(|(a, b)| a.is_same(b))
    }

    /// Takes off the front what has been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes -= bytes as u32;
        let mut sent = self.sent as usize + bytes;
        while let Some(first) = &self.first {
            let len = first.len();
            if sent < len {
                break;
            }
            sent -= len;
            self.pop();
        }
        self.sent = sent as u32;
    }

    /// Drops what has not begun to be sent; a message of which the peer has a part stays, since the
    /// stream would be broken without the rest. Returns how many messages were dropped.
    pub fn drop_unsent(&mut self) -> u64 {
        let begun = if self.sent > 0 {
            self.first.take()
        } else {
            None
        };
        let dropped = self.messages();
        let kept = begun.as_ref().map_or(0, Encoded::len) - self.sent as usize;
        *self = Outbox {
            first: begun,
            rest: None,
            bytes: kept as u32,
            sent: self.sent,
        };
        dropped
    }
}
