//! A decoder with no cleverness: it reads a whole stream byte by byte, and checks all text so far at each byte.

use ringmain_proto::ws::{
    CloseCode, CloseFrame, Event, MessageKind, ParserSettings, Payload, ProtocolError, Role,
};

use crate::drive::Seen;

/// The events of a stream; the last may be an error.
pub fn decode(settings: &ParserSettings, stream: &[u8]) -> Vec<Seen> {
    let mut oracle = Oracle {
        settings,
        bytes: stream.iter(),
        message: None,
        seen: Vec::new(),
    };
    while let Some(go_on) = oracle.frame() {
        match go_on {
            Ok(Some(event)) => {
                let is_close = matches!(event, Event::Close(_));
                oracle.seen.push(Ok(event));
                if is_close {
                    break;
                }
            }
            Ok(None) => {}
            Err(error) => {
                oracle.seen.push(Err(error));
                break;
            }
        }
    }
    oracle.seen
}

struct Oracle<'s> {
    settings: &'s ParserSettings,
    bytes: std::slice::Iter<'s, u8>,
    /// Kind, payload so far, and whether it is compressed.
    message: Option<(MessageKind, Vec<u8>, bool)>,
    seen: Vec<Seen>,
}

type Step = Result<Option<Event<'static>>, ProtocolError>;

impl Oracle<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.bytes.next().copied()
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let mut number = 0;
        for _ in 0..bytes {
            number = number << 8 | u64::from(self.byte()?);
        }
        Some(number)
    }

    /// Reads one frame; `None` at the end of the stream.
    fn frame(&mut self) -> Option<Step> {
        let first = self.byte()?;
        let (fin, opcode) = (first >= 128, first % 16);
        let reserved = first / 16 % 8;
        let compressed = self.settings.compression && reserved == 4;
        if reserved != 0 && !compressed {
            return Some(Err(ProtocolError::ReservedBits));
        }
        if compressed && [0, 8, 9, 10].contains(&opcode) {
            return Some(Err(ProtocolError::CompressedBitMisplaced));
        }
        if ![0, 1, 2, 8, 9, 10].contains(&opcode) {
            return Some(Err(ProtocolError::ReservedOpcode(opcode)));
        }
        if opcode == 0 && self.message.is_none() {
            return Some(Err(ProtocolError::UnexpectedContinuation));
        }
        if (opcode == 1 || opcode == 2) && self.message.is_some() {
            return Some(Err(ProtocolError::InterleavedMessage));
        }
        if opcode >= 8 && !fin {
            return Some(Err(ProtocolError::FragmentedControl));
        }

        let second = self.byte()?;
        let masked = second >= 128;
        if masked != (self.settings.role == Role::Server) {
            return Some(Err(if masked {
                ProtocolError::Masked
            } else {
                ProtocolError::Unmasked
            }));
        }
        let short = u64::from(second % 128);
        if opcode >= 8 && short > 125 {
            return Some(Err(ProtocolError::ControlTooLong));
        }
        if opcode == 8 && short == 1 {
            return Some(Err(ProtocolError::CloseCodeTruncated));
        }
        let (length, least) = match short {
            126 => (self.number(2)?, 126),
            127 => (self.number(8)?, 65536),
            short => (short, 0),
        };
        if length >= 1 << 63 {
            return Some(Err(ProtocolError::LengthHighBit));
        }
        if length < least {
            return Some(Err(ProtocolError::LengthNotMinimal));
        }
        let bytes_max = self.settings.message_bytes_max;
        let bytes_before = self
            .message
            .as_ref()
            .map_or(0, |(_, payload, _)| payload.len());
        let is_compressed = self
            .message
            .as_ref()
            .map_or(compressed, |(.., compressed)| *compressed);
        let received_max = match is_compressed {
            true => bytes_max + bytes_max / 8 + 64,
            false => bytes_max,
        };
        if opcode < 8 && length + bytes_before as u64 > received_max as u64 {
            return Some(Err(ProtocolError::MessageTooBig { bytes_max }));
        }
        let mut key = [0; 4];
        if masked {
            for byte in &mut key {
                *byte = self.byte()?;
            }
        }
        if opcode >= 8 {
            self.control(opcode, length, key)
        } else {
            self.data(opcode, fin, length, key, compressed)
        }
    }

    fn control(&mut self, opcode: u8, length: u64, key: [u8; 4]) -> Option<Step> {
        let mut payload = Vec::new();
        for i in 0..length {
            payload.push(self.byte()? ^ key[i as usize % 4]);
        }
        Some(match opcode {
            9 => Ok(Some(Event::Ping(Payload::Owned(payload)))),
            10 => Ok(Some(Event::Pong(Payload::Owned(payload)))),
            _ => close(&payload).map(|frame| Some(Event::Close(frame))),
        })
    }

    fn data(
        &mut self,
        opcode: u8,
        fin: bool,
        length: u64,
        key: [u8; 4],
        compressed: bool,
    ) -> Option<Step> {
        if opcode != 0 {
            let kind = if opcode == 1 {
                MessageKind::Text
            } else {
                MessageKind::Binary
            };
            self.message = Some((kind, Vec::new(), compressed));
        }
        for i in 0..length {
            let byte = self.byte()? ^ key[i as usize % 4];
            let (kind, payload, compressed) = self.message.as_mut()?;
            payload.push(byte);
            // Text that is wrong whatever follows.
            if *kind == MessageKind::Text
                && !*compressed
                && std::str::from_utf8(payload).is_err_and(|error| error.error_len().is_some())
            {
                return Some(Err(ProtocolError::TextNotUtf8));
            }
        }
        if !fin {
            return Some(Ok(None));
        }
        let (kind, payload, compressed) = self.message.take()?;
        if compressed {
            let payload = Payload::Owned(payload);
            return Some(Ok(Some(Event::Compressed { kind, payload })));
        }
        if kind == MessageKind::Text && std::str::from_utf8(&payload).is_err() {
            return Some(Err(ProtocolError::TextNotUtf8));
        }
        Some(Ok(Some(Event::Message {
            kind,
            payload: Payload::Owned(payload),
        })))
    }
}

fn close(payload: &[u8]) -> Result<Option<CloseFrame>, ProtocolError> {
    if payload.is_empty() {
        return Ok(None);
    }
    let number = u16::from(payload[0]) * 256 + u16::from(payload[1]);
    let allowed = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
    ];
    if !allowed.contains(&number) && !(3000..5000).contains(&number) {
        return Err(ProtocolError::CloseCodeInvalid(number));
    }
    let reason =
        String::from_utf8(payload[2..].to_vec()).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
    Ok(CloseCode::new(number).map(|code| CloseFrame { code, reason }))
}
