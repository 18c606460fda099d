//! How a connection can fail, by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use ringmain_proto::ws::ProtocolError;
use ringmain_proto::ws::handshake::ResponseError;

/// Why a connection never opened, or ended before its time. Its text is the kind's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing listens at the address.
    Refused,
    /// The other side reset the connection.
    Reset,
    /// The handshake was not over in time.
    HandshakeTimeout,
    /// No local port is free towards the target.
    NoPort,
    /// The thread has no descriptor left.
    NoDescriptor,
    /// The server answered the handshake with this HTTP status.
    Status(u16),
    /// The server's answer is not one to a WebSocket handshake.
    Response(ResponseError),
    /// The server closed the connection with this code, or none.
    Closed(Option<u16>),
    /// The connection ended without a close frame.
    Ended,
    /// The server broke the WebSocket protocol.
    Protocol(ProtocolError),
    /// The server had not closed the connection some seconds after it was asked to.
    CloseTimeout,
    /// TLS failed, for this reason.
    Tls(String),
    /// Another error of the system.
    Io(io::ErrorKind),
}

impl Failure {
    /// What the other side said no with, as opposed to what merely went wrong.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Failure::Refused | Failure::Status(_))
    }

    /// What to do, where there is something.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Failure::Refused => "nothing listens there: start the server, or check --url",
            Failure::Reset => {
                "the server's accept queue or memory may be full: raise its backlog, or slow down with --rate"
            }
            Failure::HandshakeTimeout => {
                "the server accepts too slowly: slow down with --rate or --handshakes-max, or wait longer with --handshake-timeout"
            }
            Failure::NoPort => {
                "ports of earlier runs may still be closing: use more --source-addresses, or wait a minute"
            }
            Failure::NoDescriptor => "use more --threads, or raise `ulimit -n`",
            Failure::Status(400) => {
                "the server takes this for no request of its kind: if it speaks TLS there, begin --url with wss://"
            }
            Failure::Status(401 | 403) => {
                "the server lets nobody in without credentials: put what it wants into --url, such as ?token=..."
            }
            Failure::Status(404) => "the server knows no such path: check --url",
            Failure::Closed(Some(1009)) => {
                "the server takes no messages of this size: send smaller ones with --bytes, or raise its limit"
            }
            Failure::Closed(Some(1001 | 1012)) => {
                "the server went away or was started again while it was measured"
            }
            Failure::Closed(Some(1013)) => {
                "the server took these for too slow, or had no memory left for them: more was to be read than the load \
                 generator reads here. Send less with --rate-messages or --bytes, or give it more --cpus"
            }
            Failure::Status(429) => {
                "the server bounds connections of an address or user: raise that bound for the load generator"
            }
            Failure::Status(503) => "the server is full",
            _ => return None,
        })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Failure::Reset,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Failure::NoPort,
            io::ErrorKind::InvalidData => Failure::Tls(error.to_string()),
            // EMFILE and ENFILE have no stable kind.
            _ if matches!(error.raw_os_error(), Some(23 | 24)) => Failure::NoDescriptor,
            kind => Failure::Io(kind),
        }
    }
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Self {
        Failure::Tls(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused => f.write_str("refused"),
            Failure::Reset => f.write_str("reset"),
            Failure::HandshakeTimeout => f.write_str("handshake_timeout"),
            Failure::NoPort => f.write_str("no_source_port"),
            Failure::NoDescriptor => f.write_str("no_descriptor"),
            Failure::Status(status) => write!(f, "http_{status}"),
            Failure::Response(_) => f.write_str("not_websocket"),
            Failure::Closed(Some(code)) => write!(f, "closed_{code}"),
            Failure::Closed(None) => f.write_str("closed_without_code"),
            Failure::Ended => f.write_str("ended_without_close"),
            Failure::Protocol(_) => f.write_str("protocol_error"),
            Failure::CloseTimeout => f.write_str("close_timeout"),
            Failure::Tls(_) => f.write_str("tls_failed"),
            Failure::Io(kind) => write!(f, "io_{kind:?}"),
        }
    }
}

/// What to do about an error of TLS; rustls names the kinds that have a cause of their own.
fn tls_remedy(error: &str) -> &'static str {
    if error.contains("InvalidContentType") {
        "what answers there does not speak TLS: begin --url with ws://, or give the port that does"
    } else if error.contains("CaUsedAsEndEntity") {
        "the server shows an authority's own certificate, which vouches for others: give it one with CA:FALSE, or use \
         --insecure"
    } else {
        "check --ca, and the host in --url"
    }
}

/// Failures by kind, with one example of each.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    kinds: BTreeMap<String, (Failure, u64)>,
    count: u64,
}

impl Failures {
    /// One more.
    pub fn add(&mut self, failure: Failure) {
        self.add_many(failure, 1);
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: &Failures) {
        for (failure, count) in other.kinds.values() {
            self.add_many(failure.clone(), *count);
        }
    }

    fn add_many(&mut self, failure: Failure, count: u64) {
        let kind = failure.to_string();
        self.kinds.entry(kind).or_insert((failure, 0)).1 += count;
        self.count += count;
    }

    /// How many there are of all kinds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Each kind's count.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let counts = self.kinds.iter();
        counts
            .map(|(kind, (_, count))| (kind.clone(), *count))
            .collect()
    }

    /// What is known of each kind beyond its name: the example's own words, and what to do.
    pub fn hints(&self) -> Vec<String> {
        let hint = |(kind, (failure, _)): (&String, &(Failure, u64))| {
            let words = match failure {
                Failure::Response(error) => error.to_string(),
                Failure::Protocol(error) => error.to_string(),
                Failure::Tls(error) => format!("{error}; {}", tls_remedy(error)),
                _ => failure.remedy()?.to_owned(),
            };
            Some(format!("{kind}: {words}"))
        };
        self.kinds.iter().filter_map(hint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_for_a_known_cause_is_told_the_remedy() {
        let hint = |failure| {
            let mut failures = Failures::default();
            failures.add(failure);
            failures.hints().concat()
        };
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert!(hint(plain.into()).contains("ws://"));
        assert!(hint(Failure::Status(400)).contains("wss://"));
        assert!(hint(Failure::Closed(Some(1013))).contains("--rate-messages"));
        let other = rustls::CertificateError::UnknownIssuer;
        assert!(hint(rustls::Error::from(other).into()).contains("--ca"));
    }
}
