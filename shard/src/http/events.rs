//! `GET /sse/{room}`: the request for an event stream, and the head of its response.
//!
//! The response ends when the connection does, whatever the client's version of HTTP: so an event looks the same to
//! all members, and is encoded once for all of them.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use super::Answer;
use super::routes::Plain;

const EVENT_STREAM: &str = "text/event-stream";

/// Whether the client takes an event stream (RFC 9110, section 12.5.1).
pub fn check_accept(headers: &HeaderMap) -> Result<(), Plain> {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    let is_silent = values.peek().is_none();
    let mut ranges = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    if is_silent || ranges.any(accepts_events) {
        return Ok(());
    }
    let body = "an event stream is served here: send Accept: text/event-stream\n";
    Err(Plain::new(StatusCode::NOT_ACCEPTABLE, body))
}

fn accepts_events(range: &[u8]) -> bool {
    let Ok(range) = std::str::from_utf8(range) else {
        return false;
    };
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let is_refused = parts.any(|parameter| {
        let quality = parameter
            .split_once('=')
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        quality.is_some_and(|(_, value)| value.trim().parse() == Ok(0.0))
    });
    let matches = [EVENT_STREAM, "text/*", "*/*"];
    matches.iter().any(|it| it.eq_ignore_ascii_case(kind)) && !is_refused
}

/// The headers of every event stream.
fn headers(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, EVENT_STREAM),
        // No proxy may keep it, nor gather it to compress it.
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The answer to `HEAD`: what `GET` would begin with.
pub fn head_only() -> Answer {
    let mut response = Response::default();
    headers(response.headers_mut());
    response
}

/// The head of the response as it is sent; hyper has no part in it, since the events come from elsewhere.
pub fn response_head(dress: impl FnOnce(&mut HeaderMap)) -> Bytes {
    let mut map = HeaderMap::new();
    headers(&mut map);
    map.insert(header::CONNECTION, HeaderValue::from_static("close"));
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    if let Ok(date) = HeaderValue::from_str(&date) {
        map.insert(header::DATE, date);
    }
    dress(&mut map);
    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in &map {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_no_events_is_told_so() {
        let check = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            check_accept(&headers).is_ok()
        };
        assert!(check_accept(&HeaderMap::new()).is_ok());
        for accept in [
            "text/event-stream",
            "*/*",
            "Text/*;q=0.1",
            "text/html,application/xml;q=0.9,*/*;q=0.8",
            "application/json, text/event-stream ; q=1",
        ] {
            assert!(check(accept), "{accept}");
        }
        for accept in [
            "application/json",
            "text/html",
            "*/*;q=0",
            "text/event-stream; Q=0.0",
            "",
        ] {
            assert!(!check(accept), "{accept}");
        }
    }
}
