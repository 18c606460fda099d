//! The configuration as text.

use std::fmt::Write;

use super::keys::KEYS;
use super::sections::Sections;
use super::{Config, Settings};

/// A configuration file with all keys, what they mean and allow, and these values.
pub fn template(settings: &Settings) -> String {
    let mut text = String::from(
        "# Configuration of Ringmain. Each key can also be set in the environment, as RINGMAIN_ and its name in capitals.\n\
         # Sizes are in bytes, or text with KiB, MiB or GiB. After a change: SIGHUP, or a restart where one is needed.\n",
    );
    for key in &KEYS {
        text.push('\n');
        for line in key.meaning.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "# Allowed: {}.", key.allowed);
        if !key.is_reloadable {
            let _ = writeln!(text, "# A change needs a restart.");
        }
        let _ = writeln!(text, "{} = {}", key.name, key.toml(settings));
    }
    text + &Sections::examples()
}

/// The effective values, and where each was set.
pub fn effective(config: &Config) -> String {
    let lines: String = KEYS
        .iter()
        .map(|key| {
            let value = format!("{} = {}", key.name, key.told_toml(&config.settings));
            format!("{value:<42} # {}\n", config.origin(key.name))
        })
        .collect();
    lines + &config.settings.sections.toml(config.places())
}
