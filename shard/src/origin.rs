//! Which pages may talk to the engine: the `Origin` header (RFC 6454, section 7) held against a list.
//!
//! A browser lets any page open a WebSocket or send a plain POST to any server, with the user's cookies; the header
//! says which page it was. What is not a browser sends none, or what it likes: this protects users, not the server.

use std::fmt;
use std::str::FromStr;

/// Whom the engine lets in by their origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// The list: one that matches is enough.
    pub allowed: Vec<OriginPattern>,
    /// Whether requests without the header are let in: those of programs that are no browsers.
    pub missing_allowed: bool,
}

impl Default for Origins {
    /// Pages of the same host, and programs that are no browsers.
    fn default() -> Self {
        Origins {
            allowed: vec![OriginPattern::SameHost],
            missing_allowed: true,
        }
    }
}

/// What may stand in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: every page of the web.
    Any,
    /// `null`: pages without an origin, such as files and sandboxed frames.
    Null,
    /// `same-host`: pages of the host and port that the request itself is for.
    SameHost,
    /// `https://example.com`, with wildcards.
    Like {
        /// In lower case; `None` is `*`, any.
        scheme: Option<String>,
        /// In lower case; without the `*.` of a wildcard.
        host: String,
        /// It began with `*.`: the hosts below it, at any depth, but not itself.
        is_wildcard: bool,
        /// Its port.
        port: PortPattern,
    },
}

/// The port in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortPattern {
    /// None is written: the scheme's own.
    Default,
    /// This one.
    Number(u16),
    /// `:*`
    Any,
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no origin: {problem}")]
pub struct OriginPatternError {
    text: String,
    problem: &'static str,
}

/// How a request was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It names no origin.
    Unnamed,
    /// The list names its origin: its page may use the user's credentials.
    Named,
    /// Only `*` or `null` lets it in, which say nothing about whose page it is.
    Anybody,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginRefusal {
    /// It names no origin, and has to.
    Missing,
    /// Its origin is not on the list.
    NotListed,
}

/// An origin as a browser writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl Origins {
    /// Decides on a request with this `Origin` header, which is for this host (its `Host` header).
    ///
    /// # Errors
    /// Says why it is refused.
    pub fn admit(
        &self,
        origin: Option<&str>,
        host: Option<&str>,
    ) -> Result<Admission, OriginRefusal> {
        let Some(origin) = origin else {
            return if self.missing_allowed {
                Ok(Admission::Unnamed)
            } else {
                Err(OriginRefusal::Missing)
            };
        };
        let parsed = Origin::parse(origin);
        let names = |pattern: &&OriginPattern| parsed.is_some_and(|it| pattern.names(it, host));
        if self.allowed.iter().any(|pattern| names(&pattern)) {
            return Ok(Admission::Named);
        }
        let lets_in = |pattern: &OriginPattern| match pattern {
            OriginPattern::Any => true,
            OriginPattern::Null => origin == "null",
            OriginPattern::SameHost | OriginPattern::Like { .. } => false,
        };
        if self.allowed.iter().any(lets_in) {
            Ok(Admission::Anybody)
        } else {
            Err(OriginRefusal::NotListed)
        }
    }
}

impl OriginPattern {
    fn names(&self, origin: Origin<'_>, request_host: Option<&str>) -> bool {
        match self {
            OriginPattern::Any | OriginPattern::Null => false,
            OriginPattern::SameHost => request_host
                .and_then(split_authority)
                .is_some_and(|(host, port)| origin.is_at(host, port)),
            OriginPattern::Like {
                scheme,
                host,
                is_wildcard,
                port,
            } => {
                scheme
                    .as_ref()
                    .is_none_or(|scheme| scheme.eq_ignore_ascii_case(origin.scheme))
                    && if *is_wildcard {
                        is_below(origin.host, host)
                    } else {
                        host.eq_ignore_ascii_case(origin.host)
                    }
                    && match port {
                        PortPattern::Any => true,
                        PortPattern::Default => {
                            origin.port.is_none() || origin.port == default_port(origin.scheme)
                        }
                        PortPattern::Number(port) => origin.port_number() == Some(*port),
                    }
            }
        }
    }
}

impl<'a> Origin<'a> {
    /// `None` for what is no origin of a host: `null`, several origins, nonsense.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = split_authority(authority)?;
        is_scheme(scheme).then_some(Origin { scheme, host, port })
    }

    fn port_number(&self) -> Option<u16> {
        self.port.or_else(|| default_port(self.scheme))
    }

    /// Whether a request for this host and port is for the origin's own. Without a port the request is for the
    /// default one, of the origin's scheme: a proxy in front may have taken TLS off.
    fn is_at(&self, host: &str, port: Option<u16>) -> bool {
        self.host.eq_ignore_ascii_case(host)
            && self.port_number() == port.or_else(|| default_port(self.scheme))
    }
}

/// Whether a host lies below a domain, which is in lower case.
fn is_below(host: &str, domain: &str) -> bool {
    let Some(rest) = host.len().checked_sub(domain.len() + 1) else {
        return false;
    };
    rest > 0
        && host.is_char_boundary(rest)
        && host[rest..].starts_with('.')
        && host[rest + 1..].eq_ignore_ascii_case(domain)
}

/// Host and port (RFC 3986, section 3.2, without user information).
fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, ""),
    };
    let port = match port {
        "" => None,
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        _ => return None,
    };
    is_host(host).then_some((host, port))
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    host.split('.').all(is_label)
}

fn is_scheme(scheme: &str) -> bool {
    let mut bytes = scheme.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn default_port(scheme: &str) -> Option<u16> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    match () {
        () if is("http") || is("ws") => Some(80),
        () if is("https") || is("wss") => Some(443),
        () => None,
    }
}

impl FromStr for OriginPattern {
    type Err = OriginPatternError;

    fn from_str(text: &str) -> Result<Self, OriginPatternError> {
        let refuse = |problem| OriginPatternError {
            text: text.to_owned(),
            problem,
        };
        match text {
            "*" => return Ok(OriginPattern::Any),
            "null" => return Ok(OriginPattern::Null),
            "same-host" => return Ok(OriginPattern::SameHost),
            _ => {}
        }
        if !text.is_ascii() {
            return Err(refuse(
                "browsers write such a host in its ASCII form, which begins with xn--; so must the list",
            ));
        }
        let (scheme, authority) = text.split_once("://").ok_or_else(|| {
            refuse("write it with its scheme, such as https://example.com, https://*.example.com:8443 or *://localhost:*; or write same-host, null or *")
        })?;
        let scheme = match scheme {
            "*" => None,
            scheme if is_scheme(scheme) => Some(scheme.to_ascii_lowercase()),
            _ => return Err(refuse("the scheme must be one such as https, or *")),
        };
        if authority.contains(['/', '?', '#', '@']) {
            return Err(refuse(
                "an origin has no path and no user, and does not end with a slash",
            ));
        }
        let (authority, any_port) = match authority.strip_suffix(":*") {
            Some(authority) => (authority, true),
            None => (authority, false),
        };
        let (authority, is_wildcard) = match authority.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (authority, false),
        };
        let problem = "after :// comes a host such as example.com, *.example.com or [::1], and if need be a port: a number from 0 to 65535, or *";
        let (host, port) = split_authority(authority).ok_or_else(|| refuse(problem))?;
        if any_port && port.is_some()
            || authority.ends_with(':')
            || is_wildcard && host.starts_with('[')
        {
            return Err(refuse(problem));
        }
        Ok(OriginPattern::Like {
            scheme,
            host: host.to_ascii_lowercase(),
            is_wildcard,
            port: match port {
                _ if any_port => PortPattern::Any,
                Some(port) => PortPattern::Number(port),
                None => PortPattern::Default,
            },
        })
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OriginPattern::Any => f.write_str("*"),
            OriginPattern::Null => f.write_str("null"),
            OriginPattern::SameHost => f.write_str("same-host"),
            OriginPattern::Like {
                scheme,
                host,
                is_wildcard,
                port,
            } => {
                let wildcard = if *is_wildcard { "*." } else { "" };
                let scheme = scheme.as_deref().unwrap_or("*");
                write!(f, "{scheme}://{wildcard}{host}")?;
                match port {
                    PortPattern::Default => Ok(()),
                    PortPattern::Number(port) => write!(f, ":{port}"),
                    PortPattern::Any => f.write_str(":*"),
                }
            }
        }
    }
}
