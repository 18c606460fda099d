//! Compression of messages (RFC 7692) as one shard does it: one compressor and one decompressor for all of its
//! connections, and the contexts of those that take theirs over from message to message.

use std::sync::Arc;

use ringmain_proto::ws::deflate::{
    Agreement, Deflater, Direction, History, Inflater, Rules, WindowBits,
};
use ringmain_proto::ws::{MessageKind, ProtocolError};

use crate::limits::{CONTEXTS_MEMORY_PERCENT, TURN_COMPRESSION_BYTES_MAX};
use crate::memory::Meter;
use crate::stats::ShardStats;

/// How an operator wants messages compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// From 1, fast, to 9, small.
    pub level: u8,
    /// Shorter messages are sent as they are; at least 1.
    pub bytes_min: usize,
    /// What is agreed to.
    pub rules: Rules,
}

/// A shard's compressors, made when they are first needed.
#[derive(Debug)]
pub struct Codecs {
    settings: Option<Compression>,
    inflater: Option<Box<Inflater>>,
    /// One for each size of the window, by its index.
    deflaters: [Option<Box<Deflater>>; WindowBits::COUNT],
    /// By index of the connection; none for those that take nothing over.
    contexts: Vec<Option<Box<Contexts>>>,
    /// The most that the contexts may come to, in bytes.
    reserved_bytes: usize,
    /// What they hold, in bytes.
    held_bytes: usize,
    /// Bytes that this turn may still restore, or compress for replies.
    input_bytes_left: usize,
    /// Bytes that this turn may still compress for members of rooms.
    output_bytes_left: usize,
    meter: Meter,
    stats: Arc<ShardStats>,
}

/// What one connection's messages may refer to.
#[derive(Debug)]
struct Contexts {
    sent: History,
    received: History,
    received_window: WindowBits,
    reserved_bytes: usize,
}

/// For whom something is compressed: each has a budget of its own, so that neither can starve the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client has sent something, and gets this for it.
    Reply,
    /// A publication is delivered.
    Delivery,
}

impl Codecs {
    /// Codecs without a connection.
    pub fn new(settings: Option<Compression>, meter: Meter, stats: Arc<ShardStats>) -> Self {
        Codecs {
            settings,
            inflater: None,
            deflaters: Default::default(),
            contexts: Vec::new(),
            reserved_bytes: 0,
            held_bytes: 0,
            input_bytes_left: TURN_COMPRESSION_BYTES_MAX,
            output_bytes_left: TURN_COMPRESSION_BYTES_MAX,
            meter,
            stats,
        }
    }

    /// Other settings hold from now on. What was agreed on with a connection stays.
    pub fn configure(&mut self, settings: Option<Compression>) {
        self.settings = settings;
        self.deflaters = Default::default();
    }

    /// A turn begins.
    pub fn begin_turn(&mut self) {
        self.input_bytes_left = TURN_COMPRESSION_BYTES_MAX;
        self.output_bytes_left = TURN_COMPRESSION_BYTES_MAX;
    }

    /// Whether the next compressed message of a client has to wait for the next turn.
    pub fn input_is_spent(&self) -> bool {
        self.input_bytes_left == 0
    }

    /// Whether the next publication that has to be compressed waits for the next turn.
    pub fn output_is_spent(&self) -> bool {
        self.output_bytes_left == 0
    }

    /// What of an agreement can be kept: all of it while the contexts of all connections fit in their share of the
    /// shard's memory, else no context is taken over.
    pub fn affordable(&self, agreement: Agreement, memory_bytes_max: usize) -> Agreement {
        let share = memory_bytes_max / 100 * CONTEXTS_MEMORY_PERCENT;
        if self.reserved_bytes + agreement.context_bytes_max() > share {
            return agreement.without_takeover();
        }
        agreement
    }

    /// A connection begins whose place in the table is this.
    pub fn open(&mut self, index: u32, agreement: &Agreement) {
        let reserved_bytes = agreement.context_bytes_max();
        if reserved_bytes == 0 {
            return;
        }
        let index = index as usize;
        if self.contexts.len() <= index {
            self.contexts.resize_with(index + 1, || None);
        }
        self.contexts[index] = Some(Box::new(Contexts {
            sent: History::default(),
            received: History::default(),
            received_window: agreement.client.window,
            reserved_bytes,
        }));
        self.reserved_bytes += reserved_bytes;
    }

    /// A connection has ended.
    pub fn close(&mut self, index: u32) {
        let contexts = self.contexts.get_mut(index as usize);
        let Some(contexts) = contexts.and_then(Option::take) else {
            return;
        };
        let held = contexts.held_bytes();
        self.reserved_bytes -= contexts.reserved_bytes;
        self.held_bytes -= held;
        self.meter.release(held);
        if self.reserved_bytes == 0 {
            self.contexts = Vec::new();
        }
    }

    /// What the contexts of one connection hold, in bytes.
    pub fn held_by(&self, index: u32) -> usize {
        let contexts = self.contexts.get(index as usize);
        contexts
            .and_then(Option::as_ref)
            .map_or(0, |contexts| contexts.held_bytes())
    }

    /// What all contexts hold, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes the decompressor out, to be given back by [`restore_inflater`](Self::restore_inflater): what it has
    /// restored lies in it while it is handled.
    pub fn take_inflater(&mut self) -> Box<Inflater> {
        self.inflater.take().unwrap_or_default()
    }

    /// Gives the decompressor back.
    pub fn restore_inflater(&mut self, inflater: Box<Inflater>) {
        self.inflater = Some(inflater);
    }

    /// Restores a message that a client has sent.
    ///
    /// # Errors
    /// As [`Inflater::inflate`].
    pub fn inflate<'i>(
        &mut self,
        inflater: &'i mut Inflater,
        index: u32,
        kind: MessageKind,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<&'i [u8], ProtocolError> {
        let contexts = contexts_of(&mut self.contexts, index);
        let history = contexts
            .as_ref()
            .map_or(&[][..], |it| it.received.as_slice());
        let message = match inflater.inflate(kind, payload, history, bytes_max) {
            Ok(message) => message,
            Err(error) => {
                // It may have been as much work as the largest message.
                self.input_bytes_left = self.input_bytes_left.saturating_sub(bytes_max);
                return Err(error);
            }
        };
        if let Some(contexts) = contexts {
            let before = contexts.received.held_bytes();
            contexts.received.push(message, contexts.received_window);
            self.held_bytes += contexts.received.held_bytes() - before;
            self.meter.hold(contexts.received.held_bytes() - before);
        }
        self.input_bytes_left = self
            .input_bytes_left
            .saturating_sub(message.len().max(payload.len()));
        self.stats.inflated_messages.add(1);
        self.stats.inflated_bytes_in.add(payload.len() as u64);
        self.stats.inflated_bytes_out.add(message.len() as u64);
        Ok(message)
    }

    /// Compresses a message for a connection, in its own context if `direction` takes that over; `None` if it is better
    /// sent as it is. What is given for a connection with a context must be sent to it, in the same order.
    pub fn deflate(
        &mut self,
        index: u32,
        direction: Direction,
        purpose: Purpose,
        message: &[u8],
    ) -> Option<&[u8]> {
        let settings = self.settings.filter(|it| message.len() >= it.bytes_min)?;
        let left = match purpose {
            Purpose::Reply => &mut self.input_bytes_left,
            Purpose::Delivery => &mut self.output_bytes_left,
        };
        *left = left.saturating_sub(message.len());
        let window = direction.window;
        let deflater = self.deflaters[window.index()]
            .get_or_insert_with(|| Box::new(Deflater::new(settings.level, window)));
        let contexts = match direction.takeover {
            true => contexts_of(&mut self.contexts, index),
            false => None,
        };
        let history = contexts.as_ref().map_or(&[][..], |it| it.sent.as_slice());
        let compressed = deflater.deflate(message, history)?;
        self.stats.deflated_messages.add(1);
        self.stats.deflated_bytes_in.add(message.len() as u64);
        if compressed.len() >= message.len() {
            // The message goes out as it is, and so leaves the context as it is.
            self.stats.deflated_bytes_out.add(message.len() as u64);
            return None;
        }
        if let Some(contexts) = contexts {
            let before = contexts.sent.held_bytes();
            contexts.sent.push(message, window);
            self.held_bytes += contexts.sent.held_bytes() - before;
            self.meter.hold(contexts.sent.held_bytes() - before);
        }
        self.stats.deflated_bytes_out.add(compressed.len() as u64);
        Some(compressed)
    }
}

/// Apart from [`Codecs`], so that the rest of it can be used meanwhile.
fn contexts_of(contexts: &mut [Option<Box<Contexts>>], index: u32) -> Option<&mut Contexts> {
    contexts.get_mut(index as usize)?.as_deref_mut()
}

impl Contexts {
    fn held_bytes(&self) -> usize {
        self.sent.held_bytes() + self.received.held_bytes()
    }
}
