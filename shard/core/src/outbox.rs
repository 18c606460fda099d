//! What waits to be sent to one session, in order.

use std::collections::VecDeque;
use std::io::IoSlice;

use ringmain_proto::ws::Opcode;

use crate::encoded::Encoded;
use crate::limits::WRITE_BYTES_MAX;
use crate::memory::Meter;

/// A queue of [`Encoded`] bytes, of which the first may be partly sent. Its bounds are its owner's
/// to watch, by [`bytes`](Outbox::bytes).
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Encoded>,
    bytes: u32,
    /// Bytes of the first entry that are sent already.
    sent: u32,
}

/// An emptied queue gives back its memory above this capacity, so that idle sessions stay small.
const IDLE_CAPACITY_MAX: usize = 4;

impl Outbox {
    /// Bytes that are still to be sent.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages that are not yet sent whole.
    pub fn messages(&self) -> u64 {
        self.queue
            .iter()
            .map(|encoded| u64::from(encoded.messages()))
            .sum()
    }

    /// Puts encoded bytes at the end.
    pub fn push(&mut self, encoded: Encoded) {
        self.bytes += encoded.len() as u32;
        self.queue.push_back(encoded);
    }

    /// Puts one short message at the end, which is copied: behind the last bytes if they are this outbox's alone.
    pub fn push_copied(&mut self, opcode: Opcode, payload: &[u8], meter: &Meter) {
        if let Some(last) = self.queue.back_mut() {
            let before = last.len();
            if last.append(opcode, payload) {
                self.bytes += (last.len() - before) as u32;
                return;
            }
        }
        self.push(Encoded::copied(opcode, payload, meter));
    }

    /// Entries in the queue: how many slices [`slices`](Self::slices) may need is twice as many.
    pub fn entries(&self) -> usize {
        self.queue.len()
    }

    /// Fills `slices` with what is to be sent next, in order; returns how many were filled and how
    /// many bytes they hold.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> (usize, usize) {
        let (mut filled, mut bytes) = (0, 0);
        let mut sent = self.sent as usize;
        for piece in self.queue.iter().flat_map(Encoded::pieces) {
            let skipped = sent.min(piece.len());
            sent -= skipped;
            let piece = &piece[skipped..];
            if piece.is_empty() {
                continue;
            }
            if filled == slices.len() || bytes >= WRITE_BYTES_MAX {
                break;
            }
            let piece = &piece[..piece.len().min(WRITE_BYTES_MAX - bytes)];
            slices[filled] = IoSlice::new(piece);
            filled += 1;
            bytes += piece.len();
        }
        (filled, bytes)
    }

    /// Takes off the front what has been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes -= bytes as u32;
        let mut sent = self.sent as usize + bytes;
        while let Some(front) = self.queue.front() {
            let len = front.len();
            if sent < len {
                break;
            }
            sent -= len;
            self.queue.pop_front();
        }
        self.sent = sent as u32;
        if self.queue.is_empty() && self.queue.capacity() > IDLE_CAPACITY_MAX {
            self.queue = VecDeque::new();
        }
    }

    /// Drops what has not begun to be sent; a message of which the peer has a part stays, since the
    /// stream would be broken without the rest. Returns how many messages were dropped.
    pub fn drop_unsent(&mut self) -> u64 {
        let keep = usize::from(self.sent > 0);
        let dropped = self.queue.drain(keep.min(self.queue.len())..);
        dropped
            .map(|encoded| {
                self.bytes -= encoded.len() as u32;
                u64::from(encoded.messages())
            })
            .sum()
    }
}
