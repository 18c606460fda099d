//! Restoring compressed messages.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::{TAIL, WindowBits};
use crate::ws::{MessageKind, ProtocolError};

/// What is read behind a message's payload and the [`TAIL`] that its sender has removed: an empty block that is marked as
/// the last. The stream ends with it if the payload ends where it must.
const LAST_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xFF, 0xFF];

/// The first room for a restored message; it doubles as needed.
const ROOM_BYTES_FIRST: usize = 4 * 1024;
/// Room that is kept from one message to the next.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Blocks within a message that are marked as the last of their stream, beside one for every
/// [`PAYLOAD_BYTES_A_FINAL_BLOCK`]: after each the decompressor is set up again, which costs far more than its bytes.
const FINAL_BLOCKS_MAX: usize = 16;
const PAYLOAD_BYTES_A_FINAL_BLOCK: usize = 256;

/// Restores messages one after the other, whichever connection they come from. Takes some 50 KiB of memory beside the
/// message.
pub struct Inflater {
    decompress: Decompress,
    /// Always filled to its length; the message is at its beginning.
    room: Vec<u8>,
}

impl Inflater {
    /// A decompressor.
    pub fn new() -> Self {
        Self {
            decompress: Decompress::new(false),
            room: Vec::new(),
        }
    }

    /// Restores a message from its payload (RFC 7692, section 7.2.2). It may refer to `history`, at most a window of what
    /// was last restored on the same connection; empty without context takeover.
    ///
    /// # Errors
    ///
    /// * [`ProtocolError::MessageTooBig`] as soon as the message has more than `bytes_max` bytes.
    /// * [`ProtocolError::CompressionInvalid`] if the payload is not what RFC 7692 asks for.
    /// * [`ProtocolError::TextNotUtf8`] if it is text, and not UTF-8 (RFC 6455, section 8.1).
    pub fn inflate(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        history: &[u8],
        bytes_max: usize,
    ) -> Result<&[u8], ProtocolError> {
        if self.room.len() > KEPT_BYTES_MAX {
            self.room.truncate(KEPT_BYTES_MAX);
            self.room.shrink_to_fit();
        }
        let message_bytes = self.message(payload, history, bytes_max)?;
        let message = &self.room[..message_bytes];
        // RFC 6455, 8.1, of "the payload data": what the application gets, which RFC 7692, 6.2, restores first.
        if kind == MessageKind::Text && simdutf8::basic::from_utf8(message).is_err() {
            return Err(ProtocolError::TextNotUtf8);
        }
        Ok(message)
    }

    /// Restores a message into the room; returns its length.
    fn message(
        &mut self,
        payload: &[u8],
        history: &[u8],
        bytes_max: usize,
    ) -> Result<usize, ProtocolError> {
        // RFC 7692, 7.2.3.6, wants at least one byte; senders that compress nothing to nothing are understood all the same.
        if payload.is_empty() {
            return Ok(0);
        }
        let mut filled = 0;
        let mut final_blocks_left = FINAL_BLOCKS_MAX + payload.len() / PAYLOAD_BYTES_A_FINAL_BLOCK;
        self.begin(history, filled)?;
        let mut input = payload;
        while self.feed(&mut input, &mut filled, bytes_max)? {
            // RFC 7692, 7.2.3.4: a block may be marked as the last; what follows begins at the next byte. Some senders
            // leave out the empty block that should follow it.
            if input.is_empty() {
                return Ok(filled);
            }
            final_blocks_left = final_blocks_left
                .checked_sub(1)
                .ok_or(ProtocolError::CompressionInvalid)?;
            self.begin(history, filled)?;
        }
        // RFC 7692, 7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message." The block
        // that they end may itself be marked as the last.
        for mut end in [&TAIL[..], &LAST_BLOCK] {
            if self.feed(&mut end, &mut filled, bytes_max)? {
                return match end.is_empty() {
                    true => Ok(filled),
                    false => Err(ProtocolError::CompressionInvalid),
                };
            }
        }
        Err(ProtocolError::CompressionInvalid)
    }

    /// Begins a stream of blocks that may refer to the history and to what is restored so far.
    fn begin(&mut self, history: &[u8], filled: usize) -> Result<(), ProtocolError> {
        self.decompress.reset(false);
        let restored = &self.room[filled.saturating_sub(WindowBits::MAX.bytes())..filled];
        let history_bytes = history.len().min(WindowBits::MAX.bytes() - restored.len());
        for past in [&history[history.len() - history_bytes..], restored] {
            if !past.is_empty() {
                self.decompress
                    .set_dictionary(past)
                    .map_err(|_| ProtocolError::CompressionInvalid)?;
            }
        }
        Ok(())
    }

    /// Takes in all of `input`, or up to the end of the stream; returns whether that was reached.
    fn feed(
        &mut self,
        input: &mut &[u8],
        filled: &mut usize,
        bytes_max: usize,
    ) -> Result<bool, ProtocolError> {
        // One byte more than allowed says that there are too many.
        let room_max = bytes_max.saturating_add(1);
        loop {
            if *filled == self.room.len() {
                let room = (2 * self.room.len()).max(ROOM_BYTES_FIRST).min(room_max);
                self.room.resize(room.max(*filled), 0);
            }
            let room_end = self.room.len().min(room_max);
            let (taken, given) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self
                .decompress
                .decompress(
                    input,
                    &mut self.room[*filled..room_end],
                    FlushDecompress::None,
                )
                .map_err(|_| ProtocolError::CompressionInvalid)?;
            // Both are lengths of slices.
            let taken = (self.decompress.total_in() - taken) as usize;
            let given = (self.decompress.total_out() - given) as usize;
            *input = &input[taken..];
            *filled += given;
            if *filled > bytes_max {
                return Err(ProtocolError::MessageTooBig { bytes_max });
            }
            if status == Status::StreamEnd {
                return Ok(true);
            }
            // With room left, it stands still only for want of input.
            if *filled < room_end {
                return match input.is_empty() {
                    true => Ok(false),
                    false => Err(ProtocolError::CompressionInvalid),
                };
            }
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}
