//! Tokens as configured: files, reload, what is refused at start, and that no secret is ever shown.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ringmain::config::{Config, Layer, render};
use ringmain_core::RefusedPublish;
use ringmain_shard::auth::{Algorithm, SigningKey, sign};
use serde_json::json;
use support::{BACKENDS, Engine, ask, temporary};

const DONE: &str = "all shards go by the new configuration";
const OLD: &str = "the-old-secret-of-more-than-thirty-two-bytes";
const NEW: &str = "the-new-secret-of-more-than-thirty-two-bytes";
const API_KEY: &str = "the-api-key-of-the-shop-in-this-test";

fn token(secret: &str) -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = json!({
        "sub": "ann",
        "exp": since_1970.as_secs() + 600,
        "rooms": [{ "match": "*", "join": true, "publish": true }],
    });
    let key = SigningKey::new(None, Algorithm::Hs256, secret.as_bytes()).unwrap();
    sign(&key, claims.as_object().unwrap()).unwrap()
}

/// The status that a handshake with this token gets.
fn status(address: &str, token: Option<&str>) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let authorization = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let request = format!(
        "GET /raw/chat HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

#[test]
fn keys_are_read_from_files_and_exchanged_by_a_reload_and_never_shown() {
    for backend in BACKENDS {
        let secret = temporary("auth-secret", &format!("{OLD}\n"));
        let text = format!(
            "log = \"trace\"\nkeep_alive_seconds = 1\n[auth]\nquery_parameter = \"token\"\n[[auth.keys]]\nalgorithm = \"HS256\"\n\
             secret_file = \"{}\"\n[[auth.api_keys]]\nname = \"shop\"\nkey = \"{API_KEY}\"\n",
            secret.0
        );
        let file = temporary("auth", &text);
        let engine = Engine::serve(backend, &["--config", &file.0]);
        let (address, admin) = (engine.listening(), engine.admin());
        let (old, new) = (token(OLD), token(NEW));
        assert_eq!(status(&address, Some(&old)), 101);
        assert_eq!(status(&address, Some(&new)), 401);
        assert_eq!(status(&address, None), 401);
        std::fs::write(&secret.0, NEW).unwrap();
        engine.signal("HUP");
        engine.says(DONE);
        assert_eq!(status(&address, Some(&old)), 401);
        assert_eq!(status(&address, Some(&new)), 101);
        // What cannot be used changes nothing.
        std::fs::write(&secret.0, "too short").unwrap();
        engine.signal("HUP");
        let output = engine.says("a secret has at least 32 bytes");
        assert!(output.contains("[[auth.keys]]"), "{output}");
        assert_eq!(status(&address, Some(&new)), 101);
        let answer = ask(&address, &format!("GET /raw/chat?token={new}x"));
        assert!(!answer.body.contains(&new), "{}", answer.body);
        let metrics = ask(&admin, "GET /metrics").body;
        engine.signal("TERM");
        let (code, output) = engine.end();
        assert_eq!(code, Some(0));
        let lines = output.lines().count();
        assert!(lines > 20, "it logs all there is: {lines}");
        for shown in [&output, &metrics] {
            for secret in [OLD, NEW, API_KEY, &*old, &*new] {
                assert!(!shown.contains(secret), "{secret} is shown:\n{shown}");
            }
        }
    }
}

#[test]
fn without_a_usable_key_it_does_not_start_and_says_why() {
    let short = temporary("auth-short", "short");
    for (section, says) in [
        (
            "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret_file = \"/nowhere/secret\"\n".to_owned(),
            "cannot read /nowhere/secret",
        ),
        (
            format!(
                "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret_file = \"{}\"\n",
                short.0
            ),
            "a secret has at least 32 bytes, this one has 5",
        ),
        (
            format!(
                "[[auth.keys]]\nalgorithm = \"ES256\"\npublic_key_file = \"{}\"\n",
                short.0
            ),
            "it is no public key in PEM",
        ),
        (
            format!("[auth]\njwks_file = \"{}\"\n", short.0),
            "the set of keys",
        ),
        (
            "[[auth.api_keys]]\nname = \"shop\"\nsha256 = \"12\"\n".to_owned(),
            "the API key of \"shop\" cannot be used",
        ),
    ] {
        let file = temporary("auth-unusable", &section);
        let engine = Engine::serve("epoll", &["--config", &file.0]);
        let (code, output) = engine.end();
        assert_ne!(code, Some(0), "{section}");
        assert!(output.contains(says), "{section}: {output}");
    }
}

fn config(text: &str) -> Result<Config, String> {
    let layer = Layer::toml(Path::new("test.toml"), text).map_err(|error| error.to_string())?;
    Config::merge(&[layer]).map_err(|error| error.to_string())
}

#[test]
fn what_is_wrong_in_the_section_is_told() {
    for (text, says) in [
        ("[auth]\nissuers = \"a\"\n", "unknown field `issuers`"),
        (
            "[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"the-marked-secret\n",
            "is not TOML: line 3",
        ),
        (
            "[[auth.api_keys]]\nname = \"shop\"\nkey = 20261128\n",
            "expected a text in quotes",
        ),
        (
            "[[auth.keys]]\nalgorithm = \"none\"\n",
            "the algorithms are HS256, RS256, ES256 and EdDSA",
        ),
        (
            "[[auth.keys]]\nalgorithm = \"HS256\"\n",
            "a key for HS256 has either `secret_file` or `secret`",
        ),
        (
            "[[auth.keys]]\nalgorithm = \"RS256\"\nsecret = \"x\"\n",
            "a key for RS256 has either `public_key_file` or `public_key`",
        ),
        (
            "[auth]\ncookie = \"a b\"\n",
            "`auth.cookie` (test.toml, line 2): it has to be letters",
        ),
        (
            "[auth]\nleeway_seconds = 3601\n",
            "`auth.leeway_seconds` (test.toml, line 2)",
        ),
        ("[auth]\nrefused_publish = \"never\"\n", "`close` or `drop`"),
        (
            "[[auth.anonymous]]\nmatch = \"\"\n",
            "a pattern is not empty",
        ),
        (
            "[[auth.api_keys]]\nname = \"shop\"\n",
            "either `sha256`, `key_file` or `key`",
        ),
    ] {
        let problem = config(text).err().unwrap_or_default();
        assert!(problem.contains(says), "{text}: {problem}");
        for secret in ["marked-secret", "20261128"] {
            assert!(!problem.contains(secret), "{problem}");
        }
    }
}

#[test]
fn the_section_is_shown_without_its_secrets_and_a_change_of_them_is_told() {
    let text = |secret: &str| {
        format!(
            "[auth]\nissuer = \"https://a.example\"\naudience = [\"x\", \"y\"]\nrefused_publish = \"drop\"\n\
             [[auth.keys]]\nid = \"1\"\nalgorithm = \"HS256\"\nsecret = \"{secret}\"\n\
             [[auth.anonymous]]\nmatch = \"public:*\"\njoin = true\n\
             [[auth.api_keys]]\nname = \"shop\"\nkey = \"{API_KEY}\"\n"
        )
    };
    let old = config(&text(OLD)).unwrap();
    let new = config(&text(NEW)).unwrap();
    assert_eq!(
        old.settings.limits(1 << 20).refused_publish,
        RefusedPublish::Drop
    );
    let shown = render::effective(&old) + &format!("{old:?}");
    for secret in [OLD, API_KEY] {
        assert!(!shown.contains(secret), "{shown}");
    }
    for line in [
        "[auth] # test.toml, line 1",
        "issuer = [\"https://a.example\"]",
        "secret = \"(withheld)\"",
        "match = \"public:*\"",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let mut changes = old.settings.sections.changes(&new.settings.sections);
    let change = changes.next();
    assert!(matches!(&change, Some(("[auth]", _, _))), "{change:?}");
    assert!(!format!("{change:?}").contains(NEW));
    assert_eq!(changes.next(), None);
    let auth = ringmain::auth::load(&old.settings).unwrap();
    assert!(auth.is_configured());
    assert_eq!(auth.anonymous().rules().len(), 1);
    assert_eq!(auth.message_wait_ms(), Some(10_000));
}

#[test]
fn the_printed_example_is_right() {
    let example =
        <ringmain::config::sections::Auth as ringmain::config::sections::Section>::EXAMPLE;
    let lines: String = example
        .lines()
        .filter(|line| line.starts_with('[') || line.contains(" = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = config(&lines).unwrap();
    let auth = &config.settings.sections.auth;
    assert_eq!((auth.keys.len(), auth.api_keys.len()), (1, 1));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_quoted() {
    for text in [
        format!("[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"{OLD}\n"),
        format!("[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = {OLD}\n"),
        format!("[[auth.keys]]\nalgorithm = \"{OLD}\"\n"),
        format!("[[auth.keys]]\nalgorithm = \"HS256\"\nsecret = [\"{OLD}\"]\n"),
        format!("[auth]\nkeys = \"{OLD}\"\n"),
        format!("[auth]\nkeys = [\"{OLD}, expected \"]\n"),
        format!("[auth]\napi_keys = [\"{OLD}\"]\n"),
        format!("[auth]\nsecret = \"{OLD}\"\n"),
        format!("auth = \"{OLD}\"\n"),
        "[[auth.api_keys]]\nname = \"shop\"\nkey = 987654321012345\n".to_owned(),
    ] {
        let problem = config(&text).err().unwrap_or_default();
        assert!(problem.contains("test.toml"), "{text}: {problem}");
        for quoted in [OLD, "987654321012345"] {
            assert!(!problem.contains(quoted), "{text}: {problem}");
        }
    }
}
