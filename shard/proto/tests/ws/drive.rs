//! Driving the parser over a stream that arrives in pieces.

use ringmain_proto::ws::deflate::compressed_bytes_max;
use ringmain_proto::ws::{Event, Parser, ParserSettings, Payload, ProtocolError, Role};

/// What the parser said, detached from its input.
pub type Seen = Result<Event<'static>, ProtocolError>;

/// More than the parser's own state and a control frame need.
const HELD_SLACK_BYTES: usize = 512;

pub const SERVER: ParserSettings = ParserSettings {
    role: Role::Server,
    message_bytes_max: 1 << 20,
    compression: false,
};
pub const CLIENT: ParserSettings = ParserSettings {
    role: Role::Client,
    message_bytes_max: 1 << 20,
    compression: false,
};

/// Parses a stream that arrives whole.
pub fn parse(settings: &ParserSettings, stream: &[u8]) -> Vec<Seen> {
    parse_split(settings, stream, [])
}

/// Parses a stream that arrives one byte at a time.
pub fn parse_bytewise(settings: &ParserSettings, stream: &[u8]) -> Vec<Seen> {
    parse_split(settings, stream, 1..stream.len())
}

/// Parses a stream that arrives in pieces, cut at the positions given in ascending order; holds the parser to its
/// memory bound and its silence after the end.
pub fn parse_split(
    settings: &ParserSettings,
    stream: &[u8],
    cuts: impl IntoIterator<Item = usize>,
) -> Vec<Seen> {
    let mut parser = Parser::new();
    let mut seen = Vec::new();
    let mut start = 0;
    for end in cuts.into_iter().chain([stream.len()]) {
        let mut piece = stream[start..end].to_vec();
        start = end;
        feed(&mut parser, settings, &mut piece, &mut seen);
        assert!(
            parser.held_bytes() <= received_bytes_max(settings).saturating_add(HELD_SLACK_BYTES),
            "{parser:?}"
        );
        assert!(
            parser.held_bytes() <= 2 * end + 4096 + HELD_SLACK_BYTES,
            "{parser:?}"
        );
    }
    seen
}

/// How much of a message may have to be kept.
fn received_bytes_max(settings: &ParserSettings) -> usize {
    match settings.compression {
        true => compressed_bytes_max(settings.message_bytes_max),
        false => settings.message_bytes_max,
    }
}

/// Parses one piece to its end.
pub fn feed(
    parser: &mut Parser,
    settings: &ParserSettings,
    mut input: &mut [u8],
    seen: &mut Vec<Seen>,
) {
    loop {
        let ended = matches!(seen.last(), Some(Err(_) | Ok(Event::Close(_))));
        match parser.next(settings, input) {
            Ok((Some(event), rest)) => {
                assert!(!ended, "an event after the end: {event:?}");
                seen.push(Ok(detach(event)));
                input = rest;
            }
            Ok((None, rest)) => {
                assert!(rest.is_empty(), "no event, yet input is left");
                assert!(
                    !ended || parser.held_bytes() == 0,
                    "memory is held after the end"
                );
                return;
            }
            Err(error) => {
                assert!(!ended, "an error after the end: {error:?}");
                seen.push(Err(error));
                return;
            }
        }
    }
}

fn detach(event: Event<'_>) -> Event<'static> {
    let own = |payload: Payload<'_>| Payload::Owned(payload.into_vec());
    match event {
        Event::Message { kind, payload } => Event::Message {
            kind,
            payload: own(payload),
        },
        Event::Compressed { kind, payload } => Event::Compressed {
            kind,
            payload: own(payload),
        },
        Event::Ping(payload) => Event::Ping(own(payload)),
        Event::Pong(payload) => Event::Pong(own(payload)),
        Event::Close(frame) => Event::Close(frame),
    }
}

/// The event of a text message.
pub fn text(payload: &str) -> Seen {
    message(ringmain_proto::ws::MessageKind::Text, payload.as_bytes())
}

/// The event of a binary message.
pub fn binary(payload: &[u8]) -> Seen {
    message(ringmain_proto::ws::MessageKind::Binary, payload)
}

/// The event of a ping.
pub fn ping(payload: &[u8]) -> Seen {
    Ok(Event::Ping(Payload::Owned(payload.to_vec())))
}

/// The event of a pong.
pub fn pong(payload: &[u8]) -> Seen {
    Ok(Event::Pong(Payload::Owned(payload.to_vec())))
}

fn message(kind: ringmain_proto::ws::MessageKind, payload: &[u8]) -> Seen {
    Ok(Event::Message {
        kind,
        payload: Payload::Owned(payload.to_vec()),
    })
}
