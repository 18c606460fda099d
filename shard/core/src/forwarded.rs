//! Whose a request is that proxies have passed on: `X-Forwarded-For`.
//!
//! Each proxy appends the address that it was spoken to from. What stands to the right of the last address that a proxy
//! of ours has written is true; all to the left of it may be made up.

use std::net::{IpAddr, SocketAddr};

use crate::cidr::Networks;

/// Addresses that are looked at, from the right.
const ADDRESSES_MAX: usize = 64;

/// The client's address: `peer`'s, unless that is a trusted proxy's; then the last one in the headers, in their order, that is none.
/// `None` if only trusted proxies are named, or what a trusted proxy has written is no address.
pub fn client_address<'a>(
    peer: IpAddr,
    trusted: &Networks,
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> Option<IpAddr> {
    if !trusted.contains(peer) {
        return Some(peer);
    }
    let entries = values
        .rev()
        .flat_map(|value| value.rsplit(|&byte| byte == b','));
    for entry in entries.take(ADDRESSES_MAX) {
        let address = address(entry.trim_ascii())?;
        if !trusted.contains(address) {
            return Some(address);
        }
    }
    None
}

/// An address, with or without a port; an IPv6 address may stand in brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    address
        .or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, values: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let trusted = Networks::new(trusted.to_vec());
        let values = values.iter().map(|value| value.as_bytes());
        client_address(peer.parse().unwrap(), &trusted, values).map(|it| it.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let says = |text: &str| Some(text.to_owned());
        assert_eq!(client("192.0.2.1", &["203.0.113.5"]), says("192.0.2.1"));
        assert_eq!(client("10.0.0.1", &["203.0.113.5"]), says("203.0.113.5"));
        // What the client itself has written stands further to the left.
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1, 203.0.113.5"]),
            says("203.0.113.5")
        );
        assert_eq!(
            client("10.0.0.1", &["127.0.0.1", "203.0.113.5"]),
            says("203.0.113.5")
        );
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 203.0.113.5 ,10.9.9.9", "fd00::7"]),
            says("203.0.113.5")
        );
        assert_eq!(client("fd00::1", &["2001:db8::5"]), says("2001:db8::5"));
        assert_eq!(client("10.0.0.1", &["203.0.113.5:80"]), says("203.0.113.5"));
        assert_eq!(
            client("10.0.0.1", &["[2001:db8::5]:80"]),
            says("2001:db8::5")
        );
        assert_eq!(client("10.0.0.1", &["[2001:db8::5]"]), says("2001:db8::5"));
    }

    #[test]
    fn who_is_not_named_is_unknown() {
        assert_eq!(client("10.0.0.1", &[]), None);
        assert_eq!(client("10.0.0.1", &[""]), None);
        assert_eq!(client("10.0.0.1", &["10.0.0.2"]), None);
        assert_eq!(client("10.0.0.1", &["203.0.113.5, unknown"]), None);
        assert_eq!(client("10.0.0.1", &["203.0.113.5, \u{e9}"]), None);
    }
}
