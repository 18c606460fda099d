//! The envelope in which a room's publications travel between nodes.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | version: 1 |
//! | 1 | kind of the payload: 1 text, checked to be UTF-8; 2 binary; 3 several publications, one after another |
//! | 1 + n | name of the node that sends, behind its length |
//! | 8 | incarnation of that node, big-endian |
//! | 1 to 10 | generation of its stream into the room, seven bits a byte, lowest first |
//! | 1 to 10 | sequence in that stream, from 1, in the same form |
//! | rest | the payload, untouched; of several, 2 to 8,192, each as its kind, its length in the same form, its payload |
//!
//! The sequence is that of the first of several; each of the others has the next one.
//!
//! A node that gets another version refuses and counts it: nodes of two versions run side by side, and each delivers
//! what it understands.

use bytes::Bytes;

use super::limits::{BUNDLE_PARTS_MAX, NAME_BYTES_MAX};
use super::sending::Place;
use super::subject::NodeName;
use super::wire::{Reader, put_text, put_varint};
use crate::publication::PayloadKind;

/// The version of the protocol that is spoken here.
pub const VERSION: u8 = 1;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// Of an envelope that has several publications.
pub(super) const SEVERAL: u8 = 3;
/// Where an envelope has its kind.
pub(super) const KIND_AT: usize = 1;

/// Bytes that an envelope adds at most.
pub const ENVELOPE_BYTES_MAX: usize = 3 + NAME_BYTES_MAX + 8 + 10 + 10;

/// Why bytes from another node are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Of another version of the protocol.
    #[error("version {0}; this node speaks {VERSION}")]
    Version(u8),
    /// A kind that this version does not have.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// They end too early.
    #[error("it ends too early")]
    Short,
    /// A number is too large, or not in its shortest form.
    #[error("a number is too large or not in its shortest form")]
    Number,
    /// A name or text is too long.
    #[error("a text is too long")]
    TooLong,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A name breaks the rules of names.
    #[error("a name breaks the rules")]
    Name,
    /// More follows than there may be.
    #[error("there is more than there may be")]
    Trailing,
}

/// Who sends: the node, and since which start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub node: NodeName,
    /// Larger with each start.
    pub incarnation: u64,
}

impl Source {
    pub(super) fn put(&self, to: &mut Vec<u8>) {
        put_text(to, self.node.as_str(), NAME_BYTES_MAX);
        to.extend_from_slice(&self.incarnation.to_be_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let node = reader.text(NAME_BYTES_MAX)?;
        Ok(Source {
            node: node.parse().map_err(|_| WireError::Name)?,
            incarnation: reader.number()?,
        })
    }
}

/// Publications of one room on their way between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who sends it.
    pub source: Source,
    /// Which of the sender's streams into the room: larger each time the sender begins to count anew.
    pub generation: u64,
    /// The first one's place in the stream, from 1. Those behind it have the next ones.
    pub sequence: u64,
    /// What the first payload is.
    pub kind: PayloadKind,
    /// The first payload.
    pub payload: Bytes,
    /// The publications behind the first.
    pub more: Vec<(PayloadKind, Bytes)>,
}

impl Envelope {
    /// The envelope's bytes.
    pub fn encode(&self) -> Bytes {
        let place = Place {
            generation: self.generation,
            sequence: self.sequence,
        };
        let kind = match self.more.is_empty() {
            true => kind_byte(self.kind),
            false => SEVERAL,
        };
        let mut bytes = header(&self.source, kind, place, self.payload.len());
        if self.more.is_empty() {
            bytes.extend_from_slice(&self.payload);
        } else {
            put_part(&mut bytes, self.kind, &self.payload);
        }
        for (kind, payload) in &self.more {
            put_part(&mut bytes, *kind, payload);
        }
        bytes.into()
    }

    /// Reads an envelope. The payload is a part of `bytes`, not a copy.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        version(&mut reader)?;
        let kind = reader.byte()?;
        let single = match kind {
            SEVERAL => None,
            kind => Some(kind_of(kind)?),
        };
        let source = Source::read(&mut reader)?;
        let generation = reader.varint()?;
        let sequence = reader.varint()?;
        if sequence == 0 {
            return Err(WireError::Number);
        }
        let mut more = Vec::new();
        let (kind, payload) = match single {
            Some(kind) => (kind, checked(kind, reader.rest())?),
            None => {
                let first = part(&mut reader)?;
                more.push(part(&mut reader)?);
                while !reader.is_at_end() {
                    // Else a few bytes each would become much more here.
                    if more.len() + 1 >= BUNDLE_PARTS_MAX {
                        return Err(WireError::TooLong);
                    }
                    more.push(part(&mut reader)?);
                }
                first
            }
        };
        if sequence.checked_add(more.len() as u64).is_none() {
            return Err(WireError::Number);
        }
        Ok(Envelope {
            source,
            generation,
            sequence,
            kind,
            payload,
            more,
        })
    }
}

/// One of several.
fn part(reader: &mut Reader<'_>) -> Result<(PayloadKind, Bytes), WireError> {
    let kind = kind_of(reader.byte()?)?;
    let length = usize::try_from(reader.varint()?).map_err(|_| WireError::Short)?;
    Ok((kind, checked(kind, reader.slice(length)?)?))
}

fn checked(kind: PayloadKind, payload: Bytes) -> Result<Bytes, WireError> {
    if kind == PayloadKind::Text && std::str::from_utf8(&payload).is_err() {
        return Err(WireError::NotUtf8);
    }
    Ok(payload)
}

fn kind_of(byte: u8) -> Result<PayloadKind, WireError> {
    match byte {
        TEXT => Ok(PayloadKind::Text),
        BINARY => Ok(PayloadKind::Binary),
        kind => Err(WireError::Kind(kind)),
    }
}

pub(super) fn kind_byte(kind: PayloadKind) -> u8 {
    match kind {
        PayloadKind::Text => TEXT,
        PayloadKind::Binary => BINARY,
    }
}

/// All that comes before the payload, with room for so many bytes of it.
pub(super) fn header(source: &Source, kind: u8, place: Place, payload_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENVELOPE_BYTES_MAX + payload_bytes);
    bytes.extend_from_slice(&[VERSION, kind]);
    source.put(&mut bytes);
    put_varint(&mut bytes, place.generation);
    put_varint(&mut bytes, place.sequence);
    bytes
}

/// Appends one of several.
pub(super) fn put_part(to: &mut Vec<u8>, kind: PayloadKind, payload: &[u8]) {
    to.push(kind_byte(kind));
    put_varint(to, payload.len() as u64);
    to.extend_from_slice(payload);
}

pub(super) fn version(reader: &mut Reader<'_>) -> Result<(), WireError> {
    match reader.byte()? {
        VERSION => Ok(()),
        version => Err(WireError::Version(version)),
    }
}
