//! Which request leads where.

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use ringmain_core::{Target, Verdict};
use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::handshake::{self, Accept, HandshakeError};
use ringmain_router::RoomName;

use super::{Answer, events};
use crate::journal::Refused;

const PATHS: &str = "By WebSocket:
  /raw/{room}   every message reaches the room's other members; ?self=1 sends it back too
  /echo         every message comes back

By HTTP:
  GET /sse/{room}               the room's messages as server-sent events
  POST /rooms/{room}/messages   publishes the body to the room's members
";

/// A response that ends the request: no upgrade.
#[derive(Debug)]
pub struct Plain {
    status: StatusCode,
    body: String,
    headers: &'static [(&'static str, &'static str)],
    /// The methods that there are.
    allow: Option<&'static str>,
    /// When to come again.
    retry_s: Option<u32>,
}

impl Plain {
    /// A response with a body for people.
    pub fn new(status: StatusCode, body: impl Into<String>) -> Self {
        Plain {
            status,
            body: body.into(),
            headers: &[],
            allow: None,
            retry_s: None,
        }
    }

    /// What to say of it, if it is an error.
    pub fn refused<'a>(&'a self, path: &'a str) -> Option<Refused<'a>> {
        let is_error = self.status.is_client_error() || self.status.is_server_error();
        is_error.then(|| Refused {
            status: self.status.as_u16(),
            path,
            why: &self.body,
        })
    }

    /// The same with these headers, and no others.
    pub fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Plain { headers, ..self }
    }

    /// The same with the advice to come again after so many seconds.
    pub fn retry_after(self, seconds: u32) -> Self {
        Plain {
            retry_s: Some(seconds),
            ..self
        }
    }

    /// The response.
    pub fn respond(self) -> Answer {
        let mut response = Response::new(Full::from(self.body));
        *response.status_mut() = self.status;
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        let allow = self.allow.map(|methods| ("allow", methods));
        for (name, value) in self.headers.iter().copied().chain(allow) {
            response.headers_mut().insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        if let Some(seconds) = self.retry_s {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What a path names.
#[derive(Clone, Debug)]
pub enum Resource {
    /// `/`: what there is.
    Root,
    /// `/echo`
    Echo,
    /// `/raw/{room}`
    Raw(RoomName),
    /// `/sse/{room}`
    Events(RoomName),
    /// `/rooms/{room}/messages`
    Messages(RoomName),
}

/// What a request asks for.
#[derive(Debug)]
pub enum Asked {
    /// The page of all paths.
    Root,
    /// A WebSocket, and what answers its handshake.
    Upgrade(Target, Accept),
    /// An event stream of the room.
    Events(RoomName),
    /// What that would begin with.
    EventsHead(RoomName),
    /// To publish the body to the room.
    Publish(RoomName),
    /// Which of these methods there are.
    Methods(&'static str),
}

impl Resource {
    /// Whether it is served by WebSocket alone.
    pub fn is_socket(&self) -> bool {
        matches!(self, Resource::Echo | Resource::Raw(_))
    }

    /// What it can be asked with.
    fn methods(&self) -> &'static str {
        match self {
            Resource::Root => "GET, HEAD",
            Resource::Echo | Resource::Raw(_) => "GET",
            Resource::Events(_) => "GET, HEAD, OPTIONS",
            Resource::Messages(_) => "POST, OPTIONS",
        }
    }
}

/// What a request's path names.
pub fn resource<B>(request: &Request<B>) -> Result<Resource, Plain> {
    let path = request.uri().path();
    if path == "/" {
        return Ok(Resource::Root);
    }
    if path == "/echo" {
        return Ok(Resource::Echo);
    }
    if let Some(room) = path.strip_prefix("/raw/") {
        return Ok(Resource::Raw(room_name(room)?));
    }
    if let Some(room) = path.strip_prefix("/sse/") {
        return Ok(Resource::Events(room_name(room)?));
    }
    let messages = path.strip_prefix("/rooms/");
    if let Some(room) = messages.and_then(|path| path.strip_suffix("/messages")) {
        return Ok(Resource::Messages(room_name(room)?));
    }
    Err(Plain::new(
        StatusCode::NOT_FOUND,
        format!("nothing is served at {path}\n\n{PATHS}"),
    ))
}

fn room_name(escaped: &str) -> Result<RoomName, Plain> {
    let room: Vec<u8> = percent_decode_str(escaped).collect();
    RoomName::new(&room).map_err(|error| Plain::new(StatusCode::BAD_REQUEST, format!("{error}\n")))
}

/// What a request asks of what its path names.
pub fn asked<B>(request: &Request<B>, resource: Resource) -> Result<Asked, Plain> {
    let method = request.method();
    let methods = resource.methods();
    match (resource, method) {
        (Resource::Root, &Method::GET | &Method::HEAD) => Ok(Asked::Root),
        (Resource::Echo, &Method::GET) => upgrade(request, Target::Echo),
        (Resource::Raw(room), &Method::GET) => {
            let to_self = self_parameter(request.uri().query().unwrap_or_default())?;
            upgrade(request, Target::Raw { room, to_self })
        }
        (Resource::Events(room), &Method::GET) => {
            events::check_accept(request.headers())?;
            Ok(Asked::Events(room))
        }
        (Resource::Events(room), &Method::HEAD) => {
            events::check_accept(request.headers())?;
            Ok(Asked::EventsHead(room))
        }
        (Resource::Messages(room), &Method::POST) => Ok(Asked::Publish(room)),
        (Resource::Events(_) | Resource::Messages(_), &Method::OPTIONS) => {
            Ok(Asked::Methods(methods))
        }
        (resource, _) => Err(wrong_method(&resource, methods)),
    }
}

fn wrong_method(resource: &Resource, methods: &'static str) -> Plain {
    let body = match resource {
        Resource::Root => "only GET is served here\n",
        Resource::Echo | Resource::Raw(_) => "only GET, as a WebSocket upgrade, is served here\n",
        Resource::Events(_) => "an event stream is served here, by GET\n",
        Resource::Messages(_) => "messages are published here, by POST\n",
    };
    let mut plain = Plain::new(StatusCode::METHOD_NOT_ALLOWED, body);
    plain.allow = Some(methods);
    plain
}

fn upgrade<B>(request: &Request<B>, target: Target) -> Result<Asked, Plain> {
    let accept = handshake::validate(request.method(), request.version(), request.headers());
    let refused = |error: HandshakeError| {
        Plain::new(error.status(), format!("{error}\n")).with(error.headers())
    };
    Ok(Asked::Upgrade(target, accept.map_err(refused)?))
}

/// The page of all paths.
pub fn root() -> Plain {
    let body = format!("Ringmain {}\n\n{PATHS}", env!("CARGO_PKG_VERSION"));
    Plain::new(StatusCode::OK, body)
}

/// The answer to `OPTIONS`.
pub fn methods(methods: &'static str) -> Answer {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// The value of `self` in a query: 1 or 0. Other parameters are for others to read.
fn self_parameter(query: &str) -> Result<bool, Plain> {
    match query.split('&').find_map(|pair| pair.strip_prefix("self=")) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        // Without what it is: the answer's text stands in the log, and a query may hold a token.
        Some(_) => {
            let body = "the parameter self takes 0 or 1, and nothing else\n";
            Err(Plain::new(StatusCode::BAD_REQUEST, body))
        }
    }
}

/// The connection ends with the answer. It is counted for a client, and another request might be another's.
pub const LAST: &[(&str, &str)] = &[("connection", "close")];

/// The answer to a join whose room's name collides with another's.
pub fn collision() -> Plain {
    let body = "the room's name collides with another's; choose another name\n";
    Plain::new(StatusCode::CONFLICT, body).with(LAST)
}

/// The answer to an upgrade whose verdict is there.
pub fn upgrade_answer(verdict: Verdict, accept: &Accept, compression: Option<Agreement>) -> Answer {
    if verdict != Verdict::Granted {
        return collision().respond();
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
