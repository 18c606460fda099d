//! Files that are made from the table: `cargo run -p ringmain-tuning --example generate` writes them, and a test holds
//! them to it.

mod profile;
mod script;
mod tuning_md;

use std::path::Path;
use std::{fs, io};

use crate::settings::{Consent, Kind, PROFILES, Setting, Target};
use crate::value::Value;

/// How to make them anew.
pub const COMMAND: &str = "cargo run -p ringmain-tuning --example generate";

/// All generated files of a checkout, as paths in it, with their texts.
///
/// # Errors
/// `scripts/tune.sh`, of which only the table is generated, cannot be read or has no place for it.
pub fn files(checkout: &Path) -> io::Result<Vec<(String, String)>> {
    let script = "scripts/tune.sh";
    let text = fs::read_to_string(checkout.join(script))?;
    let mut files: Vec<(String, String)> = PROFILES
        .iter()
        .map(|(name, connections)| {
            let path = format!("tuning/files/sysctl-{name}.conf");
            (path, profile::text(name, *connections))
        })
        .collect();
    files.push((script.to_owned(), script::with_table(&text)?));
    files.push(("docs/tuning.md".to_owned(), tuning_md::text()));
    Ok(files)
}

/// A setting's value for a profile; for what depends on the memory, the percents: `memory:15,20,25`.
fn value_text(setting: &Setting, connections: u64) -> String {
    let value = |memory_bytes| {
        (setting.value)(&Target {
            connections,
            memory_bytes,
            page_bytes: 1,
        })
    };
    // With 100 pages of one byte, a share of the memory is its percents.
    let (small, large) = (value(100), value(200));
    if small == large {
        return small.to_string();
    }
    let percents: Vec<String> = small.numbers().iter().map(u64::to_string).collect();
    format!("memory:{}", percents.join(","))
}

/// A setting's value on a host of this size.
fn value_on(setting: &Setting, connections: u64, memory_bytes: u64) -> Value {
    (setting.value)(&Target {
        connections,
        memory_bytes,
        page_bytes: 4096,
    })
}

fn is_sysctl(setting: &&Setting) -> bool {
    setting.kind == Kind::Sysctl && setting.consent == Consent::Tuning
}
