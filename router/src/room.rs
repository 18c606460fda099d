//! Names of rooms and the ids made of them.

use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher24};

/// The longest room name, in bytes of UTF-8.
pub const ROOM_NAME_BYTES_MAX: usize = 255;

/// A checked room name: 1 to [`ROOM_NAME_BYTES_MAX`] bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoomName(Arc<str>);

/// Why a room name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomNameError {
    /// The name has no bytes.
    #[error("the room name is empty; it takes 1 to {ROOM_NAME_BYTES_MAX} bytes")]
    Empty,
    /// The name has this many bytes, which is too many.
    #[error("the room name has {0} bytes; at most {ROOM_NAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// The name is not UTF-8.
    #[error("the room name is not UTF-8")]
    NotUtf8,
    /// The name holds a control character.
    #[error("the room name holds the control character U+{0:04X}")]
    Control(u32),
}

impl RoomName {
    /// Checks the bytes of a name.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn new(bytes: &[u8]) -> Result<Self, RoomNameError> {
        if bytes.is_empty() {
            return Err(RoomNameError::Empty);
        }
        if bytes.len() > ROOM_NAME_BYTES_MAX {
            return Err(RoomNameError::TooLong(bytes.len()));
        }
        let name = std::str::from_utf8(bytes).map_err(|_| RoomNameError::NotUtf8)?;
        match name.chars().find(|c| c.is_control()) {
            Some(control) => Err(RoomNameError::Control(control as u32)),
            None => Ok(RoomName(Arc::from(name))),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret under which this process hashes room names, so that nobody outside can choose names
/// that collide or pile up on one shard. Drawn at start, the same for all shards.
#[derive(Clone, Copy)]
pub struct RoomKey([u8; 16]);

impl RoomKey {
    /// A key of these random bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        RoomKey(bytes)
    }

    /// The id of the room with this name.
    pub fn id(&self, name: &RoomName) -> RoomId {
        RoomId(self.hash(&[name.as_str().as_bytes()]))
    }

    /// The keyed hash of these bytes, one part after another.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        parts.iter().for_each(|part| hasher.write(part));
        hasher.finish128().as_u128()
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomKey(secret)")
    }
}

/// Keyed 128-bit hash of a room's name. Two names with one id are possible in theory; the room's
/// home compares the names and refuses the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u128);

/// A hash map by [`RoomId`]: the id is a keyed hash already and is not hashed again.
pub type RoomMap<V> = std::collections::HashMap<RoomId, V, BuildHasherDefault<RoomIdHasher>>;

/// Takes the low half of a [`RoomId`] for its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoomIdHasher(u64);

impl Hasher for RoomIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only reached by keys other than a RoomId; still a hash, though a poor one.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(RoomName::new(b""), Err(RoomNameError::Empty));
        assert_eq!(
            RoomName::new(&[b'a'; 256]),
            Err(RoomNameError::TooLong(256))
        );
        assert_eq!(RoomName::new(b"\xff"), Err(RoomNameError::NotUtf8));
        assert_eq!(RoomName::new(b"a\nb"), Err(RoomNameError::Control(10)));
        assert_eq!(
            RoomName::new("a\u{85}".as_bytes()),
            Err(RoomNameError::Control(0x85))
        );
        assert!(RoomName::new(&[b'a'; 255]).is_ok());
        assert_eq!(
            RoomName::new("käse/#?".as_bytes()).map(|n| n.to_string()),
            Ok("käse/#?".into())
        );
    }

    #[test]
    fn the_key_decides_the_id_and_does_not_show() {
        let name = RoomName::new(b"lobby").unwrap();
        let one = RoomKey::new([1; 16]);
        assert_eq!(one.id(&name), one.id(&name));
        assert_ne!(one.id(&name), RoomKey::new([2; 16]).id(&name));
        assert_ne!(one.id(&name), one.id(&RoomName::new(b"lobbz").unwrap()));
        assert!(!format!("{one:?}").contains('1'));
    }
}
