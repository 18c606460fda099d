//! The state of a message or a frame that has not all arrived.

use std::mem;

use super::deflate::compressed_bytes_max;
use super::header::{FrameHeader, HEADER_BYTES_MAX, OpenSize, is_control};
use super::text::TextProgress;
use super::{CloseFrame, Event, MessageKind, Opcode, ParserSettings, Payload, ProtocolError};

/// A message's buffer may be this large before its bytes have arrived; beyond, it is at most twice what has arrived.
const UNEARNED_BYTES_MAX: usize = 4096;

/// What is kept of a connection's input until the rest arrives.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// The first bytes of a header; used only while `frame` is `None`.
    header: PartialHeader,
    /// The frame whose payload is arriving.
    frame: Option<OpenFrame>,
    /// The message whose fragments are arriving.
    message: Option<OpenMessage>,
    /// The payload so far of a control frame; it can come amid the fragments of `message`.
    control: Vec<u8>,
}

#[derive(Debug, Default)]
struct PartialHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

#[derive(Debug)]
struct OpenFrame {
    header: FrameHeader,
    /// How much of the payload has arrived.
    arrived_bytes: usize,
}

#[derive(Debug)]
struct OpenMessage {
    kind: MessageKind,
    compressed: bool,
    payload: Vec<u8>,
    text: TextProgress,
}

impl Unfinished {
    /// As [`Parser::next`](super::Parser::next), with what was kept before as the beginning of the input.
    pub(super) fn next<'b>(
        &mut self,
        settings: &ParserSettings,
        mut input: &'b mut [u8],
    ) -> Result<(Option<Event<'b>>, &'b mut [u8]), ProtocolError> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.read_header(settings, &mut input)? {
                    Some(header) => OpenFrame {
                        header,
                        arrived_bytes: 0,
                    },
                    None => return Ok((None, input)),
                },
            };
            let missing_bytes = frame.header.payload_bytes - frame.arrived_bytes;
            let (piece, rest) = input.split_at_mut(missing_bytes.min(input.len()));
            input = rest;
            frame.header.unmask(piece, frame.arrived_bytes);
            frame.arrived_bytes += piece.len();

            let event = if frame.header.opcode.is_control() {
                self.add_control(&frame, piece)?
            } else {
                self.add_data(&frame, piece, settings.message_bytes_max)?
            };
            if event.is_some() {
                return Ok((event, input));
            }
            if !frame.is_complete() {
                self.frame = Some(frame);
                return Ok((None, input));
            }
        }
    }

    /// Whether nothing is kept, so that the next byte begins a new message.
    pub(super) fn is_empty(&self) -> bool {
        self.header.len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// As [`Parser::is_at_control_frame`](super::Parser::is_at_control_frame).
    pub(super) fn is_at_control_frame(&self, input: &[u8]) -> bool {
        match &self.frame {
            Some(frame) => frame.header.opcode.is_control(),
            None => {
                let kept = &self.header.bytes[..self.header.len];
                let first = kept.first().or(input.first());
                first.is_some_and(|first| is_control(*first))
            }
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let message_bytes = self
            .message
            .as_ref()
            .map_or(0, |message| message.payload.capacity());
        size_of::<Self>() + message_bytes + self.control.capacity()
    }

    /// Takes a header off the front of `input`; if it is not all there, keeps what is.
    fn read_header(
        &mut self,
        settings: &ParserSettings,
        input: &mut &mut [u8],
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        let Some(header) = self.decode_header(settings, input)? else {
            return Ok(None);
        };
        if let Some(kind) = header.opcode.message_kind() {
            self.message = Some(OpenMessage {
                kind,
                compressed: header.compressed,
                payload: Vec::new(),
                text: TextProgress::default(),
            });
        }
        Ok(Some(header))
    }

    fn decode_header(
        &mut self,
        settings: &ParserSettings,
        input: &mut &mut [u8],
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        let open = self.message.as_ref().map(|message| OpenSize {
            bytes: message.payload.len(),
            compressed: message.compressed,
        });
        if self.header.len == 0
            && let Some(header) = FrameHeader::decode(input, settings, open)?
        {
            *input = &mut mem::take(input)[header.header_bytes..];
            return Ok(Some(header));
        }
        // Byte by byte, since only the bytes themselves say how long the header is.
        while let Some((&mut byte, rest)) = mem::take(input).split_first_mut() {
            *input = rest;
            self.header.bytes[self.header.len] = byte;
            self.header.len += 1;
            let bytes = &self.header.bytes[..self.header.len];
            if let Some(header) = FrameHeader::decode(bytes, settings, open)? {
                self.header.len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Adds an unmasked piece to a control frame; returns its event if that was the last.
    fn add_control<'b>(
        &mut self,
        frame: &OpenFrame,
        piece: &'b [u8],
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let opcode = frame.header.opcode;
        if frame.is_complete() && self.control.is_empty() {
            return control_event(opcode, Payload::Borrowed(piece)).map(Some);
        }
        self.control.extend_from_slice(piece);
        if frame.is_complete() {
            return control_event(opcode, Payload::Owned(mem::take(&mut self.control))).map(Some);
        }
        Ok(None)
    }

    /// Adds an unmasked piece to the message; returns its event if that was the last.
    fn add_data<'b>(
        &mut self,
        frame: &OpenFrame,
        piece: &'b [u8],
        message_bytes_max: usize,
    ) -> Result<Option<Event<'b>>, ProtocolError> {
        let Some(message) = &mut self.message else {
            return Err(ProtocolError::UnexpectedContinuation);
        };
        let is_last = frame.header.fin && frame.is_complete();
        if is_last && message.payload.is_empty() {
            // All of the message lies in this piece: only its header, or nothing, came before.
            let (kind, compressed) = (message.kind, message.compressed);
            self.message = None;
            return message_event(kind, compressed, piece).map(Some);
        }

        let missing_bytes = frame.header.payload_bytes - frame.arrived_bytes;
        let message_bytes_max = if frame.header.fin {
            message.payload.len() + piece.len() + missing_bytes
        } else if message.compressed {
            compressed_bytes_max(message_bytes_max)
        } else {
            message_bytes_max
        };
        message.append(piece, message_bytes_max)?;
        if !is_last {
            return Ok(None);
        }
        let Some(message) = self.message.take() else {
            return Ok(None);
        };
        message.finish().map(Some)
    }
}

impl OpenFrame {
    fn is_complete(&self) -> bool {
        self.arrived_bytes == self.header.payload_bytes
    }
}

impl OpenMessage {
    /// Appends a piece of a message that can become no longer than `bytes_max`.
    ///
    /// The buffer grows with what has arrived, not with what a header declares, so that holding memory costs the peer
    /// as many bytes as it costs us.
    fn append(&mut self, piece: &[u8], bytes_max: usize) -> Result<(), ProtocolError> {
        let bytes = self.payload.len() + piece.len();
        if bytes > self.payload.capacity() {
            let capacity = bytes
                .saturating_mul(2)
                .max(UNEARNED_BYTES_MAX)
                .min(bytes_max)
                .max(bytes);
            self.payload.reserve_exact(capacity - self.payload.len());
        }
        self.payload.extend_from_slice(piece);
        match self.kind {
            MessageKind::Text if !self.compressed => self.text.advance(&self.payload),
            MessageKind::Text | MessageKind::Binary => Ok(()),
        }
    }

    fn finish(self) -> Result<Event<'static>, ProtocolError> {
        let kind = self.kind;
        if self.compressed {
            let payload = Payload::Owned(self.payload);
            return Ok(Event::Compressed { kind, payload });
        }
        if kind == MessageKind::Text {
            self.text.finish(&self.payload)?;
        }
        Ok(Event::Message {
            kind,
            payload: Payload::Owned(self.payload),
        })
    }
}

/// The event of a frame that is whole and not a fragment.
#[inline]
pub(super) fn whole_frame_event<'b>(
    header: &FrameHeader,
    payload: &'b [u8],
) -> Result<Event<'b>, ProtocolError> {
    match header.opcode.message_kind() {
        Some(kind) => message_event(kind, header.compressed, payload),
        None => control_event(header.opcode, Payload::Borrowed(payload)),
    }
}

#[inline]
fn message_event(
    kind: MessageKind,
    compressed: bool,
    payload: &[u8],
) -> Result<Event<'_>, ProtocolError> {
    if compressed {
        let payload = Payload::Borrowed(payload);
        return Ok(Event::Compressed { kind, payload });
    }
    // RFC 6455, 8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that the byte stream is not, in
    // fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket Connection_."
    if kind == MessageKind::Text && simdutf8::basic::from_utf8(payload).is_err() {
        return Err(ProtocolError::TextNotUtf8);
    }
    Ok(Event::Message {
        kind,
        payload: Payload::Borrowed(payload),
    })
}

fn control_event(opcode: Opcode, payload: Payload<'_>) -> Result<Event<'_>, ProtocolError> {
    match opcode {
        Opcode::Ping => Ok(Event::Ping(payload)),
        Opcode::Pong => Ok(Event::Pong(payload)),
        Opcode::Close => CloseFrame::from_payload(&payload).map(Event::Close),
        // The header's checks let these through only as parts of a message.
        Opcode::Continuation | Opcode::Text | Opcode::Binary => {
            Err(ProtocolError::UnexpectedContinuation)
        }
    }
}
