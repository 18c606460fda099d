//! An explanation as text.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use ringmain_shard::auth::{Grant, TokenRefusal};
use serde_json::{Map, Value};

use super::explain::Explanation;

/// The latest time that is shown as a date, in seconds since 1970: the year 9999.
const DATE_MAX_S: u64 = 253_402_300_799;

/// The parts of the token as tables, and what comes of them.
pub fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    if let Some(token) = &explanation.token {
        let parts = [("header", &token.header), ("claims", &token.claims)];
        for (name, part) in parts {
            let _ = writeln!(text, "{name}\n{}", table(part, explanation.now_s));
        }
    }
    match &explanation.verdict {
        Ok(grant) => text += &taken(grant, explanation.now_s),
        Err(refusal) => {
            let _ = writeln!(text, "refused: {refusal} ({})", refusal.name());
            text += &remedy(*refusal, explanation);
        }
    }
    text
}

fn table(part: &Map<String, Value>, now_s: u64) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    for (name, value) in part {
        let value = match (name.as_str(), value.as_f64()) {
            ("exp" | "nbf" | "iat", Some(at)) if at >= 0.0 => {
                format!("{value}  {}", moment(at as u64, now_s))
            }
            _ => plain(&value.to_string()),
        };
        table.add_row([plain(name), value]);
    }
    let lines = table.lines();
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// What a token says without what a terminal would take for a command.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

fn taken(grant: &Grant, now_s: u64) -> String {
    let user = grant.user.as_ref();
    let user = user.map_or_else(
        || "nobody in particular".to_owned(),
        |user| format!("{user:?}"),
    );
    let ends = match grant.expires_at_s {
        Some(at) => format!("with the leeway until {}", moment(at, now_s)),
        None => "without end: it has no claim `exp`".to_owned(),
    };
    let mut text = format!("taken, as {user}, {ends}\n");
    for rule in grant.rights.rules() {
        let rights = match (rule.join, rule.publish) {
            (true, true) => "join, publish",
            (true, false) => "join",
            (false, true) => "publish",
            (false, false) => "nothing",
        };
        let _ = writeln!(text, "  {:?}: {rights}", rule.rooms.as_str());
    }
    if grant.rights.are_none() {
        text += "  it allows nothing in any room: there is nothing in its claim `rooms`\n";
    }
    text
}

/// What could be done about it, where more can be said than to somebody outside.
fn remedy(refusal: TokenRefusal, explanation: &Explanation) -> String {
    match refusal {
        TokenRefusal::NotConfigured => {
            "name a configuration with `[[auth.keys]]` or `jwks_file` by --config\n".to_owned()
        }
        TokenRefusal::UnknownKey
        | TokenRefusal::AlgorithmNotAllowed
        | TokenRefusal::BadSignature => {
            format!("keys here: {}\n", explanation.keys.join(", "))
        }
        TokenRefusal::WrongIssuer => "`issuer` in `[auth]` says whose are taken\n".to_owned(),
        TokenRefusal::WrongAudience => "`audience` in `[auth]` says for whom\n".to_owned(),
        TokenRefusal::Expired | TokenRefusal::NotYetValid => {
            "`leeway_seconds` in `[auth]` says by how much clocks may differ\n".to_owned()
        }
        _ => String::new(),
    }
}

/// A time as a date, and how far it is.
fn moment(at_s: u64, now_s: u64) -> String {
    if at_s > DATE_MAX_S {
        return "in more than a thousand years".to_owned();
    }
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at_s));
    match at_s.checked_sub(now_s) {
        Some(0) => format!("{date}, now"),
        Some(left) => format!("{date}, in {}", span(left)),
        None => format!("{date}, {} ago", span(now_s - at_s)),
    }
}

/// A span of time in its largest unit, rounded down.
fn span(seconds: u64) -> String {
    let units = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let mut units = units.into_iter();
    let (unit, name) = units
        .find(|(unit, _)| seconds >= *unit)
        .unwrap_or((1, "second"));
    let count = seconds / unit;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_now() {
        let now = 1_800_000_000;
        let date = "Fri, 15 Jan 2027 08:00:00 GMT";
        assert_eq!(moment(now, now), format!("{date}, now"));
        assert_eq!(moment(now, now - 3_600), format!("{date}, in 1 hour"));
        assert_eq!(moment(now, now + 150), format!("{date}, 2 minutes ago"));
        assert_eq!(moment(u64::MAX, now), "in more than a thousand years");
    }

    #[test]
    fn a_terminal_gets_no_commands() {
        assert_eq!(plain("a\u{1b}[2J\u{9b}ü"), "a\\u{1b}[2J\\u{9b}ü");
    }
}
