//! RFC 7692, sections 5 and 7.1: what is offered, and what is answered.

use proptest::prelude::*;
use ringmain_proto::ws::deflate::{Agreement, Rules, WindowBits, negotiate};

const PLAIN: Rules = Rules {
    takeover: false,
    window: WindowBits::MAX,
};
const TAKEOVER: Rules = Rules {
    takeover: true,
    window: WindowBits::MAX,
};

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

fn agreed(rules: &Rules, offer: &str) -> Option<Agreement> {
    negotiate([offer.as_bytes()], rules).unwrap()
}

fn answer(rules: &Rules, offer: &str) -> Option<String> {
    agreed(rules, offer).map(|agreement| agreement.to_string())
}

fn is_malformed(header: &str) -> bool {
    negotiate([header.as_bytes()], &PLAIN).is_err()
}

#[test]
fn s5_without_an_offer_there_is_no_compression() {
    assert_eq!(negotiate([], &PLAIN), Ok(None));
    assert_eq!(agreed(&PLAIN, "x-webkit-deflate-frame, other; a=b"), None);
}

#[test]
fn s5_by_default_neither_side_takes_its_context_over() {
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answer(&PLAIN, "permessage-deflate").unwrap(), expected);
    // What browsers send.
    let offer = "permessage-deflate; client_max_window_bits";
    assert_eq!(answer(&PLAIN, offer).unwrap(), expected);
}

#[test]
fn s5_the_first_offer_that_can_be_accepted_is() {
    let offers = "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=8, other, \
        permessage-deflate; server_max_window_bits=11, permessage-deflate";
    assert_eq!(agreed(&PLAIN, offers).unwrap().server.window, bits(11));
}

#[test]
fn s5_offers_in_several_headers_are_one_list() {
    let headers = [
        &b"permessage-deflate; server_max_window_bits=99"[..],
        b"other",
        b"permessage-deflate; server_max_window_bits=12, permessage-deflate",
    ];
    let agreement = negotiate(headers, &PLAIN).unwrap().unwrap();
    assert_eq!(agreement.server.window, bits(12));
}

#[test]
fn s7_1_an_offer_with_a_parameter_that_is_not_defined_is_declined() {
    for offer in [
        "nonsense",
        "max_window_bits=10",
        "Server_no_context_takeover",
    ] {
        assert_eq!(
            agreed(&PLAIN, &format!("permessage-deflate; {offer}")),
            None
        );
    }
}

#[test]
fn s7_1_an_offer_with_an_invalid_value_is_declined() {
    for parameter in [
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=+10",
        "server_max_window_bits=ten",
        "server_max_window_bits=1000",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=-9",
    ] {
        let offer = format!("permessage-deflate; {parameter}");
        assert_eq!(agreed(&TAKEOVER, &offer), None, "{parameter}");
    }
}

#[test]
fn s7_1_an_offer_with_a_parameter_twice_is_declined() {
    for parameter in [
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits=10",
        "client_max_window_bits",
    ] {
        let offer = format!("permessage-deflate; {parameter}; {parameter}");
        assert_eq!(agreed(&PLAIN, &offer), None, "{parameter}");
    }
}

#[test]
fn s7_1_1_1_what_the_client_asks_of_the_server_is_granted() {
    let agreement = agreed(&TAKEOVER, "permessage-deflate; server_no_context_takeover").unwrap();
    assert!(!agreement.server.takeover && agreement.client.takeover);
    assert_eq!(
        agreement.to_string(),
        "permessage-deflate; server_no_context_takeover"
    );
}

#[test]
fn s7_1_1_2_the_client_may_give_up_its_context() {
    let agreement = agreed(&TAKEOVER, "permessage-deflate; client_no_context_takeover").unwrap();
    assert!(agreement.server.takeover && !agreement.client.takeover);
    assert_eq!(
        agreement.to_string(),
        "permessage-deflate; client_no_context_takeover"
    );
}

#[test]
fn s7_1_1_both_contexts_are_taken_over_if_both_sides_want_it() {
    assert_eq!(
        answer(&TAKEOVER, "permessage-deflate").unwrap(),
        "permessage-deflate"
    );
    let kept = agreed(&TAKEOVER, "permessage-deflate").unwrap();
    assert_eq!(kept.context_bytes_max(), 2 * 32 * 1024);
    assert_eq!(kept.without_takeover().context_bytes_max(), 0);
    assert_eq!(
        kept.without_takeover().to_string(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    );
}

#[test]
fn s7_1_2_1_the_servers_window_is_honoured_and_named() {
    for wanted in 9..=15 {
        let offer = format!("permessage-deflate; server_max_window_bits={wanted}");
        let agreement = agreed(&TAKEOVER, &offer).unwrap();
        assert_eq!(agreement.server.window, bits(wanted));
        assert_eq!(agreement.to_string(), offer);
    }
}

#[test]
fn s7_1_2_1_a_window_that_cannot_be_honoured_is_declined() {
    assert_eq!(
        agreed(&PLAIN, "permessage-deflate; server_max_window_bits=8"),
        None
    );
}

#[test]
fn s7_1_2_1_the_server_may_choose_a_smaller_window_and_says_so() {
    let rules = Rules {
        window: bits(11),
        ..TAKEOVER
    };
    for offer in ["", "; server_max_window_bits=14"] {
        assert_eq!(
            answer(&rules, &format!("permessage-deflate{offer}")).unwrap(),
            "permessage-deflate; server_max_window_bits=11"
        );
    }
}

#[test]
fn s7_1_2_2_only_a_client_that_knows_the_parameter_is_given_a_window() {
    let rules = Rules {
        window: bits(10),
        ..TAKEOVER
    };
    let unknowing = agreed(&rules, "permessage-deflate").unwrap();
    assert!(!unknowing.to_string().contains("client_max_window_bits"));
    assert_eq!(unknowing.client.window, WindowBits::MAX);
    for offer in ["client_max_window_bits", "client_max_window_bits=15"] {
        let agreement = agreed(&rules, &format!("permessage-deflate; {offer}")).unwrap();
        assert!(agreement.to_string().contains("client_max_window_bits=10"));
        assert_eq!(agreement.client.window, bits(10));
    }
}

#[test]
fn s7_1_2_2_a_client_that_names_a_smaller_window_is_held_to_it() {
    for (named, kept) in [(8, 9), (9, 9), (12, 12)] {
        let offer = format!("permessage-deflate; client_max_window_bits={named}");
        let agreement = agreed(&TAKEOVER, &offer).unwrap();
        assert_eq!(agreement.client.window, bits(kept));
        // An answer with a larger value than offered would be wrong; without one the hint holds.
        assert!(!agreement.to_string().contains("client_max_window_bits"));
    }
}

#[test]
fn rfc6455_9_1_names_and_values_stand_as_the_grammar_has_them() {
    for offer in [
        "permessage-deflate;server_max_window_bits=10",
        " permessage-deflate\t; server_max_window_bits = 10 ",
        "permessage-deflate; server_max_window_bits=\"10\"",
        "permessage-deflate; server_max_window_bits=\"1\\0\"",
        ",, permessage-deflate; server_max_window_bits=10 ,",
        "Permessage-Deflate; server_max_window_bits=10",
    ] {
        let agreement = agreed(&PLAIN, offer);
        assert_eq!(
            agreement.map(|it| it.server.window),
            Some(bits(10)),
            "{offer}"
        );
    }
}

#[test]
fn rfc6455_9_1_what_breaks_the_grammar_is_refused() {
    for header in [
        ";",
        "permessage-deflate;",
        "permessage-deflate; =10",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"1 0\"",
        "permessage-deflate; server_max_window_bits=\"10\\",
        "permessage-deflate server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=10 11",
        "permessage/deflate",
        "permessage-deflate; ä",
        "other; a=\u{1}",
    ] {
        assert!(is_malformed(header), "{header}");
    }
    assert!(negotiate([&b"\xFF"[..]], &PLAIN).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_header_is_answered_within_the_rules(
        how in any::<u8>(),
        header in "(permessage-deflate|[a-z=;, \"\\\\]{0,6}|; ?(server|client)_(max_window_bits|no_context_takeover)(=\"?[0-9]{1,2}\"?)?|, ){0,8}",
    ) {
        let data = [&[2, how], header.as_bytes()].concat();
        crate::deflate_fuzz_body::run(&data);
    }
}
