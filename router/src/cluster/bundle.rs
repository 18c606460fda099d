//! Publications of one room that wait for the broker together, and go as one message.
//!
//! Nothing waits for the sake of a bundle: what is published while the one before is still here joins it. So the broker
//! and the other nodes have the less to do for each, the more there is.

use bytes::Bytes;

use super::envelope::{KIND_AT, SEVERAL, Source, header, kind_byte, put_part};
use super::limits::MESSAGE_OVERHEAD_BYTES;
use super::outbound::Message;
use super::sending::Place;
use crate::publication::PayloadKind;
use crate::room::RoomId;
use crate::tick::Tick;

/// The newest publications that wait, all of one stream and without a gap.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Since when the first waits.
    pub since: Tick,
    room: RoomId,
    subject: String,
    last: Place,
    bytes: Vec<u8>,
    header_bytes: usize,
    first_kind: PayloadKind,
    publications: u64,
}

impl Bundle {
    pub fn new(
        (room, subject): (RoomId, String),
        source: &Source,
        place: Place,
        (kind, payload): (PayloadKind, &[u8]),
        now: Tick,
    ) -> Self {
        let mut bytes = header(source, kind_byte(kind), place, payload.len());
        let header_bytes = bytes.len();
        bytes.extend_from_slice(payload);
        Bundle {
            since: now,
            room,
            subject,
            last: place,
            bytes,
            header_bytes,
            first_kind: kind,
            publications: 1,
        }
    }

    /// Takes one more, if it is the next of the stream and the whole does not become larger than `bytes_max`. Returns by
    /// how many bytes it grew.
    pub fn append(
        &mut self,
        room: RoomId,
        place: Place,
        (kind, payload): (PayloadKind, &[u8]),
        bytes_max: usize,
    ) -> Option<usize> {
        // Lengths of two parts, at most.
        let bytes_then = self.bytes.len() + payload.len() + 2 * 11;
        let is_next = self.room == room
            && self.last.generation == place.generation
            && self.last.sequence + 1 == place.sequence;
        if !is_next || bytes_then > bytes_max {
            return None;
        }
        let before = self.bytes.len();
        if self.publications == 1 {
            // So far the only one, without a length.
            let first = self.bytes.split_off(self.header_bytes);
            self.bytes[KIND_AT] = SEVERAL;
            put_part(&mut self.bytes, self.first_kind, &first);
        }
        put_part(&mut self.bytes, kind, payload);
        self.publications += 1;
        self.last = place;
        Some(self.bytes.len() - before)
    }

    /// What it counts for in the queue.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + MESSAGE_OVERHEAD_BYTES
    }

    pub fn into_message(self) -> Message {
        Message {
            subject: self.subject,
            payload: Bytes::from(self.bytes),
            publications: self.publications,
        }
    }
}
