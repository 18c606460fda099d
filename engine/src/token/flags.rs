//! The flags of `token make` and `token explain`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use ringmain_core::Pattern;
use ringmain_shard::auth::Algorithm;

const MAKE_EXAMPLES: &str = "\
Examples:
  ringmain token make --config ringmain.toml --sub anna --room 'chat:*=join,publish'
  ringmain token make --secret-file secret --room 'news=join' --room 'chat:*' --ttl 15m
  ringmain token make --private-key-file key.pem --algorithm ES256 --sub anna --room '*'

Exit codes:
  0   the token is on stdout
  1   it cannot be made, or the configuration would refuse it
  2   wrong command line or configuration";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  ringmain token make --config ringmain.toml --room '*' | ringmain token explain - --config ringmain.toml
  ringmain token explain --json \"$TOKEN\" | jq .claims

A token on the command line can be seen by other users of the host, and stays in the shell's history: `-` reads it from
standard input.

Exit codes:
  0   it would be taken
  1   it would be refused, and why
  2   wrong command line or configuration";

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, for development
    #[command(after_help = MAKE_EXAMPLES)]
    Make(MakeFlags),
    /// Show what a token says, and whether this configuration would take it
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainFlags),
}

/// What the token is to say, and what signs it.
#[derive(Debug, Args)]
pub struct MakeFlags {
    /// Whose it is
    #[arg(long, value_name = "USER")]
    pub sub: Option<String>,
    /// Rooms, and what may be done there: join, publish or both, which is the default; may be given several times
    #[arg(long = "room", value_name = "PATTERN[=RIGHTS]")]
    pub rooms: Vec<RoomFlag>,
    /// How long it is good, in s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub ttl: Ttl,
    /// Who issues it [default: the first that the configuration takes]
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// For whom it is meant [default: the first that the configuration takes]
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// The identifier of the key, `kid` [default: that of the configuration]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Sign with this secret, by HS256
    #[arg(long, value_name = "FILE", conflicts_with = "private_key_file")]
    pub secret_file: Option<PathBuf>,
    /// Sign with this private key in PEM
    #[arg(long, value_name = "FILE", requires = "algorithm")]
    pub private_key_file: Option<PathBuf>,
    /// What the private key is for: RS256, ES256 or EdDSA
    #[arg(long, value_name = "NAME")]
    pub algorithm: Option<Algorithm>,
    /// The configuration file with `[auth]`, whose first secret signs if nothing else does; also RINGMAIN_CONFIG
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Which token to explain, and who would take it.
#[derive(Debug, Args)]
pub struct ExplainFlags {
    /// The token; `-` or nothing: from standard input
    #[arg(value_name = "TOKEN", default_value = "-", hide_default_value = true)]
    pub token: String,
    /// The configuration file with `[auth]`; also RINGMAIN_CONFIG
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// Rooms, and what may be done there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomFlag {
    /// Which.
    pub pattern: Pattern,
    /// To become a member, or listen.
    pub join: bool,
    /// To publish.
    pub publish: bool,
}

impl FromStr for RoomFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, rights) = text.rsplit_once('=').unwrap_or((text, "join,publish"));
        let mut room = RoomFlag {
            pattern: Pattern::new(pattern).map_err(|error| error.to_string())?,
            join: false,
            publish: false,
        };
        for right in rights.split(',') {
            match right {
                "join" => room.join = true,
                "publish" => room.publish = true,
                _ => {
                    return Err(format!(
                        "behind the last `=` stands what may be done, `join`, `publish` or `join,publish`, and not `{right}`"
                    ));
                }
            }
        }
        Ok(room)
    }
}

/// How long a token is good, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(pub u64);

/// The longest, in seconds: ten years.
const TTL_SECONDS_MAX: u64 = 10 * 365 * 86_400;

impl FromStr for Ttl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        let mut units = units.into_iter();
        units
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
            .and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(seconds))
            .filter(|seconds| (1..=TTL_SECONDS_MAX).contains(seconds))
            .map(Ttl)
            .ok_or_else(|| {
                "a time is a number with s, m, h or d, such as 15m, up to 3650d".to_owned()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_patterns_with_rights() {
        for (text, pattern, join, publish) in [
            ("chat:*", "chat:*", true, true),
            ("chat:*=join,publish", "chat:*", true, true),
            ("a=b=join", "a=b", true, false),
            ("news=publish", "news", false, true),
        ] {
            let room: RoomFlag = text.parse().unwrap();
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(
                room,
                RoomFlag {
                    pattern,
                    join,
                    publish
                }
            );
        }
        for wrong in ["", "=join", "chat=", "chat=read", "a=b", "chat=join,"] {
            assert!(wrong.parse::<RoomFlag>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Ttl(seconds)));
        }
        for wrong in [
            "",
            "0s",
            "1",
            "h",
            "1w",
            "-1h",
            "3651d",
            "99999999999999999999d",
        ] {
            assert!(wrong.parse::<Ttl>().is_err(), "{wrong}");
        }
    }
}
