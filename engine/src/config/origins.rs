//! Whose pages may connect, as configured.

use std::fmt;
use std::str::FromStr;

use ringmain_shard::Origins;
use ringmain_shard::origin::OriginPattern;
use serde::{Deserialize, Deserializer, de};

use super::Settings;
use super::value::{ValueError, deserialize_from_text};

deserialize_from_text!(OriginMissing);

/// The patterns of the origins that are let in; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginList(pub Vec<OriginPattern>);

impl<'de> Deserialize<'de> for OriginList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl FromStr for OriginList {
    type Err = ringmain_shard::origin::OriginPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let patterns = text.split(',').map(str::trim);
        let patterns = patterns.filter(|pattern| !pattern.is_empty());
        patterns
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(OriginList)
    }
}

impl fmt::Display for OriginList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{pattern}")?;
        }
        Ok(())
    }
}

/// What becomes of requests without an `Origin` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginMissing {
    /// They are let in.
    Allow,
    /// They are answered with 403.
    Refuse,
}

impl FromStr for OriginMissing {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "allow" => Ok(OriginMissing::Allow),
            "refuse" => Ok(OriginMissing::Refuse),
            _ => Err(ValueError::new(text, "`allow` or `refuse`")),
        }
    }
}

impl fmt::Display for OriginMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OriginMissing::Allow => "allow",
            OriginMissing::Refuse => "refuse",
        })
    }
}

/// What the shards go by.
pub fn origins(settings: &Settings) -> Origins {
    Origins {
        allowed: settings.origins.0.clone(),
        missing_allowed: settings.origin_missing == OriginMissing::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_shards_own() {
        assert_eq!(origins(&Settings::default()), Origins::default());
    }

    #[test]
    fn a_list_is_written_as_it_is_read() {
        for text in [
            "",
            "same-host",
            "*",
            "https://*.example.com:8443,*://localhost:*,null",
        ] {
            assert_eq!(text.parse::<OriginList>().unwrap().to_string(), text);
        }
        assert_eq!(
            "same-host, HTTPS://Example.com ,"
                .parse::<OriginList>()
                .unwrap()
                .to_string(),
            "same-host,https://example.com"
        );
    }
}
