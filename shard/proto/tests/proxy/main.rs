//! Tests of `ringmain_proto::proxy` against section 2.2 of HAProxy's `proxy-protocol.txt`.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod fuzz_body;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use ringmain_proto::proxy::{ProxyError, ProxyHeader, SIGNATURE, needed, parse};

fn header(version_command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [
        &SIGNATURE[..],
        &[version_command, family],
        &length,
        addresses,
    ]
    .concat()
}

const IPV4: [u8; 12] = [203, 0, 113, 5, 192, 0, 2, 1, 0x1f, 0x90, 0, 80];

fn ipv6() -> Vec<u8> {
    let source = "2001:db8::5"
        .parse::<std::net::Ipv6Addr>()
        .unwrap()
        .octets();
    [&source[..], &[0; 16], &[0x1f, 0x90, 0, 80]].concat()
}

fn from(address: &str) -> Result<ProxyHeader, ProxyError> {
    Ok(ProxyHeader::From(address.parse().unwrap()))
}

fn read(bytes: &[u8]) -> Result<ProxyHeader, ProxyError> {
    parse(bytes).map(|parsed| parsed.unwrap().0)
}

#[test]
fn the_source_address_is_read() {
    assert_eq!(read(&header(0x21, 0x11, &IPV4)), from("203.0.113.5:8080"));
    assert_eq!(
        read(&header(0x21, 0x21, &ipv6())),
        from("[2001:db8::5]:8080")
    );
    // What stands behind the addresses is for whom it concerns.
    let more = [&IPV4[..], &[0x04, 0, 3, b'a', b'b', b'c']].concat();
    assert_eq!(read(&header(0x21, 0x11, &more)), from("203.0.113.5:8080"));
}

#[test]
fn a_local_connection_is_the_proxys_own_whatever_else_stands_there() {
    assert_eq!(read(&header(0x20, 0x00, &[])), Ok(ProxyHeader::Local));
    assert_eq!(read(&header(0x20, 0x11, &[1])), Ok(ProxyHeader::Local));
}

#[test]
fn addresses_that_are_not_of_the_internet_are_unknown() {
    assert_eq!(read(&header(0x21, 0x00, &[1, 2])), Ok(ProxyHeader::Unknown));
    assert_eq!(
        read(&header(0x21, 0x31, &[0; 216])),
        Ok(ProxyHeader::Unknown)
    );
}

#[test]
fn what_is_no_header_is_refused_as_early_as_can_be() {
    for (bytes, error) in [
        (&b"G"[..], ProxyError::Missing),
        (b"\r\n\r\n\0\r\nQUIZ", ProxyError::Missing),
        (b"P", ProxyError::Version1),
        (
            b"PROXY TCP4 203.0.113.5 192.0.2.1 1 2\r\n",
            ProxyError::Version1,
        ),
        (b"POST / HTTP/1.1\r\n", ProxyError::Missing),
    ] {
        assert_eq!(needed(bytes), Err(error), "{bytes:?}");
    }
    assert_eq!(
        read(&header(0x11, 0x11, &IPV4)),
        Err(ProxyError::Version(1))
    );
    assert_eq!(
        read(&header(0x22, 0x11, &IPV4)),
        Err(ProxyError::Command(2))
    );
    assert_eq!(read(&header(0x21, 0x41, &IPV4)), Err(ProxyError::Family(4)));
    assert_eq!(
        read(&header(0x21, 0x11, &IPV4[1..])),
        Err(ProxyError::TooShort(11))
    );
    assert_eq!(
        read(&header(0x21, 0x21, &IPV4)),
        Err(ProxyError::TooShort(12))
    );
    assert_eq!(
        needed(&header(0x21, 0x11, &[0; 4096])),
        Err(ProxyError::TooLong(4112))
    );
}

#[test]
fn it_is_read_without_a_byte_of_what_follows() {
    let bytes = [header(0x21, 0x11, &IPV4), b"GET / HTTP/1.1\r\n".to_vec()].concat();
    assert_eq!(needed(&[]), Ok(16));
    assert_eq!(needed(&bytes[..5]), Ok(11));
    assert_eq!(needed(&bytes[..16]), Ok(12));
    assert_eq!(needed(&bytes[..28]), Ok(0));
    assert_eq!(parse(&bytes).unwrap().unwrap().1, 28);
    assert_eq!(parse(&bytes[..27]), Ok(None));
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the corpus lies in files; the crate itself reads none"
)]
fn the_corpus_of_the_fuzzer_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proxy");
    let mut replayed = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        fuzz_body::run(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(
        replayed > 15,
        "only {replayed} inputs: the corpus is missing"
    );
}

proptest! {
    #[test]
    fn it_reads_what_the_document_says(version_command in prop_oneof![Just(0x20), Just(0x21), any::<u8>()],
        family in prop_oneof![Just(0x11), Just(0x21), any::<u8>()],
        length in prop_oneof![0..40u16, any::<u16>()], rest in prop::collection::vec(any::<u8>(), 0..80)) {
        let [high, low] = length.to_be_bytes();
        fuzz_body::run(&[&SIGNATURE[..], &[version_command, family, high, low], &rest].concat());
    }

    #[test]
    fn it_takes_anything(bytes in prop::collection::vec(any::<u8>(), 0..40), signed in 0..=12usize) {
        fuzz_body::run(&[&SIGNATURE[..signed], &bytes].concat());
    }
}
