//! The files that set the values again at boot and login.

use super::plan::Plan;
use crate::root::Root;
use crate::settings::Kind;

/// Read by systemd-sysctl, or `sysctl --system`.
pub const SYSCTL: &str = "/etc/sysctl.d/90-ringmain.conf";
/// Read by pam_limits at each login.
pub const LIMITS: &str = "/etc/security/limits.d/90-ringmain.conf";
/// Read by systemd-tmpfiles at boot.
pub const TMPFILES: &str = "/etc/tmpfiles.d/90-ringmain.conf";

/// The first lines of each file.
pub fn header(connections: u64) -> String {
    format!(
        "# Ringmain, tuned for {connections} connections. Not to be edited: `ringmain tune apply` writes it anew, and\n\
         # `ringmain tune revert` (or scripts/tune.sh revert) takes it back.\n"
    )
}

/// The files of a plan, with their texts. A file that would be empty is none.
pub fn texts(plan: &Plan, refused: &[&str]) -> Vec<(&'static str, String)> {
    let mut texts = [SYSCTL, LIMITS, TMPFILES].map(|path| (path, String::new()));
    let steps = plan.steps.iter().filter(|step| step.is_kept_in_files());
    for step in steps.filter(|step| !refused.contains(&step.name)) {
        let (name, new) = (step.name, &step.new);
        match step.setting.kind {
            // A leading dash: no error where the module is not loaded.
            Kind::Sysctl if name.starts_with("net.netfilter.") => {
                texts[0].1 += &format!("-{name} = {new}\n");
            }
            Kind::Sysctl => texts[0].1 += &format!("{name} = {new}\n"),
            Kind::Limit {
                unit, sets_soft, ..
            } => {
                let number = new.first().unwrap_or_default() / unit;
                let word = if sets_soft { "-" } else { "hard" };
                // A star is everyone but root.
                for who in ["*", "root"] {
                    texts[1].1 += &format!("{who} {word} {name} {number}\n");
                }
            }
            Kind::Sysfs { path } => texts[2].1 += &format!("w {path} - - - - {new}\n"),
        }
    }
    let header = header(plan.connections);
    let full = texts.into_iter().filter(|(_, text)| !text.is_empty());
    full.map(|(path, text)| (path, format!("{header}{text}")))
        .collect()
}

/// Files that are read after ours and set one of these names too: they win at boot.
pub fn later_files(root: &Root, names: &[&str]) -> Vec<String> {
    let ours = "90-ringmain.conf";
    let directory = "/etc/sysctl.d";
    let later = root.names(directory).into_iter();
    let later = later.filter(|name| name.as_str() > ours && name.ends_with(".conf"));
    let paths = later.map(|name| format!("{directory}/{name}"));
    let setting = |path: String| {
        let text = root.read(&path)?;
        let keys = text.lines().filter_map(|line| line.split_once('='));
        let keys = keys.map(|(key, _)| key.trim().trim_start_matches('-').replace('/', "."));
        let set: Vec<String> = keys.filter(|key| names.contains(&key.as_str())).collect();
        (!set.is_empty()).then(|| {
            format!(
                "{path} also sets {} and is read later at boot",
                set.join(", ")
            )
        })
    };
    paths.filter_map(setting).collect()
}
