//! `POST /rooms/{room}/messages`: publishes the request's body to the room's members.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use ringmain_core::{ConnId, Input, RateLimit, Verdict};
use ringmain_router::{PayloadKind, Publication, RoomName};

use super::Answer;
use super::routes::{self, Plain};
use crate::admission;
use crate::shell::Shell;

/// The connection ends with the answer: what is left of the body is not read.
const CLOSE: &[(&str, &str)] = &[("connection", "close")];
const CLOSE_AND_RETRY: &[(&str, &str)] = &[("connection", "close"), ("retry-after", "5")];
/// Room for a body that is made before it comes.
const BODY_BYTES_FIRST: usize = 16 * 1024;

/// Publishes a request's body, and answers once it is on its way to all members, or refused.
pub async fn publish(
    shell: &Shell,
    conn: ConnId,
    room: RoomName,
    request: Request<Incoming>,
) -> Result<Answer, Plain> {
    let kind = payload_kind(request.headers())?;
    let from = admission::publisher(shell, conn, request.headers());
    let payload = receive_body(shell, conn, request.into_body()).await?;
    if kind == PayloadKind::Text
        && let Err(error) = std::str::from_utf8(&payload)
    {
        let at = error.valid_up_to();
        let body = format!(
            "the body is not UTF-8 at byte {at}; send text as UTF-8, or bytes as application/octet-stream\n"
        );
        return Err(Plain::new(StatusCode::BAD_REQUEST, body));
    }
    let bytes = payload.len();
    let publication = Publication {
        kind,
        payload: Bytes::from(payload),
        exclude: None,
        // The core's to say: its handling begins there.
        began: None,
    };
    let name = room.clone();
    shell.publish(conn, room, publication, from);
    match shell.verdict(conn).await {
        Some(Verdict::Published) => {
            let id = shell.publication_id();
            tracing::debug!(id, room = %name, bytes, "published by HTTP");
            Ok(accepted(&id))
        }
        Some(Verdict::NameCollision) => Err(routes::collision()),
        Some(Verdict::TooFast { limit, retry_s }) => {
            let why = match limit {
                RateLimit::AddressMessages => {
                    "this address publishes no more messages at present, for its rate or since it is blocked"
                }
                _ => "the room takes no more messages at present, for its rate",
            };
            let body = format!("{why}; nothing was sent: try again in {retry_s} s\n");
            Err(Plain::new(StatusCode::TOO_MANY_REQUESTS, body).retry_after(retry_s))
        }
        Some(Verdict::Busy | Verdict::Granted | Verdict::Counted | Verdict::Refused { .. }) => {
            let body = "the room, or a shard with members of it, takes no more messages at present; nothing was sent: try again\n";
            Err(Plain::new(StatusCode::SERVICE_UNAVAILABLE, body).with(&[("retry-after", "1")]))
        }
        None => {
            let body = "the server is closing this connection; nothing was sent: try again\n";
            Err(Plain::new(StatusCode::SERVICE_UNAVAILABLE, body).with(CLOSE_AND_RETRY))
        }
    }
}

fn accepted(id: &str) -> Answer {
    let mut response = Response::new(Full::from(format!("{{\"id\":\"{id}\"}}\n")));
    *response.status_mut() = StatusCode::ACCEPTED;
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Takes the body in, within the bounds. The core counts it, and closes the connection when its time is over.
async fn receive_body(shell: &Shell, conn: ConnId, mut body: Incoming) -> Result<Vec<u8>, Plain> {
    let bytes_max = shell.policy().limits.message_bytes_max;
    let too_large = || {
        let body = format!("a message may have {bytes_max} bytes here, and this one has more\n");
        Plain::new(StatusCode::PAYLOAD_TOO_LARGE, body).with(CLOSE)
    };
    // Before anything of it is read: a client that waits for 100 (Continue) does not send it at all.
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(too_large());
    }
    let is_admitted = shell.turn(|core, now| {
        core.handle(now, Input::RequestBegun { conn });
        core.takes_bodies()
    });
    if !is_admitted {
        let body = "the server's memory is full; nothing was sent: try again later\n";
        return Err(Plain::new(StatusCode::SERVICE_UNAVAILABLE, body).with(CLOSE_AND_RETRY));
    }
    let mut payload = Vec::with_capacity(BODY_BYTES_FIRST.min(announced as usize));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let body = format!("the body cannot be read: {error}\n");
            Plain::new(StatusCode::BAD_REQUEST, body).with(CLOSE)
        })?;
        // What is no data is a trailer, which says nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if payload.len() + data.len() > bytes_max {
            return Err(too_large());
        }
        let bytes = data.len();
        shell.turn(|core, now| core.handle(now, Input::BodyReceived { conn, bytes }));
        payload.extend_from_slice(&data);
    }
    Ok(payload)
}

/// Whether a body is text or binary, by its `Content-Type`; without one it is binary.
fn payload_kind(headers: &HeaderMap) -> Result<PayloadKind, Plain> {
    let unsupported =
        |body: String| Plain::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, body).with(CLOSE);
    if let Some(coding) = headers.get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let body =
            format!("the Content-Encoding {coding:?} is not served; send the body as it is\n");
        return Err(
            unsupported(body).with(&[("connection", "close"), ("accept-encoding", "identity")])
        );
    }
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else {
        return Ok(PayloadKind::Binary);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let Some((kind, parameters)) = text.map(|text| text.split_once(';').unwrap_or((text, "")))
    else {
        return Err(unsupported(
            "there must be one Content-Type, in ASCII\n".to_owned(),
        ));
    };
    let kind = kind.trim().to_ascii_lowercase();
    if !kind.contains('/') || kind.starts_with("multipart/") {
        let body = format!(
            "the Content-Type {kind:?} is not served; the body is the message itself: send text/plain, application/json or application/octet-stream\n"
        );
        return Err(unsupported(body));
    }
    if !is_text(&kind) {
        return Ok(PayloadKind::Binary);
    }
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("charset")).then(|| value.trim().trim_matches('"'))
    });
    match charset {
        Some(charset)
            if !["utf-8", "utf8", "us-ascii"]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(charset)) =>
        {
            let body = format!("text in {charset:?} is not served; send it as UTF-8\n");
            Err(unsupported(body))
        }
        _ => Ok(PayloadKind::Text),
    }
}

/// Types whose bodies are text though their names do not begin with `text/`.
const TEXT_TYPES: [&str; 10] = [
    "application/json",
    "application/x-ndjson",
    "application/jsonl",
    "application/xml",
    "application/yaml",
    "application/toml",
    "application/javascript",
    "application/graphql",
    "application/sql",
    "application/x-www-form-urlencoded",
];

fn is_text(kind: &str) -> bool {
    let suffixes = ["+json", "+xml", "+yaml"];
    kind.starts_with("text/")
        || TEXT_TYPES.contains(&kind)
        || suffixes.iter().any(|suffix| kind.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(value: &'static str) -> Option<PayloadKind> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        payload_kind(&headers).ok()
    }

    #[test]
    fn the_content_type_says_whether_it_is_text() {
        assert_eq!(
            payload_kind(&HeaderMap::new()).ok(),
            Some(PayloadKind::Binary)
        );
        for text in [
            "text/plain",
            "Text/HTML; charset=UTF-8",
            "application/json",
            "application/json;charset=\"utf-8\"",
            "application/activity+json",
            "image/svg+xml",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(kind(text), Some(PayloadKind::Text), "{text}");
        }
        for binary in ["application/octet-stream", "image/png", "application/cbor"] {
            assert_eq!(kind(binary), Some(PayloadKind::Binary), "{binary}");
        }
        for refused in [
            "text/plain; charset=iso-8859-1",
            "multipart/form-data; boundary=x",
            "nonsense",
        ] {
            assert_eq!(kind(refused), None, "{refused}");
        }
    }
}
