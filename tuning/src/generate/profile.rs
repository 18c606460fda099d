//! A sysctl file for a number of connections, to be copied as it is.

use super::{COMMAND, is_sysctl, value_on, value_text};
use crate::settings::SETTINGS;
use crate::text::grouped;

/// Sizes of hosts for which values that depend on the memory are written out.
const MEMORY_GIB: [u64; 4] = [8, 16, 32, 64];

/// The file.
pub fn text(name: &str, connections: u64) -> String {
    let connections_text = grouped(connections);
    let mut text = format!(
        "# Kernel settings for {connections_text} connections to Ringmain. Copy to /etc/sysctl.d/90-ringmain.conf, then `sysctl --system`.\n\
         # Unlike `ringmain tune apply` and scripts/tune.sh, a copied file also lowers what was better before, and keeps no\n\
         # record. Reasons, risks and sources: docs/tuning.md.\n\
         # Generated: {COMMAND}\n"
    );
    for setting in SETTINGS.iter().filter(is_sysctl) {
        let value = value_text(setting, connections);
        text += &format!("\n# {}\n", setting.reason);
        if value.starts_with("memory:") {
            text += &format!(
                "# Percent of the memory, in pages of 4 KiB: choose one line. scripts/tune.sh apply {name} computes it.\n"
            );
            for gib in MEMORY_GIB {
                let value = value_on(setting, connections, gib << 30);
                text += &format!("#{} = {value}  # {gib} GiB\n", setting.name);
            }
        } else {
            text += &format!("{} = {value}\n", setting.name);
        }
    }
    text
}
