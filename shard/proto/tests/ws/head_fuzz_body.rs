//! What the fuzzer of heads runs, and what the tests replay over its corpus.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use ringmain_proto::ws::handshake::{
    Accept, ClientHandshake, HandshakeError, accept_key, check_response, validate,
};

/// The key of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const HEADERS_MAX: usize = 64;

/// The first byte chooses whether the rest is a request's head or a response's.
pub fn run(data: &[u8]) {
    match data {
        [choice, head @ ..] if choice % 2 == 0 => request(head),
        [_, head @ ..] => response(head),
        [] => {}
    }
}

/// What is accepted has all that section 4.2.1 asks for, seen by other means; and nothing that has it is refused.
fn request(head: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(_)) = parsed.parse(head) else {
        return;
    };
    let Some((method, version, headers)) = typed(&parsed) else {
        return;
    };
    let seen = validate(&method, version, &headers);
    let lines: Vec<(String, Vec<u8>)> = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec()))
        .collect();
    assert_eq!(seen, naive(&method, version, &lines), "{parsed:?}");
}

/// As hyper hands it over.
fn typed(parsed: &httparse::Request<'_, '_>) -> Option<(Method, Version, HeaderMap)> {
    let method = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    let version = match parsed.version? {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut headers = HeaderMap::new();
    for header in &*parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some((method, version, headers))
}

/// Section 4.2.1, point by point, over nothing but the lines.
fn naive(
    method: &Method,
    version: Version,
    lines: &[(String, Vec<u8>)],
) -> Result<Accept, HandshakeError> {
    let values = |wanted: &str| -> Vec<&[u8]> {
        let of_name = lines.iter().filter(|(name, _)| name == wanted);
        of_name.map(|(_, value)| &value[..]).collect()
    };
    let lists = |name: &str, token: &str| {
        values(name)
            .join(&b',')
            .split(|&byte| byte == b',')
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    let check = |holds: bool, error| if holds { Ok(()) } else { Err(error) };
    check(method == Method::GET, HandshakeError::MethodNotGet)?;
    check(
        version != Version::HTTP_10,
        HandshakeError::HttpVersionTooOld,
    )?;
    check(values("host").len() == 1, HandshakeError::HostNotOne)?;
    check(
        lists("upgrade", "websocket"),
        HandshakeError::UpgradeMissing,
    )?;
    check(
        lists("connection", "upgrade"),
        HandshakeError::ConnectionNotUpgrade,
    )?;
    let [version] = values("sec-websocket-version")[..] else {
        return Err(HandshakeError::VersionNotOne);
    };
    check(version == b"13", HandshakeError::VersionUnsupported)?;
    let [key] = values("sec-websocket-key")[..] else {
        return Err(HandshakeError::KeyNotOne);
    };
    check(is_key(key), HandshakeError::KeyInvalid)?;
    // What it is made of, the example of section 1.3 shows.
    let like_it = HeaderMap::from_iter(
        [
            ("host", "h"),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", std::str::from_utf8(key).unwrap()),
        ]
        .map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        }),
    );
    let accept = validate(&Method::GET, Version::HTTP_11, &like_it)?;
    assert_eq!(
        accept.as_str(),
        accept_key(std::str::from_utf8(key).unwrap())
    );
    Ok(accept)
}

/// 16 bytes are 22 digits and two characters to fill up.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key[..22].iter().all(is_digit) && &key[22..] == b"=="
}

/// However the bytes are split, the answer is the same; what is accepted answers our key.
fn response(head: &[u8]) {
    let whole = check_response(head, KEY);
    if let ClientHandshake::Done { consumed } = whole {
        assert!(head[..consumed].ends_with(b"\n"));
        let accept = accept_key(KEY);
        let has_accept = head[..consumed]
            .windows(accept.len())
            .any(|window| window == accept.as_bytes());
        assert!(has_accept, "another key was answered");
    }
    for end in 0..head.len().min(512) {
        match check_response(&head[..end], KEY) {
            ClientHandshake::NeedMore => {}
            // What is decided early stays decided.
            early => assert_eq!(early, whole),
        }
    }
}
