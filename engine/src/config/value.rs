//! The types of configuration values. Each has one spelling for file, environment and flags.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// A value that cannot be read. Says what would have been right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ValueError {
    text: String,
    expected: &'static str,
}

impl ValueError {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        ValueError {
            text: text.to_owned(),
            expected,
        }
    }
}

/// All sources hand over text, so that a value is read in one way wherever it stands.
macro_rules! deserialize_from_text {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::config::value::TextVisitor)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
pub(crate) use deserialize_from_text;

/// Takes a string, or a number as its text.
pub(crate) struct TextVisitor;

impl de::Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one string or number")
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

deserialize_from_text!(
    Address,
    AdminAddress,
    ByteSize,
    Count,
    Io,
    LogFilter,
    LogFormat,
    Seconds,
    SlowConsumer,
    Switch
);

/// An address to listen on; port 0 for any that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected = "an address and port, such as 127.0.0.1:8000, 0.0.0.0:8000 or [::]:8000";
        text.parse()
            .map(Address)
            .map_err(|_| ValueError::new(text, expected))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the admin server listens, or the shards by TLS, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// There is none.
    Off,
    /// Here; port 0 for any that is free.
    At(SocketAddr),
}

impl FromStr for AdminAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "off" {
            return Ok(AdminAddress::Off);
        }
        let expected = "an address and port, such as 127.0.0.1:8001, nor `off`";
        text.parse()
            .map(AdminAddress::At)
            .map_err(|_| ValueError::new(text, expected))
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddress::Off => f.write_str("off"),
            AdminAddress::At(address) => address.fmt(f),
        }
    }
}

/// A plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl FromStr for Count {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse()
            .map(Count)
            .map_err(|_| ValueError::new(text, "a whole number"))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of bytes; shown in the largest unit that is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl ByteSize {
    /// The size as people say it, rounded.
    pub fn readable(self) -> String {
        let bytes = self.0;
        match UNITS.iter().find(|(_, size)| bytes >= *size) {
            Some((unit, size)) if bytes.is_multiple_of(*size) => format!("{} {unit}", bytes / size),
            Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
            None => format!("{bytes} bytes"),
        }
    }
}

impl FromStr for ByteSize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (number, unit) = UNITS
            .iter()
            .find_map(|&(name, bytes)| Some((text.strip_suffix(name)?.trim_end(), bytes)))
            .unwrap_or((text, 1));
        let number: Option<u64> = number.parse().ok();
        number
            .and_then(|number| number.checked_mul(unit))
            .map(ByteSize)
            .ok_or_else(|| {
                let expected =
                    "a size: a number of bytes, or a number with KiB, MiB or GiB, such as 64KiB";
                ValueError::new(text, expected)
            })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS
            .iter()
            .find(|&&(_, bytes)| self.0 != 0 && self.0.is_multiple_of(bytes));
        match exact {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => self.0.fmt(f),
        }
    }
}

/// A time in seconds, with fractions down to a millisecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub f64);

impl Seconds {
    /// The time.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.milliseconds())
    }

    /// The time in milliseconds.
    pub fn milliseconds(self) -> u64 {
        (self.0 * 1000.0).round() as u64
    }
}

impl FromStr for Seconds {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse() {
            Ok(seconds) if f64::is_finite(seconds) && seconds >= 0.0 => Ok(Seconds(seconds)),
            _ => Err(ValueError::new(
                text,
                "a number of seconds, such as 25 or 0.5",
            )),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "on" => Ok(Switch(true)),
            "off" => Ok(Switch(false)),
            _ => Err(ValueError::new(text, "`on` or `off`")),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { "on" } else { "off" })
    }
}

/// How the shards do their input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Io(pub ringmain_rt::IoChoice);

impl FromStr for Io {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        use ringmain_rt::IoChoice;
        match text {
            "auto" => Ok(Io(IoChoice::Auto)),
            "uring" => Ok(Io(IoChoice::Uring)),
            "epoll" => Ok(Io(IoChoice::Epoll)),
            _ => Err(ValueError::new(text, "`auto`, `uring` or `epoll`")),
        }
    }
}

impl fmt::Display for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ringmain_rt::IoChoice;
        f.write_str(match self.0 {
            IoChoice::Auto => "auto",
            IoChoice::Uring => "uring",
            IoChoice::Epoll => "epoll",
        })
    }
}

/// What becomes of a room's member that reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowConsumer(pub ringmain_core::SlowConsumer);

impl FromStr for SlowConsumer {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        use ringmain_core::SlowConsumer::{Disconnect, DropOldest, KeepLatest};
        match text {
            "disconnect" => Ok(SlowConsumer(Disconnect)),
            "drop_oldest" => Ok(SlowConsumer(DropOldest)),
            "keep_latest" => Ok(SlowConsumer(KeepLatest)),
            _ => Err(ValueError::new(
                text,
                "`disconnect`, `drop_oldest` or `keep_latest`",
            )),
        }
    }
}

impl fmt::Display for SlowConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ringmain_core::SlowConsumer::{Disconnect, DropOldest, KeepLatest};
        f.write_str(match self.0 {
            Disconnect => "disconnect",
            DropOldest => "drop_oldest",
            KeepLatest => "keep_latest",
        })
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(ValueError::new(text, "`text` or `json`")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

/// What is logged: a level, or levels by target.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter {
    text: String,
    targets: Targets,
}

impl LogFilter {
    /// The same level for all targets.
    pub fn level(level: LevelFilter) -> Self {
        LogFilter {
            text: level.to_string(),
            targets: Targets::new().with_default(level),
        }
    }

    /// The filter itself.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }
}

impl FromStr for LogFilter {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let expected = "a log filter: off, error, warn, info, debug or trace, or with levels by target, such as info,ringmain_shard=debug";
        let error = || ValueError::new(text, expected);
        // `Targets` would take a misspelt level for the name of a target.
        let mut levels = text
            .split(',')
            .map(|part| part.rsplit_once('=').map_or(part, |(_, level)| level));
        if levels.any(|level| level.is_empty() || level.parse::<LevelFilter>().is_err()) {
            return Err(error());
        }
        Ok(LogFilter {
            text: text.to_owned(),
            targets: text.parse().map_err(|_| error())?,
        })
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_plain_numbers_and_binary_units() {
        assert_eq!("65536".parse(), Ok(ByteSize(65536)));
        assert_eq!("64KiB".parse(), Ok(ByteSize(65536)));
        assert_eq!("32 MiB".parse(), Ok(ByteSize(32 << 20)));
        assert_eq!("2GiB".parse(), Ok(ByteSize(2 << 30)));
        for wrong in [
            "",
            "KiB",
            "64KB",
            "64k",
            "-1",
            "1.5MiB",
            "lots",
            "99999999999GiB",
        ] {
            let error = wrong.parse::<ByteSize>().unwrap_err().to_string();
            assert!(error.contains("such as 64KiB"), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_exactly() {
        for (bytes, text) in [
            (0, "0"),
            (1000, "1000"),
            (1024, "1KiB"),
            (1 << 20, "1MiB"),
            (3 << 29, "1536MiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(ByteSize(64 << 10).readable(), "64 KiB");
        assert_eq!(ByteSize(18_000_000_000).readable(), "16.8 GiB");
        assert_eq!(ByteSize(125).readable(), "125 bytes");
    }

    #[test]
    fn seconds_take_fractions_and_nothing_odd() {
        assert_eq!("0.25".parse::<Seconds>().unwrap().milliseconds(), 250);
        assert_eq!("25".parse::<Seconds>().unwrap().to_string(), "25");
        for wrong in ["-1", "inf", "NaN", "5s", ""] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        assert!("info".parse::<LogFilter>().is_ok());
        assert!("warn,ringmain_shard=debug".parse::<LogFilter>().is_ok());
        for wrong in ["inof", "info,ringmain", "ringmain=loud", ""] {
            assert!(wrong.parse::<LogFilter>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_admin_server_can_be_off() {
        assert_eq!("off".parse(), Ok(AdminAddress::Off));
        assert!("127.0.0.1:0".parse::<AdminAddress>().is_ok());
        assert!("localhost".parse::<AdminAddress>().is_err());
    }
}
