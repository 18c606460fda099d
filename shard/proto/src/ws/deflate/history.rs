//! What a message may refer to of those before it.

use super::WindowBits;

/// The end of all that was compressed so far one way of a connection, as long as the window at most (RFC 7692, section
/// 7.1.1). Messages that were sent as they are do not belong to it.
///
/// It grows with what there is to remember; an empty one holds no memory.
#[derive(Debug, Default)]
pub struct History {
    bytes: Vec<u8>,
}

impl History {
    /// Remembers a message.
    pub fn push(&mut self, message: &[u8], window: WindowBits) {
        let window_bytes = window.bytes();
        let message = &message[message.len().saturating_sub(window_bytes)..];
        let kept = self.bytes.len().min(window_bytes - message.len());
        self.bytes.drain(..self.bytes.len() - kept);
        let needed = kept + message.len();
        if needed > self.bytes.capacity() {
            let capacity = needed.saturating_mul(2).min(window_bytes);
            self.bytes.reserve_exact(capacity - kept);
        }
        self.bytes.extend_from_slice(message);
    }

    /// The bytes, oldest first.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory that it holds.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
