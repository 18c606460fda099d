//! The writes of one flush, laid out so that the system can take them all in one call.

use std::io::IoSlice;
use std::ops::Range;

use crate::ConnId;
use crate::outbox::Outbox;

/// What one connection is to be sent: all that is queued for it, as far as one write carries it.
#[derive(Debug)]
pub struct Write<'a> {
    /// The connection.
    pub conn: ConnId,
    /// The bytes, in order; at least one slice, none empty.
    pub slices: &'a [IoSlice<'a>],
}

impl Write<'_> {
    /// How many bytes it offers.
    pub fn bytes(&self) -> usize {
        self.slices.iter().map(|slice| slice.len()).sum()
    }
}

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The socket took this many bytes. If these are fewer than it was offered, the shell hands in
    /// [`Input::Writable`](crate::Input::Writable) once it takes more.
    Wrote(usize),
    /// The transport took this many bytes, and takes more at once.
    Took(usize),
    /// The transport took this many bytes, and keeps what it made of them: the shell hands in
    /// [`Input::Writable`](crate::Input::Writable) once all of that is sent.
    Kept(usize),
    /// The socket is gone.
    Gone,
}

/// Where the bytes of one write lie.
enum Source {
    /// Side by side in the buffer of gathered bytes.
    Gathered(Range<usize>),
    /// In the outbox's own entries.
    Entries,
}

/// Hands `send` one write for each of these outboxes, none of them empty, in their order.
///
/// Many short entries are copied side by side first: the system takes one piece of memory for less than
/// it takes many. The members of a room mostly wait for the same entries, which are copied once for all
/// of them. `gathered` is room for the copies.
pub(crate) fn with_writes<'a>(
    due: impl Iterator<Item = (ConnId, &'a Outbox)>,
    gathered: &mut Vec<u8>,
    send: impl FnOnce(&[Write<'_>]),
) {
    gathered.clear();
    let mut sources: Vec<(ConnId, &Outbox, Source)> = Vec::with_capacity(due.size_hint().0);
    for (conn, outbox) in due {
        let source = match sources.last() {
            Some((_, last, Source::Gathered(range))) if last.holds_the_same(outbox) => {
                Source::Gathered(range.clone())
            }
            _ => outbox
                .gather(gathered)
                .map_or(Source::Entries, Source::Gathered),
        };
        sources.push((conn, outbox, source));
    }
    let mut slices = Vec::with_capacity(sources.len());
    let mut ends = Vec::with_capacity(sources.len());
    for (_, outbox, source) in &sources {
        match source {
            Source::Gathered(range) => slices.push(IoSlice::new(&gathered[range.clone()])),
            Source::Entries => outbox.push_slices(&mut slices),
        }
        ends.push(slices.len());
    }
    let mut begin = 0;
    let writes: Vec<Write<'_>> = sources
        .iter()
        .zip(ends)
        .map(|((conn, ..), end)| Write {
            conn: *conn,
            slices: &slices[std::mem::replace(&mut begin, end)..end],
        })
        .collect();
    send(&writes);
}
