//! Section 4.2: the server's side of the opening handshake.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use ringmain_proto::ws::handshake::{Accept, HandshakeError, accept_key, validate};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The headers of RFC 6455, section 1.2, with one replaced by other values.
fn headers_with(name: &'static str, values: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", KEY),
        ("origin", "http://example.com"),
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-version", "13"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.remove(name);
    for value in values {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

fn check(name: &'static str, values: &[&'static str]) -> Result<Accept, HandshakeError> {
    validate(&Method::GET, Version::HTTP_11, &headers_with(name, values))
}

#[test]
fn section_1_3_example() {
    assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(
        check("x", &[]).unwrap().as_str(),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn section_4_2_1_item_1_the_method_is_get() {
    for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT] {
        let error = validate(&method, Version::HTTP_11, &headers_with("x", &[])).unwrap_err();
        assert_eq!(error, HandshakeError::MethodNotGet);
        assert_eq!(error.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(error.headers(), [("allow", "GET")]);
    }
}

#[test]
fn section_4_2_1_item_1_http_is_at_least_1_1() {
    for version in [Version::HTTP_09, Version::HTTP_10] {
        let error = validate(&Method::GET, version, &headers_with("x", &[])).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (HandshakeError::HttpVersionTooOld, StatusCode::BAD_REQUEST)
        );
    }
}

#[test]
fn section_4_2_1_item_2_there_is_one_host() {
    for values in [&[][..], &["a.example", "b.example"]] {
        let error = check("host", values).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (HandshakeError::HostNotOne, StatusCode::BAD_REQUEST)
        );
    }
}

#[test]
fn section_4_2_1_item_3_upgrade_contains_websocket() {
    for values in [
        &["WebSocket"][..],
        &["WEBSOCKET"],
        &["h2c, websocket"],
        &["h2c", "\twebsocket ,"],
    ] {
        assert!(check("upgrade", values).is_ok(), "{values:?}");
    }
    for values in [&[][..], &[""], &["h2c"], &["websockets"], &["web socket"]] {
        let error = check("upgrade", values).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (HandshakeError::UpgradeMissing, StatusCode::UPGRADE_REQUIRED)
        );
        assert_eq!(
            error.headers(),
            [("upgrade", "websocket"), ("connection", "upgrade")]
        );
    }
}

#[test]
fn section_4_2_1_item_4_connection_contains_upgrade() {
    for values in [
        &["upgrade"][..],
        &["UPGRADE"],
        &["keep-alive, Upgrade"],
        &["keep-alive", " upgrade"],
    ] {
        assert!(check("connection", values).is_ok(), "{values:?}");
    }
    for values in [&[][..], &["close"], &["keep-alive"], &["upgrades"]] {
        let error = check("connection", values).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (
                HandshakeError::ConnectionNotUpgrade,
                StatusCode::BAD_REQUEST
            )
        );
    }
}

#[test]
fn section_4_2_1_item_5_the_key_is_16_bytes_in_base64() {
    // The last has bits set that the padding makes meaningless.
    for key in [
        "AAAAAAAAAAAAAAAAAAAAAA==",
        "+/+/+/+/+/+/+/+/+/+/+w==",
        "dGhlIHNhbXBsZSBub25jZR==",
    ] {
        assert!(check("sec-websocket-key", &[key]).is_ok(), "{key}");
    }
    for key in [
        "",
        "=",
        "AAAAAAAAAAAAAAAAAAAA",         // 15 bytes
        "AAAAAAAAAAAAAAAAAAAAAAA=",     // 17 bytes
        "AAAAAAAAAAAAAAAAAAAAAAAA",     // 18 bytes
        "AAAAAAAAAAAAAAAAAAAAAA",       // no padding
        "-_-_-_-_-_-_-_-_-_-_-w==",     // another alphabet
        "AAAAAAAAAAAAAAAAAAAAAA==AAAA", // something follows
        "AAAAAAAAAAA AAAAAAAAAA==",
        "ÄAAAAAAAAAAAAAAAAAAAA==",
    ] {
        let error = check("sec-websocket-key", &[key]).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (HandshakeError::KeyInvalid, StatusCode::BAD_REQUEST),
            "{key}"
        );
    }
}

#[test]
fn section_11_3_1_there_is_one_key() {
    for values in [&[][..], &[KEY, KEY]] {
        let error = check("sec-websocket-key", values).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (HandshakeError::KeyNotOne, StatusCode::BAD_REQUEST)
        );
    }
}

#[test]
fn section_4_4_another_version_is_told_ours() {
    for version in ["0", "8", "12", "14", "013", "13, 8", "", "13.0"] {
        let error = check("sec-websocket-version", &[version]).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (
                HandshakeError::VersionUnsupported,
                StatusCode::UPGRADE_REQUIRED
            )
        );
        assert!(error.headers().contains(&("sec-websocket-version", "13")));
        assert!(error.headers().contains(&("upgrade", "websocket")));
    }
}

#[test]
fn section_11_3_5_there_is_one_version() {
    for values in [&[][..], &["13", "13"]] {
        let error = check("sec-websocket-version", values).unwrap_err();
        assert_eq!(
            (error, error.status()),
            (HandshakeError::VersionNotOne, StatusCode::BAD_REQUEST)
        );
        assert!(error.headers().is_empty());
    }
}

#[test]
fn refusals_are_sentences() {
    let sentence = HandshakeError::UpgradeMissing.to_string();
    assert!(
        sentence.ends_with('.') && sentence.starts_with(char::is_uppercase),
        "{sentence}"
    );
}
