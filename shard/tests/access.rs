//! Tokens and rights on real sockets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Client, Got, backends, config, dial, frame, read_to_end, stop};
use ringmain_core::{Limits, Pattern, RefusedPublish, RefusedToken, Rights, RoomRule};
use ringmain_proto::ws::Opcode;
use ringmain_shard::auth::{
    Accepted, Algorithm, ApiKey, ApiKeys, Authentication, Key, SigningKey, TokenVerifier, sign,
};
use ringmain_shard::{Node, NodeConfig, Origins, Policy, start};
use serde_json::{Value, json};

const SECRET: &[u8] = b"a secret of more than thirty-two bytes";
const API_KEY: &str = "an-api-key-for-the-back-end-of-the-shop";

fn authentication(anonymous: Option<Rights>) -> Authentication {
    let key = Key::secret(Some("k1".into()), SECRET).unwrap();
    Authentication::new(Accepted {
        tokens: TokenVerifier::new(vec![key]),
        api_keys: ApiKeys::new(vec![ApiKey::of_text("shop", API_KEY).unwrap()]).unwrap(),
        anonymous,
        cookie: Some("session".into()),
        query: None,
        message_wait_ms: Some(2_000),
    })
}

fn node(config: NodeConfig, auth: Authentication, limits: Limits) -> Node {
    let policy = Policy {
        limits,
        connections_max: 1_000,
        auth: Arc::new(auth),
        ..Policy::default()
    };
    start(NodeConfig {
        policy: Arc::new(policy),
        ..config
    })
    .unwrap()
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn token(claims: Value) -> String {
    let key = SigningKey::new(Some("k1".into()), Algorithm::Hs256, SECRET).unwrap();
    sign(&key, claims.as_object().unwrap()).unwrap()
}

/// One that may do everything in rooms of this pattern.
fn token_for(rooms: &str) -> String {
    let rooms = json!([{ "match": rooms, "join": true, "publish": true }]);
    token(json!({ "sub": "ann", "exp": now_s() + 600, "rooms": rooms }))
}

/// How many tokens were refused, by each reason that there was.
fn refused_tokens(node: &Node) -> Vec<(&'static str, u64)> {
    let counts = RefusedToken::NAMES.map(|(name, reason)| {
        let shards = node.shards().iter();
        let counts = shards.map(|shard| shard.stats().tokens_refused[reason as usize].get());
        (name, counts.sum())
    });
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Sends a handshake with more headers.
fn ask(address: SocketAddr, path: &str, headers: &str) -> std::net::TcpStream {
    let mut stream = dial(address);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn join(address: SocketAddr, path: &str, headers: &str) -> Client {
    Client::upgraded(ask(address, path, headers))
}

/// The answer to a request that is refused, head and body.
fn refusal(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = ask(address, path, &format!("{headers}Connection: close\r\n"));
    read_to_end(&mut stream)
}

fn post(address: SocketAddr, room: &str, headers: &str) -> String {
    let mut stream = dial(address);
    let request = format!(
        "POST /rooms/{room}/messages HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\n\
         Content-Length: 5\r\nConnection: close\r\n{headers}\r\nhello"
    );
    stream.write_all(request.as_bytes()).unwrap();
    read_to_end(&mut stream)
}

#[test]
fn a_token_lets_in_wherever_it_is_and_only_where_it_says() {
    for backend in backends() {
        let node = node(config(backend, 2), authentication(None), Limits::default());
        let address = node.address();
        let token = token_for("chat:*");
        for headers in [
            bearer(&token),
            format!("Cookie: theme=dark; session={token}\r\n"),
        ] {
            let mut ann = join(address, "/raw/chat:a?self=1", &headers);
            ann.send(b"hello");
            ann.expect_message(b"hello");
        }
        for (path, headers, status, says) in [
            ("/raw/chat:a", String::new(), 401, "without a token"),
            ("/raw/news", bearer(&token), 403, "not allowed"),
            ("/sse/news", bearer(&token), 403, "not allowed"),
            ("/echo", String::new(), 401, "without a token"),
            (
                "/raw/chat:a",
                bearer("nonsense"),
                401,
                "the token is refused",
            ),
            ("/raw/chat:a", bearer(API_KEY), 403, "publishing"),
            // Not where it was not enabled.
            (
                &*format!("/raw/chat:a?token={token}"),
                String::new(),
                401,
                "without a token",
            ),
        ] {
            let answer = refusal(address, path, &headers);
            let head = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&head), "{path}: {answer}");
            assert!(answer.contains(says), "{path}: {answer}");
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
            assert!(!answer.contains(&token), "{answer}");
        }
        // The API key, and who has no token, are none of them.
        assert_eq!(refused_tokens(&node), [("malformed", 1), ("rights", 2)]);
        stop(node);
    }
}

#[test]
fn browsers_offer_the_token_as_a_subprotocol_and_never_get_it_back() {
    for backend in backends() {
        let node = node(config(backend, 1), authentication(None), Limits::default());
        let token = token_for("*");
        let offer = format!("Sec-WebSocket-Protocol: ringmain.v1, bearer.{token}\r\n");
        let mut stream = ask(node.address(), "/raw/chat", &offer);
        stream.write_all(&frame(Opcode::Close, &[])).unwrap();
        let answer = {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(
            answer.contains("sec-websocket-protocol: ringmain.v1\r\n"),
            "{answer}"
        );
        assert!(!answer.contains("bearer"), "{answer}");
        stop(node);
    }
}

#[test]
fn a_cookie_counts_for_nothing_from_a_page_that_could_be_anybodys() {
    for backend in backends() {
        for (pattern, page) in [("*", "https://evil.example"), ("null", "null")] {
            let allowed = ["https://good.example", pattern];
            let policy = Policy {
                connections_max: 1_000,
                auth: Arc::new(authentication(None)),
                origins: Origins {
                    allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(),
                    missing_allowed: true,
                },
                ..Policy::default()
            };
            let node = start(NodeConfig {
                policy: Arc::new(policy),
                ..config(backend, 1)
            })
            .unwrap();
            let address = node.address();
            let token = token_for("chat");
            let cookie = format!("Cookie: session={token}\r\n");
            let (page, good) = (
                format!("Origin: {page}\r\n"),
                "Origin: https://good.example\r\n".to_owned(),
            );
            let tries = |headers: &str| {
                let mut raw = ask(address, "/raw/chat", headers);
                let mut sse = ask(address, "/sse/chat", headers);
                let heads = [common::head(&mut raw), common::head(&mut sse)];
                let all = heads.into_iter().chain([post(address, "chat", headers)]);
                all.map(|head| head[9..12].to_owned()).collect::<Vec<_>>()
            };
            // With the cookie it is the user who asks only if it is known whose page did.
            assert_eq!(tries(&(cookie.clone() + &page)), ["401", "401", "401"]);
            assert_eq!(tries(&(cookie.clone() + &good)), ["101", "200", "202"]);
            assert_eq!(tries(&cookie), ["101", "200", "202"]);
            // Such a page may show a token of its own.
            assert_eq!(tries(&(bearer(&token) + &page)), ["101", "200", "202"]);
            let answer = refusal(address, "/raw/chat", &(cookie + &page));
            assert!(answer.contains("`origins`"), "{answer}");
            stop(node);
        }
    }
}

#[test]
fn back_ends_publish_with_a_key_or_a_token_and_others_do_not() {
    for backend in backends() {
        let node = node(config(backend, 2), authentication(None), Limits::default());
        let address = node.address();
        let token = token_for("chat");
        let mut ann = join(address, "/raw/chat", &bearer(&token));
        for headers in [bearer(API_KEY), bearer(&token)] {
            let answer = post(address, "chat", &headers);
            assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
            ann.expect_message(b"hello");
        }
        drop(ann);
        for (room, headers, status) in [
            ("chat", String::new(), 401),
            (
                "chat",
                bearer("an-api-key-for-the-back-end-of-the-ship"),
                401,
            ),
            ("other", bearer(&token), 403),
        ] {
            let answer = post(address, room, &headers);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
        stop(node);
    }
}

#[test]
fn the_anonymous_may_do_what_is_set_for_them() {
    for backend in backends() {
        let rules = vec![RoomRule {
            rooms: Pattern::new("public:*").unwrap(),
            join: true,
            publish: false,
        }];
        let auth = authentication(Rights::new(rules));
        let limits = Limits {
            refused_publish: RefusedPublish::Drop,
            ..Limits::default()
        };
        let node = node(config(backend, 1), auth, limits);
        let address = node.address();
        let mut guest = join(address, "/raw/public:a", "");
        let mut ann = join(address, "/raw/public:a", &bearer(&token_for("*")));
        guest.send(b"not allowed");
        // Not closed for it, and the dropped message was before this.
        ann.send(b"hello");
        guest.expect_message(b"hello");
        guest.send(b"not allowed either");
        ann.send(b"again");
        guest.expect_message(b"again");
        drop((guest, ann));
        let answer = post(address, "public:a", "");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        let answer = refusal(address, "/raw/private", "");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        stop(node);
    }
}

#[test]
fn a_first_message_may_be_the_token_and_is_never_relayed() {
    for backend in backends() {
        let node = node(config(backend, 2), authentication(None), Limits::default());
        let address = node.address();
        let token = token_for("chat");
        let mut ann = join(address, "/raw/chat", &bearer(&token));
        let mut bob = join(address, "/raw/chat?auth=message", "");
        let text = frame(Opcode::Text, token.as_bytes());
        let hello = frame(Opcode::Binary, b"hello");
        bob.stream.write_all(&[text, hello].concat()).unwrap();
        ann.expect_message(b"hello");
        ann.send(b"welcome");
        bob.expect_message(b"welcome");
        drop((ann, bob));
        // Refused, and too late.
        let mut eve = join(address, "/raw/chat?auth=message", "");
        let wrong = frame(Opcode::Text, b"eyJhbGciOiJub25lIn0.e30.");
        eve.stream.write_all(&wrong).unwrap();
        let mut elsewhere = join(address, "/raw/elsewhere?auth=message", "");
        let text = frame(Opcode::Text, token.as_bytes());
        elsewhere.stream.write_all(&text).unwrap();
        for (mut client, code, says) in [
            (eve, 3000, "the token is refused"),
            (elsewhere, 3000, "not allowed"),
            (
                join(address, "/raw/chat?auth=message", ""),
                3008,
                "no token came",
            ),
        ] {
            match client.next() {
                Got::Close(Some(frame)) => {
                    assert_eq!(frame.code.get(), code, "{frame:?}");
                    assert!(frame.reason.contains(says), "{frame:?}");
                }
                other => panic!("{other:?} instead of a close"),
            }
            drop(client);
        }
        assert_eq!(refused_tokens(&node), [("algorithm", 1), ("rights", 1)]);
        stop(node);
    }
}

#[test]
fn an_expired_token_ends_the_connection_with_advice() {
    for backend in backends() {
        let node = node(config(backend, 1), authentication(None), Limits::default());
        let rooms = json!([{ "match": "*", "join": true, "publish": false }]);
        let soon = token(json!({ "exp": now_s() + 2, "rooms": rooms }));
        let mut ann = join(node.address(), "/raw/chat", &bearer(&soon));
        match ann.next() {
            Got::Close(Some(frame)) => {
                assert_eq!(frame.code.get(), 3000);
                assert!(frame.reason.contains("connect again with a new one"));
            }
            other => panic!("{other:?} instead of a close"),
        }
        drop(ann);
        let answer = refusal(
            node.address(),
            "/raw/chat",
            &bearer(&token(json!({ "exp": now_s() - 300 }))),
        );
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("expired"), "{answer}");
        // That of the connection was good when it was looked at.
        assert_eq!(refused_tokens(&node), [("expired", 1)]);
        stop(node);
    }
}

#[test]
fn who_may_not_publish_is_closed() {
    for backend in backends() {
        let node = node(config(backend, 1), authentication(None), Limits::default());
        let rooms = json!([{ "match": "*", "join": true, "publish": false }]);
        let listens = token(json!({ "exp": now_s() + 600, "rooms": rooms }));
        let mut ann = join(node.address(), "/raw/chat", &bearer(&listens));
        ann.send(b"not allowed");
        match ann.next() {
            Got::Close(Some(frame)) => assert_eq!(frame.code.get(), 1008),
            other => panic!("{other:?} instead of a close"),
        }
        drop(ann);
        stop(node);
    }
}

#[test]
fn a_user_has_exactly_as_many_connections_as_it_may_wherever_the_token_is() {
    for backend in backends() {
        let limits = Limits {
            connections_per_user: 3,
            ..Limits::default()
        };
        let node = node(config(backend, 4), authentication(None), limits);
        let address = node.address();
        let ann = token_for("*");
        let first_message = |token: &str| {
            let mut client = join(address, "/raw/a?auth=message", "");
            let text = frame(Opcode::Text, token.as_bytes());
            client.stream.write_all(&text).unwrap();
            client
        };
        let by_request = join(address, "/raw/a", &bearer(&ann));
        let mut by_message = first_message(&ann);
        let mut stream = dial(address);
        let request = format!("GET /sse/a HTTP/1.1\r\nHost: test\r\n{}\r\n", bearer(&ann));
        stream.write_all(request.as_bytes()).unwrap();
        let mut third = common::head(&mut stream);
        assert!(third.starts_with("HTTP/1.1 200 "), "{third}");
        // Wherever the fourth shows its token.
        for path in ["/raw/a", "/sse/a"] {
            let answer = refusal(address, path, &bearer(&ann));
            assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
            assert!(answer.contains("retry-after: 5"), "{answer}");
            assert!(
                answer.contains("this user has as many connections"),
                "{answer}"
            );
        }
        match first_message(&ann).next() {
            Got::Close(Some(frame)) => assert_eq!(frame.code.get(), 1013, "{frame:?}"),
            other => panic!("{other:?} instead of a close"),
        }
        // Others are not concerned, nor are those who are in.
        let rooms = json!([{ "match": "*", "join": true, "publish": true }]);
        let bob = token(json!({ "sub": "bob", "exp": now_s() + 600, "rooms": rooms }));
        let mut bob = join(address, "/raw/a", &bearer(&bob));
        bob.send(b"hello");
        by_message.expect_message(b"hello");
        drop(by_request);
        common::until("a slot is free again", || {
            third = common::head(&mut ask(address, "/raw/a", &bearer(&ann)));
            third.starts_with("HTTP/1.1 101 ")
        });
        stop(node);
    }
}
