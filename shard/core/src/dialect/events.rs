//! `GET /sse/{room}`: an event stream (WHATWG HTML, "Server-sent events") of what the room is told. It only listens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringmain_proto::ws::{MessageKind, Payload};
use ringmain_router::{PayloadKind, Publication};

use super::{Actions, Dialect, Encoding};
use crate::close::{CloseEntry, Reconnect};

/// The name of the event that carries a binary message, in base64 (RFC 4648, section 4).
pub const BINARY_EVENT: &str = "ringmain.binary";
/// The name of the last event of a stream that the server closes.
pub const CLOSE_EVENT: &str = "ringmain.close";
/// A comment: it tells proxies, and a peer's system, that the stream is alive.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// When a client comes back that has lost its stream without a word, in milliseconds, before it is spread.
const RETRY_MS: u64 = 2_000;
/// The same when it was told to come back later.
const RETRY_LATER_MS: u64 = 10_000;
/// The same when it would fail in the same way: an `EventSource` comes back all the same, unless its page closes it.
const RETRY_IN_VAIN_MS: u64 = 60_000;

/// The event stream dialect. It has no state.
#[derive(Clone, Copy, Debug)]
pub struct Events;

impl Dialect for Events {
    /// A stream's client has no way to send a message.
    fn receive(
        &mut self,
        _: MessageKind,
        _: Payload<'_>,
        _: &mut impl Actions,
    ) -> Result<(), crate::CloseReason> {
        Ok(())
    }

    fn encoding(&self) -> Encoding {
        Encoding::EventStream
    }
}

/// A publication as one event.
pub fn event(publication: &Publication) -> Vec<u8> {
    match publication.kind {
        PayloadKind::Text => text_event(&publication.payload),
        PayloadKind::Binary => binary_event(&publication.payload),
    }
}

/// A line of data for each line of the text: a line ends with CR, LF or both, and no field holds one. The client puts
/// LF between them.
fn text_event(text: &[u8]) -> Vec<u8> {
    let mut event = Vec::with_capacity(text.len() + b"data: \n\n".len());
    let mut rest = Some(text);
    while let Some(text) = rest {
        let end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let line = &text[..end.unwrap_or(text.len())];
        rest = end.map(|end| match &text[end..] {
            [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
            [] => &[],
        });
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.push(b'\n');
    }
    event.push(b'\n');
    event
}

fn binary_event(payload: &[u8]) -> Vec<u8> {
    let data = STANDARD.encode(payload);
    format!("event: {BINARY_EVENT}\ndata: {data}\n\n").into_bytes()
}

/// The first bytes of a stream: when to come back if it is lost. `percent` spreads that, so that clients which lost
/// their streams together do not come back together.
pub fn opening(percent: u64) -> Vec<u8> {
    let retry_ms = RETRY_MS * percent / 100;
    format!("retry: {retry_ms}\n\n").into_bytes()
}

/// The last event of a stream: why it ends, and when to come back, spread as in [`opening`].
pub fn closing(entry: &CloseEntry, percent: u64) -> Vec<u8> {
    let (reconnect, retry_ms) = match entry.reconnect {
        Reconnect::Now => ("now", RETRY_MS),
        Reconnect::Later => ("later", RETRY_LATER_MS),
        Reconnect::No => ("no", RETRY_IN_VAIN_MS),
    };
    let (reason, text, retry_ms) = (entry.name, entry.text, retry_ms * percent / 100);
    format!(
        "event: {CLOSE_EVENT}\nretry: {retry_ms}\n\
         data: {{\"reason\":\"{reason}\",\"message\":\"{text}\",\"reconnect\":\"{reconnect}\"}}\n\n"
    )
    .into_bytes()
}
