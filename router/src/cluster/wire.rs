//! Numbers and texts in the bytes that nodes exchange.

use bytes::Bytes;

use super::envelope::WireError;

/// The longest form of a number: seven bits a byte.
const VARINT_BYTES_MAX: usize = 10;

/// Appends a number, seven bits a byte, lowest first; all bytes but the last have their highest bit set.
pub(super) fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Appends a text of up to `max` bytes, which are fewer than 256, behind its length. What is longer is cut between two
/// characters.
pub(super) fn put_text(to: &mut Vec<u8>, text: &str, max: usize) {
    let end = (0..=text.len().min(max).min(u8::MAX.into()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    to.push(end as u8);
    to.extend_from_slice(&text.as_bytes()[..end]);
}

/// What is left to be read.
pub(super) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a Bytes) -> Self {
        Reader { bytes, at: 0 }
    }

    pub fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    pub fn take(&mut self, bytes: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(bytes).ok_or(WireError::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(WireError::Short)?;
        self.at = end;
        Ok(taken)
    }

    pub fn number(&mut self) -> Result<u64, WireError> {
        let bytes = self.take(8)?;
        let mut number = [0; 8];
        number.copy_from_slice(bytes);
        Ok(u64::from_be_bytes(number))
    }

    pub fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for place in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            let shift = 7 * place as u32;
            if bits << shift >> shift != bits || (place > 0 && byte == 0) {
                return Err(WireError::Number);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(WireError::Number)
    }

    /// A text of at most `max` bytes.
    pub fn text(&mut self, max: usize) -> Result<&'a str, WireError> {
        let length = usize::from(self.byte()?);
        if length > max {
            return Err(WireError::TooLong);
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| WireError::NotUtf8)
    }

    /// The next bytes, without a copy.
    pub fn slice(&mut self, bytes: usize) -> Result<Bytes, WireError> {
        let from = self.at;
        self.take(bytes)?;
        Ok(self.bytes.slice(from..self.at))
    }

    /// All that is left, without a copy.
    pub fn rest(self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
}

/// A list behind its length, which is at most `max`.
pub(super) fn list<T>(
    reader: &mut Reader<'_>,
    max: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let length = reader.varint()?;
    if length > max as u64 {
        return Err(WireError::TooLong);
    }
    (0..length).map(|_| read(reader)).collect()
}
