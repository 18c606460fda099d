//! Where the load goes: the URL, taken apart.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// What stands for the room's number in a path.
const ROOM: &str = "{room}";

/// A WebSocket server and a path there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL as it was given.
    pub url: String,
    /// Host and port, as the `Host` header has them.
    pub authority: String,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The path without its query; begins with a slash.
    path: String,
    /// The query with its question mark; empty if there is none.
    query: String,
}

/// Why a URL cannot be a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Neither `ws:` nor `wss:`.
    #[error("{0}: the URL must begin with ws:// or wss://, as in ws://127.0.0.1:8000/echo")]
    Scheme(String),
    /// No host.
    #[error("{0}: the URL names no host; it must look like ws://127.0.0.1:8000/echo")]
    HostMissing(String),
    /// Characters that cannot stand in a request.
    #[error(
        "{0}: spaces, control characters and # cannot stand in the URL: write them as %20 and so on"
    )]
    Characters(String),
    /// The name has no address. (Not called `source`: who prints the chain would print it again.)
    #[error("{authority} has no address: {cause}. Check host and port in --url")]
    Unresolved {
        /// Host and port.
        authority: String,
        /// What the resolver said.
        cause: io::Error,
    },
}

impl Target {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// It is not one of a WebSocket server.
    pub fn parse(url: &str) -> Result<Target, TargetError> {
        let behind = |scheme: &str| match url.split_at_checked(scheme.len()) {
            Some((found, rest)) if found.eq_ignore_ascii_case(scheme) => Some(rest),
            _ => None,
        };
        let (is_tls, rest) = match (behind("ws://"), behind("wss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(TargetError::Scheme(url.into())),
        };
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            return Err(TargetError::Characters(url.into()));
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.starts_with(':') {
            return Err(TargetError::HostMissing(url.into()));
        }
        let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        Ok(Target {
            url: url.into(),
            authority: authority.into(),
            is_tls,
            path: if path.is_empty() { "/" } else { path }.into(),
            query: query.into(),
        })
    }

    /// The host, without its port.
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.authority,
        }
    }

    /// The server's address; an IPv4 one if it has both kinds.
    ///
    /// # Errors
    /// The name is not known, or the port is not a number.
    pub fn resolve(&self) -> Result<SocketAddr, TargetError> {
        let port_given = self.host() != self.authority;
        let with_port = if port_given {
            self.authority.clone()
        } else {
            let port = if self.is_tls { 443 } else { 80 };
            format!("{}:{port}", self.authority)
        };
        let unresolved = |cause| TargetError::Unresolved {
            authority: self.authority.clone(),
            cause,
        };
        let addresses: Vec<_> = with_port.to_socket_addrs().map_err(unresolved)?.collect();
        let first = addresses.iter().find(|address| address.is_ipv4());
        first
            .or(addresses.first())
            .copied()
            .ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))
    }

    /// Whether the path says where the room's number stands.
    pub fn has_room(&self) -> bool {
        self.path.contains(ROOM)
    }

    /// Path and query of a room.
    pub fn path_in_room(&self, room: u32) -> String {
        let path = self.path.replace(ROOM, &room.to_string());
        format!("{path}{}", self.query)
    }

    /// Whether the URL names no more than the server.
    pub fn has_no_path(&self) -> bool {
        self.path == "/"
    }

    /// Path and query, with a suffix behind the path.
    pub fn path_with(&self, suffix: &str) -> String {
        format!("{}{suffix}{}", self.path, self.query)
    }

    /// The same, with a path below this one.
    pub fn path_below(&self, below: &str) -> String {
        let path = self.path.trim_end_matches('/');
        format!("{path}/{below}{}", self.query)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("ws://127.0.0.1:8000/raw/x?self=1").unwrap();
        assert_eq!(target.authority, "127.0.0.1:8000");
        assert_eq!(target.path_with("-3"), "/raw/x-3?self=1");
        assert_eq!(target.resolve().unwrap(), "127.0.0.1:8000".parse().unwrap());
        let target = Target::parse("WS://[::1]:9/").unwrap();
        assert_eq!(target.path_below("raw/idle-0"), "/raw/idle-0");
        assert_eq!(target.resolve().unwrap(), "[::1]:9".parse().unwrap());
    }

    #[test]
    fn what_is_missing_has_its_default() {
        let target = Target::parse("ws://[::1]?a=b").unwrap();
        assert_eq!(target.path_with(""), "/?a=b");
        assert_eq!(target.resolve().unwrap(), "[::1]:80".parse().unwrap());
        let target = Target::parse("WSS://127.0.0.1/x").unwrap();
        assert!(target.is_tls);
        assert_eq!(target.resolve().unwrap(), "127.0.0.1:443".parse().unwrap());
        assert_eq!(Target::parse("wss://[::1]:5/").unwrap().host(), "[::1]");
        let target = Target::parse("ws://127.0.0.1").unwrap();
        assert_eq!(target.resolve().unwrap(), "127.0.0.1:80".parse().unwrap());
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        for (url, reason) in [
            ("wsss://a/", "ws://"),
            ("http://a/", "ws://"),
            ("wä", "ws://"),
            ("ws:///echo", "names no host"),
            ("ws://:80/echo", "names no host"),
            ("ws://a/b c", "%20"),
            ("ws://a/b\r\nX: y", "%20"),
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
        let unknown = Target::parse("ws://127.0.0.1:x/").unwrap().resolve();
        assert!(unknown.unwrap_err().to_string().contains("--url"));
    }
}
