//! `[limits]`: how much and how fast clients may.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use ringmain_core::{BlockRule, Cidr, ConnectionRates, Networks, Rate};
use serde::{Deserialize, Deserializer, de};

use super::Section;
use crate::config::Settings;
use crate::config::value::{ByteSize, Count, Switch, ValueError, deserialize_from_text};

/// The most that a rate may be set to, and a burst.
const MOST: u64 = 1_000_000_000;

/// A number of which 0 is none, or as a rate has it.
trait Number: Copy {
    fn number(self) -> u64;
}

impl Number for Count {
    fn number(self) -> u64 {
        self.0
    }
}

impl Number for ByteSize {
    fn number(self) -> u64 {
        self.0
    }
}

macro_rules! limits {
    (
        numbers { $($number:ident: $type:ty, $doc:literal;)* }
        others { $($other:ident: $other_type:ty = $default:expr, $other_doc:literal;)* }
    ) => {
        /// The section. Numbers are 0 where nothing is set.
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Limits {
            $(#[doc = $doc] pub $number: $type,)*
            $(#[doc = $other_doc] pub $other: $other_type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits {
                    $($number: <$type>::from_number(0),)*
                    $($other: $default,)*
                }
            }
        }

        impl Limits {
            /// All keys, and their values as TOML.
            fn entries(&self) -> Vec<(&'static str, String)> {
                vec![
                    $((stringify!($number), self.$number.toml()),)*
                    $((stringify!($other), self.$other.toml()),)*
                ]
            }

            fn numbers(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($number), self.$number.number()),)*]
            }
        }
    };
}

/// How a value is written in the file.
trait Toml {
    fn toml(&self) -> String;
}

trait FromNumber {
    fn from_number(number: u64) -> Self;
}

impl FromNumber for Count {
    fn from_number(number: u64) -> Self {
        Count(number)
    }
}

impl FromNumber for ByteSize {
    fn from_number(number: u64) -> Self {
        ByteSize(number)
    }
}

impl Toml for Count {
    fn toml(&self) -> String {
        self.to_string()
    }
}

impl Toml for ByteSize {
    fn toml(&self) -> String {
        let text = self.to_string();
        match text.parse::<u64>() {
            Ok(_) => text,
            Err(_) => format!("\"{text}\""),
        }
    }
}

impl Toml for Switch {
    fn toml(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Toml for ProxyList {
    fn toml(&self) -> String {
        let networks: Vec<_> = self.0.iter().map(|it| format!("\"{it}\"")).collect();
        format!("[{}]", networks.join(", "))
    }
}

impl Toml for RateAction {
    fn toml(&self) -> String {
        format!("\"{self}\"")
    }
}

limits! {
    numbers {
        accept_rate: Count, "New connections a second of the node.";
        accept_burst: Count, "As many may come at once.";
        message_rate: Count, "Messages a second of each connection.";
        message_burst: Count, "As many may come at once.";
        byte_rate: ByteSize, "Bytes a second of each connection.";
        byte_burst: ByteSize, "As many may come at once.";
        room_message_rate: Count, "Messages a second to each room, from all its publishers; also in `[[rooms]]`.";
        room_message_burst: Count, "As many may come at once.";
        address_message_rate: Count, "Messages a second that each address publishes by HTTP.";
        address_message_burst: Count, "As many may come at once.";
        connections_per_address: Count, "Connections of one address, or IPv6 network of 64 bits.";
        connections_per_user: Count, "Connections of one user, as tokens name it.";
        connections_per_user_cluster: Count, "Connections of one user on all nodes of the cluster.";
        block_after: Count, "With so many offences in `block_seconds` an address is blocked.";
    }
    others {
        rate_action: RateAction = RateAction(ringmain_core::RateAction::Refuse),
            "What becomes of messages beyond a rate.";
        block_seconds: Count = Count(60), "For so long.";
        trusted_proxies: ProxyList = ProxyList::default(),
            "Who is believed in what it says of whom a connection is.";
        proxy_protocol: Switch = Switch(false), "Their connections begin with a PROXY header.";
    }
}

/// Networks of proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyList(pub Networks);

impl<'de> Deserialize<'de> for ProxyList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let networks: Result<_, _> = texts.iter().map(|text| text.parse::<Cidr>()).collect();
        networks
            .map(Networks::new)
            .map(ProxyList)
            .map_err(de::Error::custom)
    }
}

/// What becomes of messages beyond a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateAction(pub ringmain_core::RateAction);

deserialize_from_text!(RateAction);

impl FromStr for RateAction {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        use ringmain_core::RateAction::{Close, Drop, Refuse};
        match text {
            "refuse" => Ok(RateAction(Refuse)),
            "drop" => Ok(RateAction(Drop)),
            "close" => Ok(RateAction(Close)),
            _ => Err(ValueError::new(text, "`refuse`, `drop` or `close`")),
        }
    }
}

impl fmt::Display for RateAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ringmain_core::RateAction::{Close, Drop, Refuse};
        f.write_str(match self.0 {
            Refuse => "refuse",
            Drop => "drop",
            Close => "close",
        })
    }
}

impl Section for Limits {
    const NAME: &'static str = "limits";
    const EXAMPLE: &'static str = r#"How much and how fast clients may. A rate is what passes in each second at an even pace; its burst may come at once.
0: no limit; of a burst: as much as in a second. See docs/limits.md.
[limits]
accept_rate = 500         # new connections a second of the node; others wait in the system's queue
accept_burst = 2000
message_rate = 50         # messages a second of each connection, with pings and pongs
message_burst = 200
byte_rate = "256KiB"      # bytes a second of each connection
byte_burst = "1MiB"
room_message_rate = 1000  # messages a second to each room, from all publishers; also in [[rooms]]
room_message_burst = 2000
address_message_rate = 20 # messages a second that an address publishes by HTTP; beyond it 429
address_message_burst = 100
rate_action = "refuse"    # messages beyond a rate: refuse (not read until they may pass), drop, or close
connections_per_address = 100   # on the whole node; an IPv6 network of 64 bits counts as one address
connections_per_user = 20 # of the user that a token names
connections_per_user_cluster = 50   # the same on all nodes of a cluster together, as well as they know of each other
block_after = 20          # so many offences in block_seconds block an address for block_seconds
block_seconds = 60
trusted_proxies = ["10.0.0.0/8", "fd00::/8"]    # from these alone X-Forwarded-For and PROXY headers are believed
proxy_protocol = "off"    # on: connections from trusted_proxies begin with a PROXY header, version 2
"#;

    fn check(&self) -> Result<(), (&'static str, String)> {
        let numbers = self.numbers();
        let value = |name: &str| {
            numbers
                .iter()
                .find(|(key, _)| *key == name)
                .map_or(0, |it| it.1)
        };
        for &(name, number) in &numbers {
            check_number(name, number)?;
            if let Some(of) = name.strip_suffix("_burst")
                && number > 0
                && value(&format!("{of}_rate")) == 0
            {
                return Err((
                    name,
                    format!("without `{of}_rate` it says nothing: set that too"),
                ));
            }
        }
        let (seconds, most) = (self.block_seconds.0, 7 * 86_400);
        if !(1..=most).contains(&seconds) {
            let problem = format!("it is {seconds}; allowed: 1 to {most}");
            return Err(("block_seconds", problem));
        }
        if self.proxy_protocol.0 && self.trusted_proxies.0.is_empty() {
            let problem = "a PROXY header is believed only from `trusted_proxies`, and there are none: name yours there";
            return Err(("proxy_protocol", problem.to_owned()));
        }
        Ok(())
    }

    fn toml(&self) -> String {
        let lines = self.entries().into_iter();
        lines
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    }
}

/// Whether a number is within what is allowed.
pub fn check_number(name: &'static str, number: u64) -> Result<(), (&'static str, String)> {
    let most = if name.starts_with("byte") {
        1 << 40
    } else {
        MOST
    };
    if number <= most {
        return Ok(());
    }
    Err((name, format!("it is {number}; allowed: 0 to {most}")))
}

/// A rate, if one is set. Without a burst it is what comes in a second.
pub fn rate(per_second: u64, burst: u64) -> Option<Rate> {
    let rate = NonZeroU64::new(per_second)?;
    Some(Rate::new(rate, if burst == 0 { per_second } else { burst }))
}

impl Limits {
    /// The rates of each connection.
    pub fn connection_rates(&self) -> ConnectionRates {
        ConnectionRates {
            messages: rate(self.message_rate.0, self.message_burst.0),
            bytes: rate(self.byte_rate.0, self.byte_burst.0),
        }
    }

    /// The rate of each room for which `[[rooms]]` sets none.
    pub fn room_rate(&self) -> Option<Rate> {
        rate(self.room_message_rate.0, self.room_message_burst.0)
    }

    /// The rate of what an address publishes by HTTP.
    pub fn address_rate(&self) -> Option<Rate> {
        rate(self.address_message_rate.0, self.address_message_burst.0)
    }

    /// Who is blocked, and for how long.
    pub fn block(&self) -> Option<BlockRule> {
        NonZeroU64::new(self.block_after.0).map(|after| BlockRule {
            after,
            seconds: self.block_seconds.0,
        })
    }

    /// The keys whose values are not what they are in `new`, with both.
    pub fn changes(&self, new: &Limits) -> Vec<(&'static str, String, String)> {
        let pairs = self.entries().into_iter().zip(new.entries());
        let changed = pairs.filter(|((_, old), (_, new))| old != new);
        changed
            .map(|((key, old), (_, new))| (key, old, new))
            .collect()
    }
}

impl Settings {
    /// New connections a second of the node.
    pub fn accept_rate(&self) -> Option<Rate> {
        let limits = &self.sections.limits;
        rate(limits.accept_rate.0, limits.accept_burst.0)
    }
}
