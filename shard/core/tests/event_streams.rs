//! Events as a client reads them (WHATWG HTML, "Event stream interpretation"), held against what was published.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use ringmain_core::dialect::events::{BINARY_EVENT, event};
use ringmain_router::{PayloadKind, Publication};

/// A naive client: the name and the data of each event.
fn interpret(stream: &str) -> Vec<(String, String)> {
    let mut events = Vec::new();
    let (mut name, mut data) = (String::new(), String::new());
    // CRLF before CR, as in the standard's grammar.
    let normal = stream.replace("\r\n", "\n").replace('\r', "\n");
    for line in normal.strip_suffix('\n').unwrap().split('\n') {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                events.push((name.clone(), data.to_owned()));
            }
            name.clear();
            data.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value.to_owned(),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            other => panic!("the field {other:?}"),
        }
    }
    events
}

fn encoded(kind: PayloadKind, payload: &[u8]) -> String {
    let publication = Publication {
        kind,
        payload: Bytes::copy_from_slice(payload),
        exclude: None,
        began: None,
    };
    String::from_utf8(event(&publication)).unwrap()
}

#[test]
fn empty_messages_are_events_too() {
    assert_eq!(encoded(PayloadKind::Text, b""), "data: \n\n");
    assert_eq!(
        interpret(&encoded(PayloadKind::Text, b"")),
        [(String::new(), String::new())]
    );
    assert_eq!(
        interpret(&encoded(PayloadKind::Binary, b"")),
        [(BINARY_EVENT.to_owned(), String::new())]
    );
}

proptest! {
    #[test]
    fn text_arrives_with_lf_for_every_line_end(
        texts in proptest::collection::vec("([ -~]|[\r\n:\u{0}\u{feff}\u{2028}]|\r\n|\\PC){0,40}", 1..5),
    ) {
        let stream: String = texts.iter().map(|text| encoded(PayloadKind::Text, text.as_bytes())).collect();
        let expected: Vec<_> = texts
            .iter()
            .map(|text| (String::new(), text.replace("\r\n", "\n").replace('\r', "\n")))
            .collect();
        prop_assert_eq!(interpret(&stream), expected);
    }

    #[test]
    fn bytes_arrive_as_they_are(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let events = interpret(&encoded(PayloadKind::Binary, &payload));
        prop_assert_eq!(events.len(), 1);
        prop_assert_eq!(&events[0].0, BINARY_EVENT);
        prop_assert_eq!(STANDARD.decode(&events[0].1).unwrap(), payload);
    }
}
