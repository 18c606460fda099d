//! What a message carries: who published it, its number, when, and a filling that proves it whole.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0-3 | `RML1` |
//! | 4-7 | the run |
//! | 8-11 | the publisher |
//! | 12-15 | check of the other fields and of the length |
//! | 16-23 | the publisher's number of the message, from 0 |
//! | 24-31 | when it was to be sent: nanoseconds of the run |
//! | 32-39 | when it was sent: the same, but in an open loop |
//! | 40- | filling, derived from the check and the number |
//!
//! All numbers are little-endian.

use crate::random::{GOLDEN, mix};

/// The bytes before the filling; no message is shorter.
pub const HEADER_BYTES: usize = 40;
/// Fillings of messages up to this length are checked byte by byte, of longer ones in samples.
const CHECKED_WHOLE_BYTES: usize = 256;
/// Words of the filling that are looked at in a message that is not checked whole.
const SAMPLED_WORDS: usize = 16;
const WORD_BYTES: usize = 8;
const MAGIC: [u8; 4] = *b"RML1";

/// The header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run of the load generator.
    pub run: u32,
    /// The connection that published it.
    pub publisher: u32,
    /// How many messages the publisher sent before.
    pub sequence: u64,
    /// When it was to be sent; latency counts from here.
    pub time_ns: u64,
    /// When it was sent: the same but in an open loop, which may be behind its schedule.
    pub sent_ns: u64,
}

impl Stamp {
    #[inline]
    fn check(&self, bytes: usize) -> u32 {
        let who = u64::from(self.run) << 32 | u64::from(self.publisher);
        let when = self.sequence.wrapping_mul(GOLDEN)
            ^ self.time_ns.rotate_left(32)
            ^ self.sent_ns.rotate_left(17);
        let mixed = mix(mix(who ^ bytes as u64) ^ when);
        (mixed >> 32) as u32
    }

    /// Replaces `out` by the message of this stamp, `bytes` long and no shorter than [`HEADER_BYTES`].
    #[inline]
    pub fn write(&self, bytes: usize, out: &mut Vec<u8>) {
        let check = self.check(bytes);
        out.clear();
        out.reserve(bytes);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.run.to_le_bytes());
        out.extend_from_slice(&self.publisher.to_le_bytes());
        out.extend_from_slice(&check.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.time_ns.to_le_bytes());
        out.extend_from_slice(&self.sent_ns.to_le_bytes());
        out.resize(bytes.max(HEADER_BYTES), 0);
        let filling = Filling::new(check, self.sequence);
        let (words, rest) = out[HEADER_BYTES..].as_chunks_mut::<WORD_BYTES>();
        for (index, word) in words.iter_mut().enumerate() {
            *word = filling.word(index);
        }
        let last = filling.word(words.len());
        rest.copy_from_slice(&last[..rest.len()]);
    }

    /// Reads the stamp of a message that should be `bytes` long; `None` if anything in it is not as
    /// it was written.
    #[inline]
    pub fn read(message: &[u8], bytes: usize) -> Option<Stamp> {
        if message.len() != bytes {
            return None;
        }
        let (header, filling) = message.split_first_chunk::<HEADER_BYTES>()?;
        let (fields, _) = header.as_chunks::<4>();
        let [
            magic,
            run,
            publisher,
            check,
            number_low,
            number_high,
            time_low,
            time_high,
            sent_low,
            sent_high,
        ] = fields
        else {
            return None;
        };
        let stamp = Stamp {
            run: u32::from_le_bytes(*run),
            publisher: u32::from_le_bytes(*publisher),
            sequence: join(*number_low, *number_high),
            time_ns: join(*time_low, *time_high),
            sent_ns: join(*sent_low, *sent_high),
        };
        let check = u32::from_le_bytes(*check);
        let whole = *magic == MAGIC
            && check == stamp.check(bytes)
            && Filling::new(check, stamp.sequence).is_in(filling, stamp.sequence);
        whole.then_some(stamp)
    }
}

fn join(low: [u8; 4], high: [u8; 4]) -> u64 {
    u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32
}

/// The bytes after the header.
struct Filling {
    seed: u64,
}

impl Filling {
    #[inline]
    fn new(check: u32, sequence: u64) -> Self {
        Filling {
            seed: mix(u64::from(check) << 32 ^ sequence),
        }
    }

    #[inline]
    fn word(&self, index: usize) -> [u8; WORD_BYTES] {
        self.seed
            .wrapping_add((index as u64).wrapping_mul(GOLDEN))
            .to_le_bytes()
    }

    #[inline]
    fn is_in(&self, bytes: &[u8], sequence: u64) -> bool {
        let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
        if self.word(words.len())[..rest.len()] != *rest {
            return false;
        }
        if HEADER_BYTES + bytes.len() <= CHECKED_WHOLE_BYTES {
            return self.holds(words, 0, 1);
        }
        // Other words in each message, and always the last: a shift or a cut shows there.
        let step = words.len().div_ceil(SAMPLED_WORDS);
        let last = words.len() - 1;
        self.holds(words, (sequence % step as u64) as usize, step) && words[last] == self.word(last)
    }

    #[inline]
    fn holds(&self, words: &[[u8; WORD_BYTES]], first: usize, step: usize) -> bool {
        let mut indices = (first..words.len()).step_by(step);
        indices.all(|index| words[index] == self.word(index))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(stamp: Stamp, bytes: usize) -> Vec<u8> {
        let mut out = vec![9; 3];
        stamp.write(bytes, &mut out);
        out
    }

    fn stamps() -> impl Strategy<Value = Stamp> {
        any::<(u32, u32, u64, u64, u64)>().prop_map(
            |(run, publisher, sequence, time_ns, sent_ns)| Stamp {
                run,
                publisher,
                sequence,
                time_ns,
                sent_ns,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(stamp in stamps(), bytes in HEADER_BYTES..2000) {
            let message = message(stamp, bytes);
            prop_assert_eq!(message.len(), bytes);
            prop_assert_eq!(Stamp::read(&message, bytes), Some(stamp));
        }

        #[test]
        fn any_changed_bit_of_a_small_message_is_seen(
            stamp in stamps(), bytes in HEADER_BYTES..=CHECKED_WHOLE_BYTES, at in any::<prop::sample::Index>(), bit in 0u32..8
        ) {
            let mut message = message(stamp, bytes);
            message[at.index(bytes)] ^= 1u8 << bit;
            prop_assert_eq!(Stamp::read(&message, bytes), None);
        }

        #[test]
        fn a_message_of_another_length_is_seen(stamp in stamps(), bytes in HEADER_BYTES..600, cut in 1usize..40) {
            let message = message(stamp, bytes);
            prop_assert_eq!(Stamp::read(&message[..bytes - cut.min(bytes)], bytes), None);
            prop_assert_eq!(Stamp::read(&message, bytes + cut), None);
        }
    }

    #[test]
    fn a_changed_bit_of_a_large_message_is_seen_in_one_of_a_few_messages() {
        let bytes = 16 * 1024;
        let step = ((bytes - HEADER_BYTES) / WORD_BYTES).div_ceil(SAMPLED_WORDS) as u64;
        let seen = (0..step).filter(|&sequence| {
            let stamp = Stamp {
                run: 1,
                publisher: 2,
                sequence,
                time_ns: 3,
                sent_ns: 4,
            };
            let mut message = message(stamp, bytes);
            message[9_000] ^= 0x10;
            Stamp::read(&message, bytes).is_none()
        });
        assert_eq!(seen.count(), 1);
    }

    #[test]
    fn a_shift_in_a_large_message_is_seen_at_once() {
        let stamp = Stamp {
            run: 1,
            publisher: 2,
            sequence: 0,
            time_ns: 3,
            sent_ns: 4,
        };
        let mut message = message(stamp, 16 * 1024);
        message[HEADER_BYTES..].rotate_left(WORD_BYTES);
        assert_eq!(Stamp::read(&message, 16 * 1024), None);
    }
}
