//! Compressing messages.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::{TAIL, WindowBits};

/// Room for compressed bytes that is kept from one message to the next.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// The least room offered to the compressor: with fewer bytes it would write its end mark again and again.
const ROOM_BYTES_MIN: usize = 64;

/// Compresses messages one after the other, whichever connection they are for. Takes some 250 KiB of memory, and 380 KiB
/// with the largest window.
pub struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

impl Deflater {
    /// A compressor. `level` goes from 1, fast, to 9, small; higher ones are taken for 9.
    pub fn new(level: u8, window: WindowBits) -> Self {
        let level = Compression::new(u32::from(level.min(9)));
        Self {
            compress: Compress::new_with_window_bits(level, false, window.get()),
            out: Vec::new(),
        }
    }

    /// The payload of a compressed message (RFC 7692, section 7.2.1), which refers to itself and to `history`: at most a
    /// window of what the receiver has last restored on the same connection, empty without context takeover. `None` if
    /// the compressor fails; the message can always be sent as it is.
    pub fn deflate(&mut self, message: &[u8], history: &[u8]) -> Option<&[u8]> {
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES_MAX);
        if message.is_empty() {
            // RFC 7692, 7.2.3.6: an empty message is "a single octet of 0x00": the header of an empty block.
            self.out.push(0);
            return Some(&self.out);
        }
        self.compress.reset();
        if !history.is_empty() {
            self.compress.set_dictionary(history).ok()?;
        }
        // RFC 7692, 7.2.1: compressed, with "an empty DEFLATE block with no compression" at its end.
        loop {
            let taken = usize::try_from(self.compress.total_in()).ok()?;
            let rest = &message[taken..];
            self.out.reserve(rest.len() / 2 + ROOM_BYTES_MIN);
            self.compress
                .compress_vec(rest, &mut self.out, FlushCompress::Sync)
                .ok()?;
            let is_all_taken = self.compress.total_in() == message.len() as u64;
            if is_all_taken && self.out.len() < self.out.capacity() {
                break;
            }
        }
        // RFC 7692, 7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff) from the tail end."
        self.out.strip_suffix(&TAIL)
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}
