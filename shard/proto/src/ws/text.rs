//! UTF-8 that arrives in pieces.

use super::ProtocolError;

/// How much of an unfinished text message is known to be UTF-8.
///
/// The message itself keeps the bytes, so only a position is needed: at most three bytes lie behind it, the beginning
/// of a character whose rest has not arrived.
#[derive(Debug, Default)]
pub(super) struct TextProgress {
    valid_bytes: usize,
}

impl TextProgress {
    /// Checks what was appended to `message` since the last call; fails at the first byte that no continuation can
    /// make valid, even in the middle of a frame (RFC 6455, section 8.1).
    pub(super) fn advance(&mut self, message: &[u8]) -> Result<(), ProtocolError> {
        let Err(error) = simdutf8::compat::from_utf8(&message[self.valid_bytes..]) else {
            self.valid_bytes = message.len();
            return Ok(());
        };
        // A known length means that these bytes are wrong whatever follows; none means that more are needed.
        if error.error_len().is_some() {
            return Err(ProtocolError::TextNotUtf8);
        }
        self.valid_bytes += error.valid_up_to();
        Ok(())
    }

    /// Checks that `message` does not end within a character.
    pub(super) fn finish(&self, message: &[u8]) -> Result<(), ProtocolError> {
        if self.valid_bytes == message.len() {
            Ok(())
        } else {
            Err(ProtocolError::TextNotUtf8)
        }
    }
}
