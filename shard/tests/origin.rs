//! Origins against the list, held against a naive oracle.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use ringmain_shard::Origins;
use ringmain_shard::origin::{Admission, OriginPattern, OriginRefusal};

fn origins(patterns: &[&str]) -> Origins {
    Origins {
        allowed: patterns.iter().map(|text| text.parse().unwrap()).collect(),
        missing_allowed: true,
    }
}

fn names(pattern: &str, origin: &str) -> bool {
    origins(&[pattern]).admit(Some(origin), None) == Ok(Admission::Named)
}

#[test]
fn patterns_match_what_they_say_and_no_more() {
    for (pattern, origin, is_match) in [
        ("https://example.com", "https://example.com", true),
        ("https://example.com", "https://EXAMPLE.com", true),
        ("https://example.com", "https://example.com:443", true),
        ("https://example.com", "http://example.com", false),
        ("https://example.com", "https://example.com:8443", false),
        ("https://example.com", "https://example.com.evil.org", false),
        ("https://example.com", "https://www.example.com", false),
        ("https://example.com", "https://example.com@evil.org", false),
        ("https://example.com", "https://example.com/", false),
        (
            "https://example.com",
            "https://example.com https://evil.org",
            false,
        ),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://evilexample.com", false),
        ("https://*.example.com", "https://.example.com", false),
        (
            "https://*.example.com:8443",
            "https://a.example.com:8443",
            true,
        ),
        ("https://*.example.com:8443", "https://a.example.com", false),
        ("*://localhost:*", "http://localhost:3000", true),
        ("*://localhost:*", "https://localhost", true),
        ("*://localhost", "http://localhost:80", true),
        ("*://localhost", "http://localhost:443", false),
        ("http://[::1]:3000", "http://[::1]:3000", true),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("*", "https://example.com", false),
        ("same-host", "https://example.com", false),
    ] {
        assert_eq!(names(pattern, origin), is_match, "{pattern} {origin}");
    }
}

#[test]
fn the_same_host_is_that_of_the_request_with_the_port_that_its_scheme_has() {
    let default = Origins::default();
    for (origin, host, is_match) in [
        ("http://example.com", "example.com", true),
        ("https://example.com", "example.com", true),
        ("https://example.com", "Example.com:443", true),
        ("https://example.com", "example.com:80", false),
        ("http://example.com:8000", "example.com:8000", true),
        ("http://example.com:8000", "example.com", false),
        ("http://localhost:8000", "127.0.0.1:8000", false),
        ("http://[::1]:8000", "[::1]:8000", true),
        ("http://example.com", "example.com/", false),
        ("null", "null", false),
        ("", "", false),
    ] {
        let admitted = default.admit(Some(origin), Some(host));
        assert_eq!(
            admitted == Ok(Admission::Named),
            is_match,
            "{origin} {host}"
        );
    }
    assert_eq!(
        default.admit(Some("http://example.com"), None),
        Err(OriginRefusal::NotListed)
    );
}

#[test]
fn only_a_named_origin_may_act_as_the_user() {
    let list = origins(&["*", "https://example.com"]);
    let admit = |origin| list.admit(Some(origin), None);
    assert_eq!(admit("https://example.com"), Ok(Admission::Named));
    assert_eq!(admit("https://evil.org"), Ok(Admission::Anybody));
    assert_eq!(admit("null"), Ok(Admission::Anybody));
    assert_eq!(
        origins(&["null"]).admit(Some("null"), None),
        Ok(Admission::Anybody)
    );
    assert_eq!(
        origins(&["null"]).admit(Some("https://evil.org"), None),
        Err(OriginRefusal::NotListed)
    );
    assert_eq!(list.admit(None, None), Ok(Admission::Unnamed));
    let strict = Origins {
        missing_allowed: false,
        ..list
    };
    assert_eq!(strict.admit(None, None), Err(OriginRefusal::Missing));
}

#[test]
fn what_is_no_pattern_is_refused_with_what_would_be_one() {
    for (text, says) in [
        ("example.com", "https://example.com"),
        ("https://example.com/", "does not end with a slash"),
        ("https://user@example.com", "no user"),
        ("https://exa*mple.com", "*.example.com"),
        ("https://*", "*.example.com"),
        ("https://*.", "*.example.com"),
        ("https://example.com:", "a number from 0 to 65535"),
        ("https://example.com:99999", "a number from 0 to 65535"),
        ("https://example.com:8:*", "a number from 0 to 65535"),
        ("https://bücher.example", "xn--"),
        ("", "https://example.com"),
    ] {
        let error = text.parse::<OriginPattern>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

fn host() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]{1,2}", 1..4).prop_map(|labels| labels.join("."))
}

fn port() -> impl Strategy<Value = Option<u16>> {
    proptest::option::of(prop_oneof![Just(80), Just(443), Just(8080)])
}

proptest! {
    #[test]
    fn matching_agrees_with_a_naive_oracle(
        pattern_scheme in prop_oneof![Just("http"), Just("https"), Just("*")],
        is_wildcard: bool,
        domain in host(),
        pattern_port in prop_oneof![Just(Some("*".to_owned())), port().prop_map(|port| port.map(|it| it.to_string()))],
        scheme in prop_oneof![Just("http"), Just("https")],
        host in host(),
        port in port(),
    ) {
        let suffix = |port: &str| format!(":{port}");
        let wildcard = if is_wildcard { "*." } else { "" };
        let pattern = format!(
            "{pattern_scheme}://{wildcard}{domain}{}",
            pattern_port.as_deref().map(suffix).unwrap_or_default()
        );
        let shown = port.map(|port| suffix(&port.to_string())).unwrap_or_default();
        let origin = format!("{scheme}://{host}{shown}");
        let default = if scheme == "http" { 80 } else { 443 };
        let expected = (pattern_scheme == "*" || pattern_scheme == scheme)
            && (if is_wildcard { host.ends_with(&format!(".{domain}")) } else { host == domain })
            && match pattern_port.as_deref() {
                Some("*") => true,
                Some(wanted) => wanted == port.unwrap_or(default).to_string(),
                None => port.unwrap_or(default) == default,
            };
        prop_assert_eq!(names(&pattern, &origin), expected, "{} {}", pattern, origin);
        prop_assert_eq!(names(&pattern.to_uppercase(), &origin), expected);
        prop_assert_eq!(names(&pattern, &origin.to_uppercase()), expected);
        // A pattern is shown as it is written.
        prop_assert_eq!(pattern.parse::<OriginPattern>().unwrap().to_string(), pattern);
    }

    #[test]
    fn nothing_that_a_client_sends_is_too_much(origin in "\\PC{0,40}", host in "\\PC{0,40}") {
        let list = origins(&["same-host", "https://*.example.com:*", "*://localhost:*", "null"]);
        let admitted = list.admit(Some(&origin), Some(&host));
        prop_assert!(admitted != Ok(Admission::Unnamed));
        let _ = origin.parse::<OriginPattern>();
    }

    #[test]
    fn an_origin_is_of_its_own_host(scheme in prop_oneof![Just("http"), Just("https")], host in host(), port in port()) {
        let host = port.map_or(host.clone(), |port| format!("{host}:{port}"));
        let admitted = Origins::default().admit(Some(&format!("{scheme}://{host}")), Some(&host));
        prop_assert_eq!(admitted, Ok(Admission::Named));
    }
}
