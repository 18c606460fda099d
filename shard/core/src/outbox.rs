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
    queue: Queue,
    bytes: u32,
    /// Bytes of the first entry that are sent already.
    sent: u32,
}

/// The entries.
#[derive(Debug)]
enum Queue {
    /// At most one.
    One(Option<Encoded>),
    /// Any number: a session that had several at once may soon have several again.
    #[expect(
        clippy::box_collection,
        reason = "most outboxes have none, and so stay small"
    )]
    Many(Box<VecDeque<Encoded>>),
}

/// The room for entries that a session keeps which had several at once. What had more gives all of it back.
const KEPT_CAPACITY_MAX: usize = 4;

impl Default for Queue {
    fn default() -> Self {
        Queue::One(None)
    }
}

impl Queue {
    fn as_slices(&self) -> (&[Encoded], &[Encoded]) {
        match self {
            Queue::One(entry) => (entry.as_slice(), &[]),
            Queue::Many(entries) => entries.as_slices(),
        }
    }

    fn len(&self) -> usize {
        let (front, back) = self.as_slices();
        front.len() + back.len()
    }

    fn front(&self) -> Option<&Encoded> {
        self.as_slices().0.first()
    }

    fn back_mut(&mut self) -> Option<&mut Encoded> {
        match self {
            Queue::One(entry) => entry.as_mut(),
            Queue::Many(entries) => entries.back_mut(),
        }
    }

    fn push(&mut self, encoded: Encoded) {
        match self {
            Queue::One(entry) => match entry.take() {
                None => *entry = Some(encoded),
                Some(first) => {
                    let mut entries = VecDeque::with_capacity(KEPT_CAPACITY_MAX);
                    entries.extend([first, encoded]);
                    *self = Queue::Many(Box::new(entries));
                }
            },
            Queue::Many(entries) => entries.push_back(encoded),
        }
    }

    fn pop(&mut self) -> Option<Encoded> {
        match self {
            Queue::One(entry) => entry.take(),
            Queue::Many(entries) => {
                let first = entries.pop_front();
                if entries.is_empty() && entries.capacity() > KEPT_CAPACITY_MAX {
                    *self = Queue::default();
                }
                first
            }
        }
    }
}

impl Outbox {
    /// Bytes that are still to be sent.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.queue.front().is_none()
    }

    fn entries(&self) -> impl Iterator<Item = &Encoded> {
        let (front, back) = self.queue.as_slices();
        front.iter().chain(back)
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
        self.queue.push(encoded);
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

    /// As [`push_copied`](Self::push_copied), for a message whose payload is compressed.
    pub fn push_compressed(&mut self, opcode: Opcode, payload: &[u8], meter: &Meter) {
        if let Some(last) = self.queue.back_mut() {
            let before = last.len();
            if last.append_compressed(opcode, payload) {
                self.bytes += (last.len() - before) as u32;
                return;
            }
        }
        self.push(Encoded::compressed(opcode, payload, meter));
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
        if self.queue.len() < 2 {
            return None;
        }
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
            && self.queue.len() == other.queue.len()
            && self
                .entries()
                .zip(other.entries())
                .all(|(a, b)| a.is_same(b))
    }

    /// Takes off the front what has been sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent_each(bytes, |_| {});
    }

    /// Takes off the front what has been sent, and shows every entry that was sent to its end.
    pub fn sent_each(&mut self, bytes: usize, mut done: impl FnMut(&Encoded)) {
        self.bytes -= bytes as u32;
        let mut sent = self.sent as usize + bytes;
        while let Some(first) = self.queue.front() {
            let len = first.len();
            if sent < len {
                break;
            }
            sent -= len;
            if let Some(entry) = self.queue.pop() {
                done(&entry);
            }
        }
        self.sent = sent as u32;
    }

    /// Drops the oldest publications that have not begun to be sent, until no more than so many bytes and entries wait,
    /// or the newest publication alone is left. Returns how many messages were dropped.
    pub fn drop_oldest(&mut self, bytes_max: usize, entries_max: usize) -> u64 {
        let Queue::Many(entries) = &mut self.queue else {
            return 0;
        };
        let Some(mut newest) = entries.iter().rposition(Encoded::is_publication) else {
            return 0;
        };
        let mut at = usize::from(self.sent > 0);
        let mut dropped = 0;
        while self.bytes as usize > bytes_max || entries.len() > entries_max {
            while at < newest && !entries[at].is_publication() {
                at += 1;
            }
            if at >= newest {
                break;
            }
            if let Some(oldest) = entries.remove(at) {
                self.bytes -= oldest.len() as u32;
                dropped += u64::from(oldest.messages());
                newest -= 1;
            }
            // The replies on both sides become one entry: what stays does not grow by entries, and the next search for
            // the oldest is short.
            if at > 0 && at < newest {
                let after = entries[at].clone();
                if entries[at - 1].absorb(&after) {
                    entries.remove(at);
                    newest -= 1;
                }
            }
        }
        dropped
    }

    /// Drops what has not begun to be sent; a message of which the peer has a part stays, since the
    /// stream would be broken without the rest. Returns how many messages were dropped.
    pub fn drop_unsent(&mut self) -> u64 {
        let begun = if self.sent > 0 {
            self.queue.pop()
        } else {
            None
        };
        let dropped = self.messages();
        let kept = begun.as_ref().map_or(0, Encoded::len) - self.sent as usize;
        *self = Outbox {
            queue: Queue::One(begun),
            bytes: kept as u32,
            sent: self.sent,
        };
        dropped
    }
}
