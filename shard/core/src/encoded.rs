//! Frames as they go on the wire, made once and shared by every outbox of the shard that sends them.

use std::rc::Rc;

use bytes::Bytes;
use ringmain_proto::ws::Opcode;
use ringmain_proto::ws::encode::{Header, write_compressed_frame, write_frame};
use ringmain_router::Moment;

use crate::limits::{INLINE_PAYLOAD_BYTES_MAX, REPLY_BUFFER_BYTES_FIRST, REPLY_BUFFER_BYTES_MAX};
use crate::memory::Meter;

/// Bytes ready to be sent: one message or several. A clone is another reference to the same bytes;
/// the shard's [`Meter`] counts them once, until the last reference is gone.
#[derive(Clone, Debug)]
pub struct Encoded(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Headers, and payloads short enough to be copied behind them.
    head: Vec<u8>,
    /// A long payload, sent from where it lies.
    payload: Bytes,
    messages: u32,
    /// A publication: may be dropped for a slow consumer, and nothing is put behind it.
    is_publication: bool,
    /// A publication that may not be dropped; nothing is put behind it either.
    is_chained: bool,
    /// When the handling of the publication began that this is.
    began: Option<Moment>,
    meter: Meter,
}

/// The longest header of a frame to a client (RFC 6455, section 5.2).
const FRAME_HEADER_BYTES_MAX: usize = 10;

impl Encoded {
    /// One whole message in one frame (RFC 6455, section 5.2).
    pub fn message(opcode: Opcode, payload: &Bytes, meter: &Meter) -> Self {
        if payload.len() <= INLINE_PAYLOAD_BYTES_MAX {
            return Self::copied(opcode, payload, meter);
        }
        let head = Header::new(opcode, true, payload.len()).to_vec();
        Self::new(head, payload.clone(), messages(opcode), meter)
    }

    /// One whole message whose payload is copied.
    pub fn copied(opcode: Opcode, payload: &[u8], meter: &Meter) -> Self {
        let mut head = Vec::new();
        write_frame(&mut head, opcode, payload);
        Self::new(head, Bytes::new(), messages(opcode), meter)
    }

    /// One whole message whose payload is compressed (RFC 7692), which is copied.
    pub fn compressed(opcode: Opcode, payload: &[u8], meter: &Meter) -> Self {
        let mut head = Vec::new();
        write_compressed_frame(&mut head, opcode, payload);
        Self::new(head, Bytes::new(), messages(opcode), meter)
    }

    /// One message as an event of an event stream.
    pub fn event(event: Vec<u8>, meter: &Meter) -> Self {
        Self::new(event, Bytes::new(), 1, meter)
    }

    /// Bytes that are no message, such as an HTTP response.
    pub fn verbatim(bytes: Bytes, meter: &Meter) -> Self {
        Self::new(Vec::new(), bytes, 0, meter)
    }

    fn new(head: Vec<u8>, payload: Bytes, messages: u32, meter: &Meter) -> Self {
        meter.hold(head.len() + payload.len());
        Encoded(Rc::new(Inner {
            head,
            payload,
            messages,
            is_publication: false,
            is_chained: false,
            began: None,
            meter: meter.clone(),
        }))
    }

    /// Marks bytes that nobody shares yet as a publication, which may be dropped for a slow consumer, and notes
    /// when its handling began.
    pub fn of_publication(mut self, began: Option<Moment>) -> Self {
        if let Some(inner) = Rc::get_mut(&mut self.0) {
            inner.is_publication = true;
            inner.began = began;
        }
        self
    }

    /// Notes of bytes that nobody shares yet when the handling of their publication began. They may not be dropped: the
    /// messages after them refer to them (RFC 7692, section 7.1.1).
    pub fn of_chained_publication(mut self, began: Option<Moment>) -> Self {
        if let Some(inner) = Rc::get_mut(&mut self.0) {
            inner.is_chained = true;
            inner.began = began;
        }
        self
    }

    /// Whether it is a publication that may be dropped; control frames and replies are none.
    pub fn is_publication(&self) -> bool {
        self.0.is_publication
    }

    /// When the handling of the publication began, if this is one that is to be counted.
    pub fn began(&self) -> Option<Moment> {
        self.0.began
    }

    /// Puts one more message behind these, if they are no publication, nobody else shares them and they
    /// stay short. Returns whether it did.
    pub fn append(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        self.append_by(write_frame, opcode, payload)
    }

    /// As [`append`](Self::append), for a message whose payload is compressed.
    pub fn append_compressed(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        self.append_by(write_compressed_frame, opcode, payload)
    }

    #[inline]
    fn append_by(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, Opcode, &[u8]),
        opcode: Opcode,
        payload: &[u8],
    ) -> bool {
        let Some(inner) = Rc::get_mut(&mut self.0) else {
            return false;
        };
        if !inner.takes(payload.len()) {
            return false;
        }
        let before = inner.head.len();
        if inner.head.capacity() - before < payload.len() + FRAME_HEADER_BYTES_MAX {
            // Where a second reply follows, more mostly do: not one growth each.
            let room = REPLY_BUFFER_BYTES_FIRST.max(2 * (before + payload.len()));
            inner.head.reserve_exact(room);
        }
        write(&mut inner.head, opcode, payload);
        inner.messages += messages(opcode);
        inner.meter.hold(inner.head.len() - before);
        true
    }

    /// Puts a copy of other bytes behind these, if neither is a publication, nobody else shares these, and they stay
    /// short. Returns whether it did.
    pub fn absorb(&mut self, other: &Encoded) -> bool {
        let other = &*other.0;
        let Some(inner) = Rc::get_mut(&mut self.0) else {
            return false;
        };
        if other.is_publication
            || other.is_chained
            || !other.payload.is_empty()
            || !inner.takes(other.head.len())
        {
            return false;
        }
        inner.head.extend_from_slice(&other.head);
        inner.messages += other.messages;
        inner.meter.hold(other.head.len());
        true
    }

    /// All bytes, in order, in two pieces of which either may be empty.
    pub fn pieces(&self) -> [&[u8]; 2] {
        [&self.0.head, &self.0.payload]
    }

    /// Whether both are references to the same bytes.
    pub fn is_same(&self, other: &Encoded) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.0.head.len() + self.0.payload.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages among these bytes; control frames are none.
    pub fn messages(&self) -> u32 {
        self.0.messages
    }
}

impl Inner {
    /// Whether so many bytes may be put behind these.
    fn takes(&self, bytes: usize) -> bool {
        !self.is_publication
            && !self.is_chained
            && self.payload.is_empty()
            && self.head.len() + bytes <= REPLY_BUFFER_BYTES_MAX
    }
}

/// Whether a frame counts as a message.
fn messages(opcode: Opcode) -> u32 {
    u32::from(!opcode.is_control())
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.meter.release(self.head.len() + self.payload.len());
    }
}
