//! Rates of messages and bytes: what is set, and what becomes of what is beyond them.

use crate::gcra::{Gcra, Rate};
use crate::tick::Tick;

/// What becomes of a message that is beyond a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateAction {
    /// It is not taken from its sender until the rate allows it: the sender's own system keeps it.
    #[default]
    Refuse,
    /// It is dropped and counted.
    Drop,
    /// Its connection is closed.
    Close,
}

/// The rates of each connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionRates {
    /// Messages, with pings and pongs.
    pub messages: Option<Rate>,
    /// Bytes, as they come in.
    pub bytes: Option<Rate>,
}

impl ConnectionRates {
    /// Whether any is set.
    pub fn are_set(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }
}

/// What can be exceeded. The names are the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RateLimit {
    /// Messages of one connection.
    ConnectionMessages,
    /// Bytes of one connection.
    ConnectionBytes,
    /// New connections of the process.
    Accepts,
    /// Messages to one room.
    RoomMessages,
    /// Messages that one address publishes by HTTP.
    AddressMessages,
}

impl RateLimit {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, RateLimit); 5] = [
        ("connection_messages", RateLimit::ConnectionMessages),
        ("connection_bytes", RateLimit::ConnectionBytes),
        ("accepts", RateLimit::Accepts),
        ("room_messages", RateLimit::RoomMessages),
        ("address_messages", RateLimit::AddressMessages),
    ];

    /// What a sender is told that is closed for it.
    pub const fn text(self) -> &'static str {
        match self {
            RateLimit::ConnectionBytes => "too many bytes a second: send more slowly",
            _ => "too many messages a second: send more slowly",
        }
    }
}

/// How one connection stands to its rates.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionPace {
    messages: Gcra,
    bytes: Gcra,
    /// Bytes since the last message that are not yet counted.
    begun_bytes: u64,
}

impl ConnectionPace {
    /// What is beyond its rate now, and for how many milliseconds; for connections that wait.
    pub fn must_wait(&self, now: Tick, rates: &ConnectionRates) -> Option<(RateLimit, u64)> {
        let wait = |rate: Option<Rate>, pace: &Gcra| rate.map_or(0, |it| pace.wait_ms(now, it, 1));
        let messages = wait(rates.messages, &self.messages);
        let bytes = wait(rates.bytes, &self.bytes);
        match () {
            () if bytes > messages => Some((RateLimit::ConnectionBytes, bytes)),
            () if messages > 0 => Some((RateLimit::ConnectionMessages, messages)),
            () => None,
        }
    }

    /// Counts what a connection that waits has sent: what was read is taken in any case.
    pub fn count(&mut self, now: Tick, rates: &ConnectionRates, messages: u64, bytes: usize) {
        if let Some(rate) = rates.messages {
            self.messages.charge(now, rate, messages);
        }
        if let Some(rate) = rates.bytes {
            self.bytes.charge(now, rate, bytes as u64);
        }
    }

    /// Bytes of a message that is not there yet.
    pub fn begun(&mut self, bytes: usize) {
        self.begun_bytes += bytes as u64;
    }

    /// Lets a message pass, with all bytes since the one before; or says which rate is exceeded, and counts nothing.
    ///
    /// # Errors
    /// The rate that does not let it pass.
    pub fn pass(&mut self, now: Tick, rates: &ConnectionRates) -> Result<(), RateLimit> {
        let bytes = std::mem::take(&mut self.begun_bytes);
        let waits = |rate: Option<Rate>, pace: &Gcra, amount| {
            rate.is_some_and(|rate| pace.wait_ms(now, rate, amount) > 0)
        };
        if waits(rates.messages, &self.messages, 1) {
            return Err(RateLimit::ConnectionMessages);
        }
        if waits(rates.bytes, &self.bytes, bytes) {
            return Err(RateLimit::ConnectionBytes);
        }
        self.count(now, rates, 1, bytes as usize);
        Ok(())
    }

    /// Whether what has begun, and may never end, is alone more than may come at once.
    pub fn is_flooded(&self, rates: &ConnectionRates, message_bytes_max: usize) -> bool {
        let most = |rate: Rate| rate.burst().max(2 * message_bytes_max as u64);
        rates
            .bytes
            .is_some_and(|rate| self.begun_bytes > most(rate))
    }
}
