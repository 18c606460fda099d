//! Section 5.5.1 and 7.4: close frames and their codes.

use ringmain_proto::ws::{CloseCode, CloseFrame, Event, Parser, ProtocolError, encode};

use crate::builder::{BINARY, CLOSE, FIN, TEXT, masked};
use crate::drive::{SERVER, Seen, parse, parse_bytewise};

fn close(code: u16, reason: &str) -> Seen {
    Ok(Event::Close(Some(CloseFrame {
        code: CloseCode::new(code).unwrap(),
        reason: reason.to_owned(),
    })))
}

fn close_stream(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

#[test]
fn section_5_5_1_a_close_frame_may_be_empty() {
    assert_eq!(
        parse(&SERVER, &masked(FIN | CLOSE, b"")),
        [Ok(Event::Close(None))]
    );
}

#[test]
fn section_5_5_1_a_body_begins_with_two_bytes() {
    assert_eq!(
        parse(&SERVER, &masked(FIN | CLOSE, &[3])),
        [Err(ProtocolError::CloseCodeTruncated)]
    );
}

#[test]
fn section_5_5_1_a_reason_may_follow() {
    let longest = "r".repeat(123);
    for reason in ["", "bye", "grüße", longest.as_str()] {
        let stream = close_stream(1000, reason.as_bytes());
        assert_eq!(parse(&SERVER, &stream), [close(1000, reason)]);
        assert_eq!(parse_bytewise(&SERVER, &stream), [close(1000, reason)]);
    }
}

#[test]
fn section_5_5_1_the_reason_is_utf_8() {
    for reason in [&b"\xFF"[..], b"ok\xC3", b"\xED\xA0\x80"] {
        assert_eq!(
            parse(&SERVER, &close_stream(1000, reason)),
            [Err(ProtocolError::CloseReasonNotUtf8)]
        );
    }
}

#[test]
fn section_7_4_every_code_is_accepted_or_refused() {
    for code in 0..=u16::MAX {
        let accepted = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = if accepted {
            close(code, "")
        } else {
            Err(ProtocolError::CloseCodeInvalid(code))
        };
        assert_eq!(parse(&SERVER, &close_stream(code, b"")), [expected]);
        assert_eq!(
            CloseCode::try_from(code)
                .map(u16::from)
                .is_ok_and(|same| same == code),
            accepted
        );
    }
}

#[test]
fn section_5_5_1_nothing_after_a_close_frame_is_looked_at() {
    let junk = [masked(FIN | TEXT, b"late"), vec![0xFF; 40]].concat();
    let stream = [masked(FIN | BINARY, b"x"), masked(FIN | CLOSE, b""), junk].concat();
    assert_eq!(parse(&SERVER, &stream)[1..], [Ok(Event::Close(None))]);
    assert_eq!(
        parse_bytewise(&SERVER, &stream)[1..],
        [Ok(Event::Close(None))]
    );
}

#[test]
fn section_7_1_7_nothing_after_an_error_is_looked_at() {
    let mut parser = Parser::new();
    assert!(parser.next(&SERVER, &mut [0xFF, 0xFF]).is_err());
    let (event, rest) = parser
        .next(&SERVER, &mut masked(FIN | TEXT, b"late"))
        .map(|(e, r)| (e.is_some(), r.len()))
        .unwrap();
    assert_eq!((event, rest), (false, 0));
    assert_eq!(parser.held_bytes(), 0);
}

#[test]
fn section_5_5_1_a_close_amid_fragments_ends_the_message() {
    let stream = [masked(TEXT, b"half"), close_stream(1001, b"")].concat();
    assert_eq!(parse(&SERVER, &stream), [close(1001, "")]);
}

#[test]
fn close_payload_cuts_the_reason_at_a_character() {
    let fits = format!("{}é", "r".repeat(121));
    assert_eq!(
        encode::close_payload(CloseCode::GOING_AWAY, &fits)[2..],
        *fits.as_bytes()
    );
    let does_not_fit = format!("{}é", "r".repeat(122));
    let payload = encode::close_payload(CloseCode::GOING_AWAY, &does_not_fit);
    assert_eq!(
        payload,
        [&1001_u16.to_be_bytes()[..], &[b'r'; 122]].concat()
    );
    assert_eq!(encode::close_payload(CloseCode::NORMAL, ""), [0x03, 0xE8]);
}

#[test]
fn close_codes_are_shown_as_numbers() {
    assert_eq!(CloseCode::TRY_AGAIN_LATER.to_string(), "1013");
    assert_eq!(CloseCode::new(4999).map(CloseCode::get), Some(4999));
}
