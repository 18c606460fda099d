//! The pull parser: bytes in, one event out.

use super::header::{FrameHeader, is_control};
use super::unfinished::{Unfinished, whole_frame_event};
use super::{Event, ProtocolError};

/// Which side of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We are the server: frames that come in must be masked (RFC 6455, section 5.1).
    Server,
    /// We are the client: frames that come in must not be masked (RFC 6455, section 5.1).
    Client,
}

/// What a [`Parser`] must know; given at each call, so that a connection stores none of it.
#[derive(Clone, Copy, Debug)]
pub struct ParserSettings {
    /// Which side we are.
    pub role: Role,
    /// The largest message accepted, in bytes, put together from all its fragments (RFC 6455, section 10.4).
    pub message_bytes_max: usize,
    /// Whether the peer may compress its messages: permessage-deflate was negotiated (RFC 7692, section 5).
    pub compression: bool,
}

/// Parses the frames of one connection.
///
/// It is pulled: the caller asks for one event at a time and may stop after any, keeping the rest of its input
/// unparsed. Between messages it is [`size_of::<Parser>()`](size_of) bytes, at most 16; the state of an unfinished
/// message lies in a box that is freed at the message's end.
#[derive(Debug)]
pub struct Parser {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between messages, at the beginning of a frame.
    Idle,
    /// Within a frame, or between the fragments of a message.
    Unfinished(Box<Unfinished>),
    /// After a close frame or an error.
    Ended,
}

impl Parser {
    /// A parser for a new connection.
    pub const fn new() -> Self {
        Self { state: State::Idle }
    }

    /// Takes the next event off the front of `input`; returns it and what is left of `input`.
    ///
    /// Without an event, all of `input` is consumed: an unfinished rest is kept inside. Bytes of `input` that are
    /// consumed are changed: payloads are unmasked there.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] if the peer broke the protocol: the connection must be failed (RFC 6455, section 7.1.7).
    /// RFC 6455, 1.4 and 7.1.7: whatever follows an error or a close frame is ignored, so it is consumed without effect.
    #[inline]
    pub fn next<'b>(
        &mut self,
        settings: &ParserSettings,
        input: &'b mut [u8],
    ) -> Result<(Option<Event<'b>>, &'b mut [u8]), ProtocolError> {
        // A whole frame that is a whole event, with nothing kept from before: by far the commonest case.
        if let State::Idle = self.state
            && let Ok(Some(header)) = FrameHeader::decode(input, settings, None)
            && header.fin
            && input.len() - header.header_bytes >= header.payload_bytes
        {
            let (payload, rest) = input[header.header_bytes..].split_at_mut(header.payload_bytes);
            header.unmask(payload, 0);
            return match whole_frame_event(&header, payload) {
                Ok(event) => {
                    if let Event::Close(_) = event {
                        self.state = State::Ended;
                    }
                    Ok((Some(event), rest))
                }
                Err(error) => {
                    self.state = State::Ended;
                    Err(error)
                }
            };
        }
        self.next_in_pieces(settings, input)
    }

    /// Whether the next bytes, of which there is at least one in `input`, belong to a control frame: these may come amid a
    /// message (RFC 6455, section 5.4). So does whatever follows an error or a close frame.
    pub fn is_at_control_frame(&self, input: &[u8]) -> bool {
        match &self.state {
            State::Idle => input.first().is_some_and(|first| is_control(*first)),
            State::Unfinished(unfinished) => unfinished.is_at_control_frame(input),
            State::Ended => true,
        }
    }

    /// The bytes on the heap that this parser holds for an unfinished message.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Unfinished(unfinished) => unfinished.held_bytes(),
            State::Idle | State::Ended => 0,
        }
    }

    /// Everything that is not a whole event in one piece: the end of what was kept, fragments, and unfinished frames.
    fn next_in_pieces<'b>(
        &mut self,
        settings: &ParserSettings,
        input: &'b mut [u8],
    ) -> Result<(Option<Event<'b>>, &'b mut [u8]), ProtocolError> {
        if let State::Idle = self.state
            && !input.is_empty()
        {
            self.state = State::Unfinished(Box::default());
        }
        let State::Unfinished(unfinished) = &mut self.state else {
            // Nothing to parse, or nothing more to be parsed.
            return Ok((None, &mut []));
        };
        let result = unfinished.next(settings, input);
        match &result {
            Err(_) | Ok((Some(Event::Close(_)), _)) => self.state = State::Ended,
            Ok(_) if unfinished.is_empty() => self.state = State::Idle,
            Ok(_) => {}
        }
        result
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}
