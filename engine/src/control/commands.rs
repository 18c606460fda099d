//! The admin server's commands: `POST /connections/{name}/close` and `POST /users/{user}/close`.
//!
//! They change what happens to clients, so they are taken from who shows the token that is configured; or, without one,
//! only from this host, and not through a proxy. From a page in a browser they are never taken: a page may send requests
//! anywhere, and says in `Origin` where it comes from.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use ringmain_nats::Handle;
use ringmain_router::cluster::Source;
use ringmain_router::order::{CODE, Outcome, USER_BYTES_MAX, Whom, Words};
use ringmain_router::{CloseOrder, CloseRequest};
use ringmain_shard::auth::{API_KEY_BYTES_MIN, ApiKey, ApiKeys};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::closing::Asks;
use crate::config::sections::CommandAccess;

/// What the shards have for an order. They carry it out a part each turn.
const CARRY_OUT_TIME: Duration = Duration::from_secs(5);
/// How often it is looked whether they are done.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Headers by which a proxy tells for whom it asks.
const FORWARDED: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];
/// Headers that browsers send for a page. Either is enough.
const OF_PAGES: [&str; 2] = ["origin", "sec-fetch-site"];
/// What is told of this to those who are closed, unless the command says something else.
const TEXT: &str = "closed by the operator";

/// Takes commands.
pub struct Commands {
    me: Source,
    asks: Asks,
    cluster: Option<Handle>,
    token: Option<ApiKeys>,
}

/// Why there is no token for commands.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its file.
    #[error("cannot read `token_file` of [commands], {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It could be guessed.
    #[error(
        "`token_file` of [commands], {}, holds a token of less than {API_KEY_BYTES_MIN} bytes: make one with `openssl rand -hex 32`",
        path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
    },
}

/// The token that commands have to show, if one is configured. Only its digest is kept.
///
/// # Errors
/// It cannot be had, or is no good.
pub fn token(section: &CommandAccess) -> Result<Option<ApiKeys>, TokenError> {
    let Some(path) = section.token_file.path() else {
        return Ok(None);
    };
    let path = path.to_owned();
    match std::fs::read_to_string(&path) {
        Ok(text) => match ApiKey::of_text("admin", text.trim()) {
            Some(key) => Ok(ApiKeys::new(vec![key])),
            None => Err(TokenError::Short { path }),
        },
        Err(source) => Err(TokenError::File { path, source }),
    }
}

/// The answer to a command.
pub type Answer = (StatusCode, Body);

/// What it says.
pub enum Body {
    /// In words, why nothing was done.
    Text(String),
    /// In numbers, what was done.
    Json(String),
}

/// What a command asks for.
#[derive(Debug, PartialEq, Eq)]
enum Path<'a> {
    Connection(&'a str),
    User(&'a str),
}

impl<'a> Path<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
            ("connections", name, "close", None) => Some(Path::Connection(name)),
            ("users", user, "close", None) => Some(Path::User(user)),
            _ => None,
        }
    }
}

/// Whether a path is a command's.
pub fn is_command(path: &str) -> bool {
    Path::of(path).is_some()
}

impl Commands {
    /// Of the node `me`; with this token, if there is one.
    pub fn new(me: Source, asks: Asks, cluster: Option<Handle>, token: Option<ApiKeys>) -> Self {
        Commands {
            me,
            asks,
            cluster,
            token,
        }
    }

    /// Carries out the command of a request, and says what has come of it.
    pub async fn answer(
        &self,
        peer: SocketAddr,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Answer {
        if method != Method::POST {
            let body = "commands are sent with POST\n".to_owned();
            return (StatusCode::METHOD_NOT_ALLOWED, Body::Text(body));
        }
        if let Err((status, body)) = allowed(self.token.as_ref(), peer, headers) {
            return (status, Body::Text(body.to_owned()));
        }
        match request(uri) {
            Ok(request) => self.close(request).await,
            Err(problem) => (StatusCode::BAD_REQUEST, Body::Text(format!("{problem}\n"))),
        }
    }

    async fn close(&self, request: CloseRequest) -> Answer {
        let is_here = match &request.whom {
            Whom::Connection(name) => name.is_of(&self.me),
            Whom::User(_) => true,
        };
        let is_elsewhere = !is_here || matches!(request.whom, Whom::User(_));
        let nodes_told = match &self.cluster {
            Some(cluster) if is_elsewhere => cluster.close(request.clone()).await,
            _ => 0,
        };
        let whom = format!("{:?}", request.whom);
        if !is_here && nodes_told == 0 {
            let body = "the node of this connection is not there, or has started anew\n";
            return (StatusCode::NOT_FOUND, Body::Text(body.to_owned()));
        }
        let outcome = match is_here {
            true => match self.asks.close(request).await {
                Some(order) => carried_out(&order).await,
                None => NOTHING,
            },
            false => Outcome {
                is_done: true,
                was_refused: false,
                closed: 0,
            },
        };
        tracing::info!(
            whom,
            closed = outcome.closed,
            nodes_told,
            is_done = outcome.is_done,
            was_refused = outcome.was_refused,
            "connections closed by order"
        );
        answer(outcome, nodes_told)
    }
}

/// What comes of an order that was not even taken.
const NOTHING: Outcome = Outcome {
    closed: 0,
    is_done: false,
    was_refused: true,
};

/// Waits until the shards have carried an order out, or their time is over.
async fn carried_out(order: &Arc<CloseOrder>) -> Outcome {
    let end = Instant::now() + CARRY_OUT_TIME;
    loop {
        let outcome = order.outcome();
        if outcome.is_done || Instant::now() >= end {
            return outcome;
        }
        sleep(LOOK_INTERVAL).await;
    }
}

fn answer(outcome: Outcome, nodes_told: usize) -> Answer {
    let is_whole = outcome.is_done && !outcome.was_refused;
    let status = match (outcome.closed, nodes_told) {
        _ if !is_whole => StatusCode::SERVICE_UNAVAILABLE,
        (0, 0) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    let body = json!({
        "closed": outcome.closed,
        "whole": is_whole,
        "nodes_told": nodes_told,
    });
    (status, Body::Json(format!("{body}\n")))
}

fn allowed(
    token: Option<&ApiKeys>,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    if OF_PAGES.iter().any(|name| headers.contains_key(*name)) {
        let body = "commands are not taken from pages in a browser\n";
        return Err((StatusCode::FORBIDDEN, body));
    }
    if let Some(token) = token {
        let shown = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let shown = shown.and_then(|it| it.strip_prefix("Bearer "));
        let body = "commands show the token of `token_file` as Authorization: Bearer\n";
        return match shown.is_some_and(|shown| token.matches(shown.trim())) {
            true => Ok(()),
            false => Err((StatusCode::UNAUTHORIZED, body)),
        };
    }
    // What a proxy on this host passes on comes from anywhere.
    let is_passed_on = FORWARDED.iter().any(|name| headers.contains_key(*name));
    if is_passed_on || !peer.ip().to_canonical().is_loopback() {
        let body =
            "commands are taken from this host alone, unless `token_file` of [commands] is set\n";
        return Err((StatusCode::FORBIDDEN, body));
    }
    Ok(())
}

/// What a command's address asks for: whom to close, and in its query `code` and `text` of the close frame.
fn request(uri: &Uri) -> Result<CloseRequest, String> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from)
            .map_err(|_| "it is not UTF-8 when it is decoded".to_owned())
    };
    let whom = match Path::of(uri.path()) {
        Some(Path::Connection(name)) => {
            let name = decoded(name)?.parse();
            Whom::Connection(name.map_err(|error| format!("{error}"))?)
        }
        Some(Path::User(user)) => {
            let user = decoded(user)?;
            if !(1..=USER_BYTES_MAX).contains(&user.len()) {
                return Err(format!("a user's name has 1 to {USER_BYTES_MAX} bytes"));
            }
            Whom::User(user)
        }
        None => return Err("there is no such command".to_owned()),
    };
    let (mut code, mut text) = (u64::from(CODE), TEXT.to_owned());
    let parameters = uri.query().unwrap_or_default().split('&');
    for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("code", value)) => {
                code = value.parse().map_err(|_| "`code` is a number".to_owned())?;
            }
            Some(("text", value)) => text = decoded(value)?,
            _ => return Err("the query takes `code` and `text`, each with a value".to_owned()),
        }
    }
    let words = Words::new(code, text).map_err(|error| error.to_string())?;
    Ok(CloseRequest { whom, words })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tls::FilePath;

    fn asked(address: &str) -> Result<CloseRequest, String> {
        request(&address.parse().unwrap())
    }

    #[test]
    fn a_command_says_whom_and_what_they_are_told() {
        let request = asked("/users/caf%C3%A9%2F1/close?code=4001&text=go%20away").unwrap();
        assert_eq!(request.whom, Whom::User("café/1".to_owned()));
        assert_eq!(request.words.code(), 4001);
        assert_eq!(request.words.text(), "go away");
        let request = asked("/connections/eu-1.3f9a0c2e.0.17.2/close").unwrap();
        let Whom::Connection(name) = request.whom else {
            panic!("{request:?}");
        };
        assert_eq!(name.to_string(), "eu-1.3f9a0c2e.0.17.2");
        assert_eq!((request.words.code(), request.words.text()), (1008, TEXT));
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_would_be_right() {
        for (address, says) in [
            ("/users//close", "1 to 255"),
            ("/users/%FF/close", "UTF-8"),
            ("/connections/7/close", "five parts"),
            ("/users/x/close?code=1000", "3000 to 4999"),
            ("/users/x/close?code=x", "number"),
            ("/users/x/close?reason=x", "`code` and `text`"),
        ] {
            let problem = asked(address).unwrap_err();
            assert!(problem.contains(says), "{address}: {problem}");
        }
        let long = format!("/users/x/close?text={}", "x".repeat(124));
        assert!(asked(&long).unwrap_err().contains("123"));
        for path in [
            "/users/x",
            "/users/x/close/",
            "/connections/close",
            "/close",
        ] {
            assert!(!is_command(path), "{path}");
        }
    }

    fn from(peer: &str, headers: &[(&'static str, &str)], token: Option<&ApiKeys>) -> u16 {
        let headers = headers.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        let refused = allowed(token, peer.parse().unwrap(), &headers.collect());
        refused.err().map_or(200, |(status, _)| status.as_u16())
    }

    #[test]
    fn without_a_token_other_hosts_proxies_and_pages_in_a_browser_are_refused() {
        for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(from(peer, &[], None), 200, "{peer}");
        }
        assert_eq!(from("10.0.0.1:1", &[], None), 403);
        for name in FORWARDED {
            assert_eq!(
                from("127.0.0.1:1", &[(name, "10.0.0.1")], None),
                403,
                "{name}"
            );
        }
        for page in [
            ("origin", "http://127.0.0.1"),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert_eq!(from("127.0.0.1:1", &[page], None), 403, "{page:?}");
        }
    }

    #[test]
    fn with_a_token_whoever_shows_it_is_let_in_and_nobody_else() {
        let token = ApiKeys::new(vec![ApiKey::of_text("admin", "a token of a test").unwrap()]);
        let token = token.as_ref();
        let good = ("authorization", "Bearer a token of a test");
        for peer in ["127.0.0.1:1", "10.0.0.1:1"] {
            assert_eq!(from(peer, &[good], token), 200);
            assert_eq!(from(peer, &[], token), 401, "this host needs it as well");
            let wrong = ("authorization", "Bearer a token of a tes");
            assert_eq!(from(peer, &[wrong], token), 401);
            let other = ("authorization", "Basic a token of a test");
            assert_eq!(from(peer, &[other], token), 401);
            assert_eq!(from(peer, &[good, ("origin", "null")], token), 403);
        }
    }

    #[test]
    fn a_token_comes_from_its_file_and_is_not_one_that_can_be_guessed() {
        let nowhere = CommandAccess {
            token_file: FilePath("/nowhere/token".to_owned()),
        };
        assert!(matches!(token(&nowhere), Err(TokenError::File { .. })));
        assert!(matches!(token(&CommandAccess::default()), Ok(None)));
        let path = std::env::temp_dir().join(format!("ringmain-token-{}", std::process::id()));
        let section = CommandAccess {
            token_file: FilePath(path.display().to_string()),
        };
        std::fs::write(&path, "short\n").unwrap();
        assert!(matches!(token(&section), Err(TokenError::Short { .. })));
        std::fs::write(&path, "long enough for a token\n").unwrap();
        let read = token(&section).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(read.matches("long enough for a token"));
    }
}
