//! Which request leads where.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use ringmain_core::{Target, Verdict};
use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::handshake::{self, Accept, HandshakeError};
use ringmain_router::RoomName;

type Answer = Response<Full<Bytes>>;

const PATHS: &str = "WebSocket paths:
  /raw/{room}   every message reaches the room's other members; ?self=1 sends it back too
  /echo         every message comes back
";

/// A response that ends the request: no upgrade.
#[derive(Debug)]
pub struct Plain {
    status: StatusCode,
    body: String,
    headers: &'static [(&'static str, &'static str)],
}

impl Plain {
    pub(super) fn new(status: StatusCode, body: impl Into<String>) -> Self {
        Plain {
            status,
            body: body.into(),
            headers: &[],
        }
    }

    /// The response.
    pub fn respond(self) -> Answer {
        let mut response = Response::new(Full::from(self.body));
        *response.status_mut() = self.status;
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        for &(name, value) in self.headers {
            response.headers_mut().insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        response
    }
}

/// Where an upgrade leads and what answers its handshake, or the response to a request that is none.
pub fn route<B>(request: &Request<B>) -> Result<(Target, Accept), Plain> {
    let target = target(request)?;
    if request.method() != Method::GET {
        let body = "only GET, as a WebSocket upgrade, is served here\n";
        let plain = Plain::new(StatusCode::METHOD_NOT_ALLOWED, body);
        return Err(Plain {
            headers: &[("allow", "GET")],
            ..plain
        });
    }
    let accept = handshake::validate(request.method(), request.version(), request.headers());
    let refused = |error: HandshakeError| Plain {
        headers: error.headers(),
        ..Plain::new(error.status(), format!("{error}\n"))
    };
    Ok((target, accept.map_err(refused)?))
}

fn target<B>(request: &Request<B>) -> Result<Target, Plain> {
    let path = request.uri().path();
    if path == "/echo" {
        return Ok(Target::Echo);
    }
    if path == "/" && matches!(*request.method(), Method::GET | Method::HEAD) {
        let body = format!("Ringmain {}\n\n{PATHS}", env!("CARGO_PKG_VERSION"));
        return Err(Plain::new(StatusCode::OK, body));
    }
    let Some(room) = path.strip_prefix("/raw/") else {
        return Err(Plain::new(
            StatusCode::NOT_FOUND,
            format!("nothing is served at {path}\n\n{PATHS}"),
        ));
    };
    let room: Vec<u8> = percent_decode_str(room).collect();
    let room = RoomName::new(&room);
    let room = room.map_err(|error| Plain::new(StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    let to_self = self_parameter(request.uri().query().unwrap_or_default())?;
    Ok(Target::Raw { room, to_self })
}

/// The value of `self` in a query: 1 or 0. Other parameters are for others to read.
fn self_parameter(query: &str) -> Result<bool, Plain> {
    match query.split('&').find_map(|pair| pair.strip_prefix("self=")) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => {
            let body = format!("the parameter self takes 0 or 1, not {other:?}\n");
            Err(Plain::new(StatusCode::BAD_REQUEST, body))
        }
    }
}

/// The answer to an upgrade whose verdict is there.
pub fn upgrade_answer(verdict: Verdict, accept: &Accept, compression: Option<Agreement>) -> Answer {
    if verdict == Verdict::NameCollision {
        let body = "the room's name collides with another's; choose another name\n";
        return Plain::new(StatusCode::CONFLICT, body).respond();
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(accept.as_str()) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let extensions = compression.map(|agreement| HeaderValue::from_str(&agreement.to_string()));
    if let Some(Ok(extensions)) = extensions {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
    }
    response
}
