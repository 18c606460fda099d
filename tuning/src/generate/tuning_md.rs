//! `docs/tuning.md`: an introduction, the settings, and what is left alone.

use super::{COMMAND, value_on, value_text};
use crate::settings::{Consent, PROFILES, SETTINGS, Setting};
use crate::value::Direction;

/// The memory of the host that the documentation's examples are for.
const MEMORY_GIB: u64 = 32;

/// The document.
pub fn text() -> String {
    let overview: String = SETTINGS.iter().map(row).collect();
    let details: String = SETTINGS.iter().map(section).collect();
    include_str!("tuning.md.in")
        .replace("{{command}}", COMMAND)
        .replace("{{overview}}\n", &overview)
        .replace("{{settings}}\n", &details)
}

fn values(setting: &Setting) -> [String; 2] {
    PROFILES.map(|(_, connections)| {
        let text = value_text(setting, connections);
        match text.strip_prefix("memory:") {
            Some(percents) => format!("{}% of the memory", percents.replace(',', "%, ")),
            None => text,
        }
    })
}

fn row(setting: &Setting) -> String {
    let [few, many] = values(setting);
    let (name, scope, direction) = (setting.name, setting.scope.word(), direction(setting));
    format!(
        "| `{name}` | {direction} | {few} | {many} | {scope}{} |\n",
        consent(setting)
    )
}

fn direction(setting: &Setting) -> &'static str {
    match setting.direction {
        Direction::AtLeast => "at least",
        Direction::AtMost => "at most",
        Direction::Exactly => "exactly",
        Direction::Covers => "at least this range",
    }
}

fn consent(setting: &Setting) -> &'static str {
    match setting.consent {
        Consent::Tuning => "",
        Consent::Conntrack => "; only with `--conntrack`",
        Consent::HugePages => "; only with `--huge-pages`",
    }
}

fn section(setting: &Setting) -> String {
    let example = if value_text(setting, 1).starts_with("memory:") {
        let [few, many] =
            PROFILES.map(|(_, connections)| value_on(setting, connections, MEMORY_GIB << 30));
        format!(
            "* **Example**, {MEMORY_GIB} GiB and pages of 4 KiB: {few} for 100,000 connections, {many} for 1,000,000\n"
        )
    } else {
        String::new()
    };
    format!(
        "### `{}`\n\n{}\n\n* **Value**: {}\n{example}* **Risk**: {}\n* **Source**: {}\n\n",
        setting.name, setting.reason, setting.rule, setting.risk, setting.source
    )
}
