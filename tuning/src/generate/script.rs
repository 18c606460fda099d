//! The table inside `scripts/tune.sh`.

use std::io;

use super::{COMMAND, value_text};
use crate::settings::{Consent, Kind, PROFILES, SETTINGS, Setting};

const BEGIN: &str = "# BEGIN generated";
const END: &str = "# END generated";

/// The script with its table made anew.
///
/// # Errors
/// It has no place for the table.
pub fn with_table(script: &str) -> io::Result<String> {
    let lost = || {
        io::Error::other(format!(
            "scripts/tune.sh has no lines \"{BEGIN}\" and \"{END}\""
        ))
    };
    let (before, rest) = script.split_once(BEGIN).ok_or_else(lost)?;
    let (_, after) = rest.split_once(END).ok_or_else(lost)?;
    let rows: String = SETTINGS.iter().map(row).collect();
    Ok(format!("{before}{BEGIN}: {COMMAND}\n{rows}{END}{after}"))
}

fn row(setting: &Setting) -> String {
    let consent = match setting.consent {
        Consent::Tuning => "tuning",
        Consent::Conntrack => "conntrack",
        Consent::HugePages => "huge-pages",
    };
    let path = setting.path().unwrap_or_default();
    let (kind, path, unit, before) = match setting.kind {
        Kind::Sysctl => ("sysctl", path, 1, None),
        Kind::Sysfs { .. } => ("sysfs", path, 1, None),
        Kind::Limit {
            line,
            unit,
            needed_before,
            ..
        } => ("limit", line.to_owned(), unit, needed_before),
    };
    let before = before.map_or("-".to_owned(), |(major, minor)| format!("{major}.{minor}"));
    let values = PROFILES.map(|(_, connections)| value_text(setting, connections));
    let (direction, name) = (setting.direction.word(), setting.name);
    format!(
        "{kind};{consent};{direction};{name};{path};{unit};{before};{}\n",
        values.join(";")
    )
}
