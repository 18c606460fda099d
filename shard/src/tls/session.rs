//! One connection's TLS, from bytes to bytes.

use std::io::IoSlice;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus,
};
use rustls::{HandshakeKind, InvalidMessage, ServerConfig};

use super::sealed::Sealed;
use super::{SEAL_BYTES_MAX, signing};

/// What a record adds to what it carries, at most (RFC 8446, section 5.2), and what may go out before it: an answer to
/// the peer's new keys.
const RECORD_EXTRA_BYTES: usize = 256;
/// The plaintext of one record (RFC 8446, section 5.1).
const RECORD_BYTES: usize = 16 * 1024;
/// Room for the alert that ends a connection.
const ALERT_BYTES: usize = 128;
/// The beginning of what is not whole may be so long: one record of either version (RFC 5246, section 6.2.3), or a
/// handshake's message in as many records as its sender likes, with their headers. rustls itself would wait for 64 KiB
/// of a message, in records of a byte each.
const KEPT_BYTES_MAX: usize = 5 + RECORD_BYTES + 2048;
/// TLS's fatal alert `decode_error` (RFC 8446, section 6), before there are keys.
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// How far a connection's TLS has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client's hello is not answered yet: that takes a signature, unless it has a ticket.
    Hello,
    /// The client has yet to confirm.
    Answered,
    /// It carries data.
    Established,
    /// The peer speaks plain HTTP: there is no TLS.
    Plain,
    /// It carries nothing any more.
    Failed,
}

/// What the opening of received bytes has come to.
#[derive(Clone, Copy, Debug)]
pub enum Opened {
    /// What there is, is told by the plaintext; there may be none.
    Data,
    /// The handshake has just been done, and this is how.
    Established(HandshakeKind),
    /// The peer speaks plain HTTP.
    PlainHttp,
    /// Nothing of it is looked at any more.
    Nothing,
}

/// One connection's TLS.
pub struct Session {
    tls: UnbufferedServerConnection,
    stage: Stage,
    /// The beginning of what is not whole yet.
    kept: Vec<u8>,
    /// What the socket has not taken.
    leaving: Vec<u8>,
    /// The peer sends nothing more.
    peer_closed: bool,
    has_bid_farewell: bool,
    /// Its handshake counts among those under way. Apart from the stage, since a socket may fail at any of them.
    pub is_counted: bool,
    /// Somebody waits to send what is leaving.
    pub is_awaited: bool,
    /// What the core was last told of [`held_bytes`](Self::held_bytes).
    pub told_bytes: usize,
}

impl Session {
    /// A server's side at its beginning.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Session {
            tls: UnbufferedServerConnection::new(config)?,
            stage: Stage::Hello,
            kept: Vec::new(),
            leaving: Vec::new(),
            peer_closed: false,
            has_bid_farewell: false,
            is_counted: false,
            is_awaited: false,
            told_bytes: 0,
        })
    }

    /// Whether the hello waits for its answer.
    pub fn awaits_answer(&self) -> bool {
        self.stage == Stage::Hello
    }

    /// Whether the peer turned out to speak plain HTTP.
    pub fn is_plain(&self) -> bool {
        self.stage == Stage::Plain
    }

    /// Whether the peer has said that it sends nothing more.
    pub fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// The beginning of what is not whole yet: what is received next has to stand behind it.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// What the socket has not taken.
    pub fn leaving(&self) -> &[u8] {
        &self.leaving
    }

    /// Keeps bytes that the socket has not taken.
    pub fn keep_leaving(&mut self, sealed: &[u8]) {
        self.leaving.extend_from_slice(sealed);
    }

    /// The socket took so many.
    pub fn left(&mut self, bytes: usize) {
        self.leaving.drain(..bytes);
        if self.leaving.is_empty() {
            self.leaving = Vec::new();
        }
    }

    /// Nothing more can be sent or received.
    pub fn give_up(&mut self) {
        self.stage = Stage::Failed;
        self.leaving = Vec::new();
        self.kept = Vec::new();
    }

    /// Bytes that are kept, of both kinds.
    pub fn held_bytes(&self) -> usize {
        self.kept.len() + self.leaving.len()
    }

    /// Takes what was received, with [`kept`](Self::kept) in front, and appends what it says to `plain`. There may be
    /// something to send afterwards.
    ///
    /// # Errors
    /// What was wrong. The peer's alert is leaving.
    pub fn open(
        &mut self,
        received: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Opened, rustls::Error> {
        match self.stage {
            Stage::Plain | Stage::Failed => return Ok(Opened::Nothing),
            // A handshake record begins with 22, every HTTP method with a letter.
            Stage::Hello if received.first().is_some_and(u8::is_ascii_alphabetic) => {
                self.stage = Stage::Plain;
                return Ok(Opened::PlainHttp);
            }
            _ => {}
        }
        let signatures = signing::signatures();
        let mut at = 0;
        let result = loop {
            let UnbufferedStatus { mut discard, state } =
                self.tls.process_tls_records(&mut received[at..]);
            let mut is_last = false;
            let mut result = Ok(());
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                plain.extend_from_slice(record.payload);
                            }
                            Err(error) => result = Err(error),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.leaving);
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::Closed) => {
                    self.peer_closed = true;
                    is_last = true;
                }
                Ok(_) => is_last = true,
                Err(error) => result = Err(error),
            }
            at += discard;
            if result.is_err() || is_last {
                break result;
            }
        };
        if let Err(error) = result {
            self.encode_alert(&mut received[at..]);
            return Err(self.fail(error));
        }
        self.keep(&received[at..])?;
        Ok(self.progress(signing::signatures() != signatures))
    }

    fn fail(&mut self, error: rustls::Error) -> rustls::Error {
        self.stage = Stage::Failed;
        self.kept = Vec::new();
        error
    }

    /// Keeps the beginning of what is not whole yet, if it is not too long. What comes after the peer's last word is
    /// nothing.
    fn keep(&mut self, rest: &[u8]) -> Result<(), rustls::Error> {
        if self.peer_closed {
            self.kept = Vec::new();
            return Ok(());
        }
        if rest.len() > KEPT_BYTES_MAX {
            // Later it would have to be encrypted, and rustls has no way to ask for that.
            if self.stage == Stage::Hello && self.leaving.is_empty() {
                self.leaving.extend_from_slice(&DECODE_ERROR);
            }
            return Err(self.fail(InvalidMessage::HandshakePayloadTooLarge.into()));
        }
        self.kept = rest.to_vec();
        Ok(())
    }

    /// Notes how far the handshake has come.
    fn progress(&mut self, has_signed: bool) -> Opened {
        let kind = self.tls.handshake_kind();
        if self.stage == Stage::Hello && (has_signed || kind == Some(HandshakeKind::Resumed)) {
            self.stage = Stage::Answered;
        }
        if matches!(self.stage, Stage::Hello | Stage::Answered) && !self.tls.is_handshaking() {
            self.stage = Stage::Established;
            return Opened::Established(kind.unwrap_or(HandshakeKind::Full));
        }
        Opened::Data
    }

    /// After an error: what is to be said of it.
    fn encode_alert(&mut self, received: &mut [u8]) {
        // Only as long as there is something: rustls would look at what is wrong once more, and panic.
        while self.tls.wants_write() {
            let status = self.tls.process_tls_records(received);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else {
                break;
            };
            encode(&mut data, &mut self.leaving);
        }
    }

    /// Encrypts of these bytes as much as one write takes, and appends it to `sealed`. `plain` is room to lay them side
    /// by side. Returns how many it were; `None` if the connection carries nothing.
    pub fn seal(
        &mut self,
        slices: &[IoSlice<'_>],
        plain: &mut Vec<u8>,
        sealed: &mut Sealed,
    ) -> Option<usize> {
        if self.stage != Stage::Established || self.has_bid_farewell {
            return None;
        }
        let bytes = match slices {
            [slice] => &slice[..slice.len().min(SEAL_BYTES_MAX)],
            _ => {
                plain.clear();
                for slice in slices {
                    let left = SEAL_BYTES_MAX - plain.len();
                    plain.extend_from_slice(&slice[..slice.len().min(left)]);
                }
                plain
            }
        };
        let records = bytes.len() / RECORD_BYTES + 2;
        let room = bytes.len() + records * RECORD_EXTRA_BYTES;
        self.with_write_traffic(sealed, |traffic, sealed| {
            fill(sealed, room, |room| match traffic.encrypt(bytes, room) {
                Err(EncryptError::InsufficientSize(needed)) => Err(Some(needed)),
                other => other.map_err(|_| None),
            })
        })?;
        Some(bytes.len())
    }

    /// Encrypts by `encrypt`, after what has to go out before.
    fn with_write_traffic(
        &mut self,
        sealed: &mut Sealed,
        encrypt: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut Sealed,
        ) -> Option<()>,
    ) -> Option<()> {
        loop {
            // What is kept has to be shown: rustls may have looked at a part of it.
            let status = self.tls.process_tls_records(&mut self.kept);
            match status.state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return encrypt(&mut traffic, sealed);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let mut encoded = Vec::new();
                    encode(&mut data, &mut encoded);
                    sealed.room(encoded.len())[..encoded.len()].copy_from_slice(&encoded);
                    sealed.fill(encoded.len());
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
                _ => return None,
            }
        }
    }

    /// Adds to what is leaving that nothing more comes. Returns whether there is something to send.
    pub fn bid_farewell(&mut self) -> bool {
        if self.stage == Stage::Established && !std::mem::replace(&mut self.has_bid_farewell, true)
        {
            let mut sealed = Sealed::default();
            let _ = self.with_write_traffic(&mut sealed, |traffic, sealed| {
                fill(sealed, ALERT_BYTES, |room| {
                    match traffic.queue_close_notify(room) {
                        Err(EncryptError::InsufficientSize(needed)) => Err(Some(needed)),
                        other => other.map_err(|_| None),
                    }
                })
            });
            self.leaving.extend_from_slice(sealed.get(0..sealed.len()));
        }
        !self.leaving.is_empty()
    }
}

/// Appends what is to be sent.
fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, leaving: &mut Vec<u8>) {
    let mut sealed = Sealed::default();
    fill(&mut sealed, 0, |room| match data.encode(room) {
        Err(EncodeError::InsufficientSize(needed)) => Err(Some(needed)),
        other => other.map_err(|_| None),
    });
    leaving.extend_from_slice(sealed.get(0..sealed.len()));
}

/// Lets `write` fill room, and more room if it says that it needs it.
fn fill(
    sealed: &mut Sealed,
    bytes: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Option<()> {
    let written = match write(sealed.room(bytes)) {
        Err(Some(needed)) => write(sealed.room(needed.required_size)),
        other => other,
    };
    sealed.fill(written.ok()?);
    Some(())
}
