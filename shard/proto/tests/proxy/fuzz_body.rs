//! What the fuzzer runs, and what the tests replay over its corpus.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ringmain_proto::proxy::{HEADER_BYTES_MAX, ProxyHeader, needed, parse};

/// The header as the document has it, read by places; `None` for whatever is none, or is not all there.
fn naive(bytes: &[u8]) -> Option<(ProxyHeader, usize)> {
    let at = |place: usize| bytes.get(place).copied();
    let signature = [13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10];
    for (place, byte) in signature.into_iter().enumerate() {
        if at(place)? != byte {
            return None;
        }
    }
    let (version, command) = (at(12)? / 16, at(12)? % 16);
    let family = at(13)? / 16;
    let length = usize::from(at(14)?) * 256 + usize::from(at(15)?);
    let all = 16 + length;
    if version != 2 || command > 1 || all > HEADER_BYTES_MAX || bytes.len() < all {
        return None;
    }
    if command == 0 {
        return Some((ProxyHeader::Local, all));
    }
    let port = |place: usize| Some(u16::from(at(place)?) * 256 + u16::from(at(place + 1)?));
    let from = |address: IpAddr, port| ProxyHeader::From(SocketAddr::new(address, port));
    let header = match family {
        0 | 3 => ProxyHeader::Unknown,
        1 if length >= 12 => {
            let address = Ipv4Addr::new(at(16)?, at(17)?, at(18)?, at(19)?);
            from(address.into(), port(24)?)
        }
        2 if length >= 36 => {
            let mut octets = [0; 16];
            for (place, octet) in octets.iter_mut().enumerate() {
                *octet = at(16 + place)?;
            }
            from(Ipv6Addr::from(octets).to_canonical(), port(48)?)
        }
        _ => return None,
    };
    Some((header, all))
}

/// Parses `data`, and reads it as a socket is read: neither may take a byte that is not the header's.
pub fn run(data: &[u8]) {
    let expected = naive(data);
    assert_eq!(parse(data).ok().flatten(), expected);
    let mut read = 0;
    let outcome = loop {
        match needed(&data[..read]) {
            Ok(0) => break parse(&data[..read]).ok().flatten(),
            Ok(more) => {
                assert!(parse(&data[..read]) == Ok(None));
                // In steps, as it may come.
                read += more.min(1 + read % 7);
                if read > data.len() {
                    break None;
                }
            }
            Err(error) => {
                assert_eq!(parse(&data[..read]), Err(error));
                break None;
            }
        }
    };
    assert_eq!(outcome, expected);
    if let Some((_, bytes)) = expected {
        assert_eq!(read, bytes);
    }
}
