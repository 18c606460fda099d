//! `token make` and `token explain`: what the one makes the other takes, and why it does not.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ringmain_shard::auth::{Algorithm, SigningKey, sign};
use serde_json::{Value, json};
use support::{run, temporary};

const BINARY: &str = env!("CARGO_BIN_EXE_ringmain");
const SECRET: &str = "a-secret-of-tests-of-more-than-thirty-two-bytes";
const RSA: &str = include_str!("../../shard/tests/auth/keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../../shard/tests/auth/keys/rsa.pub.pem");

fn made(arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["token", "make"].iter().chain(arguments).copied().collect();
    let (code, token, errors) = run(&arguments, &[]);
    assert_eq!(code, Some(0), "{arguments:?}: {errors}");
    assert_eq!(token.lines().count(), 1);
    token.trim_end().to_owned()
}

fn explained(token: &str, config: &str) -> (Option<i32>, Value) {
    let (code, text, errors) = run(
        &["token", "explain", "--json", token, "--config", config],
        &[],
    );
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {errors}"));
    (code, report)
}

fn config(more: &str) -> support::Temporary {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    temporary(
        &format!("token-{number}"),
        &format!("[auth]\nissuer = \"https://id.example\"\naudience = \"chat\"\n{more}"),
    )
}

fn with_secret() -> support::Temporary {
    config(&format!(
        "[[auth.keys]]\nid = \"first\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n"
    ))
}

#[test]
fn what_is_made_with_a_configuration_is_taken_by_it() {
    let file = with_secret();
    let token = made(&[
        "--config",
        &file.0,
        "--sub",
        "anna",
        "--room",
        "chat:*=join,publish",
        "--room",
        "news=join",
        "--ttl",
        "15m",
    ]);
    let (code, report) = explained(&token, &file.0);
    assert_eq!(
        (code, &report["accepted"]),
        (Some(0), &json!(true)),
        "{report}"
    );
    assert_eq!(report["header"]["kid"], "first");
    assert_eq!(report["grant"]["user"], "anna");
    let rooms = json!([
        {"match": "chat:*", "join": true, "publish": true},
        {"match": "news", "join": true, "publish": false},
    ]);
    assert_eq!(report["grant"]["rooms"], rooms);
    let claims = &report["claims"];
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("https://id.example"), &json!("chat"))
    );
    let good_for = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(good_for, 900);

    let (code, text, _) = run(&["token", "explain", &token, "--config", &file.0], &[]);
    assert_eq!(code, Some(0));
    for shown in [
        "header",
        "HS256",
        "claims",
        "GMT, in ",
        "taken, as \"anna\"",
        "\"news\": join\n",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
}

#[test]
fn why_a_token_is_refused_is_told() {
    let file = with_secret();
    let secret = temporary("token-secret", &format!("{}\n", "x".repeat(40)));
    let other = [
        "--config",
        &file.0,
        "--id",
        "first",
        "--secret-file",
        &secret.0,
    ];
    // What the configuration would refuse is not made with it.
    let (code, token, errors) = run(&[&["token", "make"], &other[..]].concat(), &[]);
    assert_eq!((code, token.as_str()), (Some(1), ""));
    assert!(
        errors.contains("would refuse this token: its signature is not right"),
        "{errors}"
    );

    let key = |id: &str, secret: &str| {
        SigningKey::new(Some(id.into()), Algorithm::Hs256, secret.as_bytes()).unwrap()
    };
    let signed = |id: &str, secret: &str, claims: Value| {
        sign(&key(id, secret), claims.as_object().unwrap()).unwrap()
    };
    let good = |name: &str, value: Value| {
        let mut claims = json!({"iss": "https://id.example", "aud": "chat"});
        claims[name] = value;
        claims
    };
    for (token, name, shown) in [
        (
            signed("first", &"x".repeat(40), good("sub", json!("a"))),
            "signature",
            "keys here: \"first\" (HS256)",
        ),
        (
            signed("other", SECRET, good("sub", json!("a"))),
            "unknown_key",
            "keys here: \"first\" (HS256)",
        ),
        (
            signed("first", SECRET, good("exp", json!(1_000_000_000))),
            "expired",
            "Sun, 09 Sep 2001 01:46:40 GMT",
        ),
        (
            signed("first", SECRET, good("iss", json!("me"))),
            "issuer",
            "`issuer`",
        ),
        (
            signed("first", SECRET, good("aud", json!("mail"))),
            "audience",
            "`audience`",
        ),
        (
            signed("first", SECRET, good("rooms", json!("chat"))),
            "claims",
            "`rooms`",
        ),
        ("no token".to_owned(), "malformed", "three parts"),
    ] {
        let (code, report) = explained(&token, &file.0);
        assert_eq!(code, Some(1), "{report}");
        assert_eq!(report["refusal"]["name"], name, "{report}");
        assert_eq!(report["grant"], Value::Null);
        let (code, text, _) = run(&["token", "explain", &token, "--config", &file.0], &[]);
        assert_eq!(code, Some(1));
        assert!(
            text.contains("refused: ") && text.contains(shown),
            "{name}: {text}"
        );
    }
}

#[test]
fn a_token_comes_from_standard_input_too() {
    let file = with_secret();
    let token = made(&["--config", &file.0, "--sub", "anna"]);
    for arguments in [&["token", "explain", "-"][..], &["token", "explain"]] {
        let mut child = Command::new(BINARY)
            .args(arguments)
            .args(["--config", &file.0])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(format!("{token}\n").as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("it allows nothing in any room"), "{text}");
    }
}

#[test]
fn private_keys_sign_for_a_configuration_with_the_public_one() {
    let private = temporary("token-private", RSA);
    let file = config(&format!(
        "[[auth.keys]]\nid = \"rsa\"\nalgorithm = \"RS256\"\npublic_key = \"\"\"\n{RSA_PUBLIC}\"\"\"\n"
    ));
    let (code, _, errors) = run(&["token", "make", "--config", &file.0], &[]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("--private-key-file"), "{errors}");
    let token = made(&[
        "--config",
        &file.0,
        "--private-key-file",
        &private.0,
        "--algorithm",
        "RS256",
        "--room",
        "*",
    ]);
    let (code, report) = explained(&token, &file.0);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["header"]["alg"], "RS256");
    assert_eq!(report["header"]["kid"], "rsa");
}

#[test]
fn nothing_of_a_key_is_shown_nor_needed_to_explain() {
    let secret = temporary("token-alone", SECRET);
    let token = made(&["--secret-file", &secret.0, "--room", "*"]);
    let nowhere = temporary("token-nothing", "");
    let (code, report) = explained(&token, &nowhere.0);
    assert_eq!(
        (code, &report["refusal"]["name"]),
        (Some(1), &json!("not_configured"))
    );
    assert_eq!(report["header"]["alg"], "HS256");
    let file = with_secret();
    for arguments in [
        &["token", "explain", &token, "--config", &file.0][..],
        &["config", "check", "--config", &file.0],
        &[
            "token",
            "make",
            "--private-key-file",
            &secret.0,
            "--algorithm",
            "ES256",
        ],
        &[
            "token",
            "make",
            "--private-key-file",
            &secret.0,
            "--algorithm",
            "HS512",
        ],
    ] {
        let (_, text, errors) = run(arguments, &[]);
        let shown = text + &errors;
        assert!(!shown.is_empty() && !shown.contains(SECRET), "{shown}");
    }
}
