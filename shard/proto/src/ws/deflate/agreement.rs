//! Negotiating the parameters (RFC 7692, sections 5 and 7.1).

use std::fmt;

use super::WindowBits;
use super::extensions::{self, Extension, ExtensionsMalformed, Parameter};

/// RFC 7692, 7: the extension's name.
const NAME: &str = "permessage-deflate";
const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// What the server is willing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether messages may refer to those before them, either way.
    pub takeover: bool,
    /// The largest window of what the server sends, and of what it keeps of what the client sends.
    pub window: WindowBits,
}

/// How the messages of one connection are compressed. As text it is the value of the answer's
/// `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What the server sends.
    pub server: Direction,
    /// What the client sends.
    pub client: Direction,
    names_server_window: bool,
    names_client_window: bool,
}

/// One way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// How far a message refers back.
    pub window: WindowBits,
    /// Whether it may refer to the messages before it (RFC 7692, section 7.1.1).
    pub takeover: bool,
}

impl Agreement {
    /// The same without taking over the context, either way. RFC 7692, 7.1.1: a server may demand that of the client,
    /// and of itself, whether it was offered or not.
    #[must_use]
    pub const fn without_takeover(mut self) -> Self {
        self.server = self.server.without_takeover();
        self.client = self.client.without_takeover();
        self
    }

    /// The most that the contexts of both ways hold, in bytes.
    pub const fn context_bytes_max(&self) -> usize {
        self.server.context_bytes_max() + self.client.context_bytes_max()
    }
}

impl Direction {
    /// The same, with each message on its own. Who sends may give up its context at any time: what the peer remembers need
    /// not be referred to.
    #[must_use]
    pub const fn without_takeover(mut self) -> Self {
        self.takeover = false;
        self
    }

    const fn context_bytes_max(self) -> usize {
        if self.takeover {
            self.window.bytes()
        } else {
            0
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if !self.server.takeover {
            write!(f, "; {SERVER_NO_CONTEXT_TAKEOVER}")?;
        }
        if !self.client.takeover {
            write!(f, "; {CLIENT_NO_CONTEXT_TAKEOVER}")?;
        }
        if self.names_server_window {
            write!(f, "; {SERVER_MAX_WINDOW_BITS}={}", self.server.window.get())?;
        }
        if self.names_client_window {
            write!(f, "; {CLIENT_MAX_WINDOW_BITS}={}", self.client.window.get())?;
        }
        Ok(())
    }
}

/// Answers a client's offers: the values of its `Sec-WebSocket-Extensions` headers, in order. The first offer of
/// permessage-deflate that can be accepted is; `None` declines them all, and the connection goes on without compression
/// (RFC 7692, section 5). Other extensions are not known here, and so declined.
///
/// # Errors
///
/// The headers break the grammar: the handshake must be refused (RFC 6455, section 9.1).
pub fn negotiate<'v>(
    values: impl IntoIterator<Item = &'v [u8]>,
    rules: &Rules,
) -> Result<Option<Agreement>, ExtensionsMalformed> {
    let offered = extensions::parse(values)?;
    // RFC 6455, 9.1: the order of the offers is the client's preference.
    Ok(offered
        .iter()
        .filter(|extension| extension.name.eq_ignore_ascii_case(NAME))
        .find_map(|extension| Some(Offer::read(extension)?.accept(rules))))
}

/// The parameters of one offer.
#[derive(Debug, Default)]
struct Offer {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_window: Option<WindowBits>,
    /// The client takes this parameter in an answer, with at most this value.
    client_window: Option<u8>,
}

impl Offer {
    /// Reads an offer; `None` if it must be declined. RFC 7692, 7.1: a server declines an offer with a parameter that is
    /// not defined, that has an invalid value, or that occurs twice, and one that it does not support.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut offer = Self::default();
        for (index, parameter) in extension.parameters.iter().enumerate() {
            let before = &extension.parameters[..index];
            if before.iter().any(|other| other.name == parameter.name) {
                return None;
            }
            offer.add(parameter)?;
        }
        Some(offer)
    }

    fn add(&mut self, parameter: &Parameter<'_>) -> Option<()> {
        match (parameter.name, parameter.value.as_deref()) {
            // RFC 7692, 7.1.1.1 and 7.1.1.2: these two "have no value".
            (SERVER_NO_CONTEXT_TAKEOVER, None) => self.server_no_takeover = true,
            (CLIENT_NO_CONTEXT_TAKEOVER, None) => self.client_no_takeover = true,
            // RFC 7692, 7.1.2.1: the value is there. One of 8 is declined: what our compressor makes with its smallest
            // window need not fit that one.
            (SERVER_MAX_WINDOW_BITS, Some(value)) => {
                self.server_window = Some(WindowBits::new(window_bits(value)?)?);
            }
            // RFC 7692, 7.1.2.2: without a value the client only says that it knows the parameter.
            (CLIENT_MAX_WINDOW_BITS, None) => self.client_window = Some(WindowBits::MAX.get()),
            (CLIENT_MAX_WINDOW_BITS, Some(value)) => self.client_window = Some(window_bits(value)?),
            _ => return None,
        }
        Some(())
    }

    fn accept(&self, rules: &Rules) -> Agreement {
        let server = Direction {
            window: self
                .server_window
                .unwrap_or(WindowBits::MAX)
                .min(rules.window),
            takeover: rules.takeover && !self.server_no_takeover,
        };
        let client_takeover = rules.takeover && !self.client_no_takeover;
        // RFC 7692, 7.1.2.2: only a client that offers the parameter may be given it, with no larger a value. It is of use
        // where a context is kept.
        let names_client_window = client_takeover
            && self
                .client_window
                .is_some_and(|bits| rules.window.get() < bits);
        let client_window = match self.client_window {
            _ if names_client_window => rules.window,
            // RFC 7692, 7.1.2.2: a client that names a size is not "going to use an LZ77 sliding window size greater than"
            // that.
            Some(bits) => WindowBits::new(bits).unwrap_or(WindowBits::MIN),
            None => WindowBits::MAX,
        };
        Agreement {
            server,
            client: Direction {
                window: client_window,
                takeover: client_takeover,
            },
            // RFC 7692, 7.1.2.1: an accepted offer that has the parameter is answered with it; others may be.
            names_server_window: self.server_window.is_some() || server.window < WindowBits::MAX,
            names_client_window,
        }
    }
}

/// RFC 7692, 7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = !value.starts_with(['0', '+']);
    value
        .parse()
        .ok()
        .filter(|bits| is_plain && (8..=15).contains(bits))
}
