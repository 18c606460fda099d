//! Section 4.1: the client's side of the opening handshake.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use ringmain_proto::ws::handshake::{
    ClientHandshake, RESPONSE_HEAD_BYTES_MAX, ResponseError, check_response, client_request,
    validate,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn response(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

fn check(lines: &[&str]) -> ClientHandshake {
    check_response(&response(lines), KEY)
}

fn invalid(error: ResponseError) -> ClientHandshake {
    ClientHandshake::Invalid(error)
}

#[test]
fn section_4_1_our_server_accepts_our_request() {
    let mut out = Vec::new();
    client_request("server.example.com:8000", "/chat?room=1", KEY, &mut out);
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut headers);
    assert_eq!(
        request.parse(&out),
        Ok(httparse::Status::Complete(out.len()))
    );
    assert_eq!(
        (request.method, request.path, request.version),
        (Some("GET"), Some("/chat?room=1"), Some(1))
    );
    let headers: HeaderMap = request
        .headers
        .iter()
        .map(|header| {
            (
                HeaderName::try_from(header.name).unwrap(),
                HeaderValue::from_bytes(header.value).unwrap(),
            )
        })
        .collect();
    assert_eq!(headers["host"], "server.example.com:8000");
    let accept = validate(&Method::GET, Version::HTTP_11, &headers).unwrap();
    assert_eq!(accept.as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn section_4_1_a_right_response_opens_the_connection() {
    let head = response(&[SWITCHING, UPGRADE, CONNECTION, ACCEPT]);
    let consumed = head.len();
    assert_eq!(
        check_response(&head, KEY),
        ClientHandshake::Done { consumed }
    );
    let with_frames = [&head[..], b"\x81\x02hi"].concat();
    assert_eq!(
        check_response(&with_frames, KEY),
        ClientHandshake::Done { consumed }
    );
    for end in 0..consumed {
        assert_eq!(
            check_response(&head[..end], KEY),
            ClientHandshake::NeedMore,
            "{end}"
        );
    }
    let spelled_otherwise = [
        SWITCHING,
        "UPGRADE: WebSocket",
        "connection: keep-alive, upgrade",
        "sec-websocket-accept:   s3pPLMBiTxaQ9kYGzzhZRbK+xOo=  ",
        "Server: x",
    ];
    assert!(matches!(
        check(&spelled_otherwise),
        ClientHandshake::Done { .. }
    ));
}

#[test]
fn section_4_1_item_1_another_status_is_a_refusal() {
    for status in [200, 302, 400, 401, 426, 503] {
        let line = format!("HTTP/1.1 {status} Whatever");
        assert_eq!(
            check(&[&line, "Content-Length: 0"]),
            ClientHandshake::Refused { status }
        );
    }
}

#[test]
fn section_4_1_item_2_upgrade_is_websocket() {
    assert_eq!(
        check(&[SWITCHING, CONNECTION, ACCEPT]),
        invalid(ResponseError::UpgradeMissing)
    );
    assert_eq!(
        check(&[SWITCHING, "Upgrade: h2c", CONNECTION, ACCEPT]),
        invalid(ResponseError::UpgradeMissing)
    );
}

#[test]
fn section_4_1_item_3_connection_is_upgrade() {
    assert_eq!(
        check(&[SWITCHING, UPGRADE, ACCEPT]),
        invalid(ResponseError::ConnectionNotUpgrade)
    );
    let closes = [SWITCHING, UPGRADE, "Connection: close", ACCEPT];
    assert_eq!(check(&closes), invalid(ResponseError::ConnectionNotUpgrade));
}

#[test]
fn section_4_1_item_4_the_accept_value_answers_our_key() {
    assert_eq!(
        check(&[SWITCHING, UPGRADE, CONNECTION]),
        invalid(ResponseError::AcceptWrong)
    );
    assert_eq!(
        check(&[SWITCHING, UPGRADE, CONNECTION, ACCEPT, ACCEPT]),
        invalid(ResponseError::AcceptWrong)
    );
    let head = response(&[SWITCHING, UPGRADE, CONNECTION, ACCEPT]);
    assert_eq!(
        check_response(&head, "AAAAAAAAAAAAAAAAAAAAAA=="),
        invalid(ResponseError::AcceptWrong)
    );
}

#[test]
fn section_4_1_items_5_and_6_nothing_is_used_that_was_not_offered() {
    let extension = [
        SWITCHING,
        UPGRADE,
        CONNECTION,
        ACCEPT,
        "Sec-WebSocket-Extensions: permessage-deflate",
    ];
    assert_eq!(
        check(&extension),
        invalid(ResponseError::ExtensionNotOffered)
    );
    let subprotocol = [
        SWITCHING,
        UPGRADE,
        CONNECTION,
        ACCEPT,
        "Sec-WebSocket-Protocol: chat",
    ];
    assert_eq!(
        check(&subprotocol),
        invalid(ResponseError::SubprotocolNotOffered)
    );
}

#[test]
fn a_head_is_bounded() {
    let head = format!("{SWITCHING}\r\nX: {}", "x".repeat(RESPONSE_HEAD_BYTES_MAX));
    let head = head.as_bytes();
    assert_eq!(
        check_response(&head[..RESPONSE_HEAD_BYTES_MAX - 1], KEY),
        ClientHandshake::NeedMore
    );
    for end in [RESPONSE_HEAD_BYTES_MAX, RESPONSE_HEAD_BYTES_MAX + 1] {
        assert_eq!(
            check_response(&head[..end], KEY),
            invalid(ResponseError::HeadTooLong)
        );
    }
}

#[test]
fn bytes_that_are_not_http_are_invalid() {
    assert!(matches!(
        check_response(b"SSH-2.0-OpenSSH_9.7\r\n", KEY),
        ClientHandshake::Invalid(ResponseError::NotHttp(_))
    ));
    let many: Vec<String> = (0..100).map(|i| format!("X-{i}: y")).collect();
    let lines: Vec<&str> = [SWITCHING]
        .into_iter()
        .chain(many.iter().map(String::as_str))
        .collect();
    assert_eq!(
        check(&lines),
        invalid(ResponseError::NotHttp(httparse::Error::TooManyHeaders))
    );
}
