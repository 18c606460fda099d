//! The files that set the values again at boot and login.
//!
//! A file of these names may be there already: a profile that was copied, or what was applied before. What it sets and we do
//! not, it sets in the new one too.

use super::boot::{self, Others};
use super::ceiling::Ceiling;
use super::plan::{Action, Plan, Step};
use crate::root::Root;
use crate::settings::Kind;
use crate::value::{UNLIMITED, Value};

/// Read by systemd-sysctl, or `sysctl --system`.
pub const SYSCTL: &str = "/etc/sysctl.d/90-ringmain.conf";
/// Read by pam_limits at each login.
pub const LIMITS: &str = "/etc/security/limits.d/90-ringmain.conf";
/// Read by systemd-tmpfiles at boot.
pub const TMPFILES: &str = "/etc/tmpfiles.d/90-ringmain.conf";

/// Above the lines of a file that was there.
const KEPT: &str = "# Kept of what this file set before:\n";

/// The first lines of each file.
pub fn header(connections: u64) -> String {
    format!(
        "# Ringmain, tuned for {connections} connections. Not to be edited: `ringmain tune apply` writes it anew, and\n\
         # `ringmain tune revert` (or scripts/tune.sh revert) takes it back.\n"
    )
}

/// The files of a plan.
#[derive(Debug, Default)]
pub struct Files {
    /// Their paths and texts. A file that would be empty is none.
    pub texts: Vec<(&'static str, String)>,
    /// What the operator should know of them.
    pub notes: Vec<String>,
}

/// A line, and what it is about: of two lines with one key only one can count.
struct Line {
    key: String,
    text: String,
}

impl Files {
    /// The files of a plan of which all was set but what was refused.
    pub fn new(root: &Root, plan: &Plan, refused: &[&str]) -> Self {
        let steps: Vec<&Step> = plan
            .steps
            .iter()
            .filter(|step| step.action != Action::Missing && !refused.contains(&step.name))
            .collect();
        let others = Others::read(root);
        let old = [SYSCTL, LIMITS, TMPFILES].map(|path| boot::text_of(root, path));
        let sysctls = joined(&sysctl_lines(&steps, &old[0], &others), &old[0], |line| {
            Some((boot::key(line)?, line.trim().to_owned()))
        });
        // Where there is nothing of ours to write, the old file stays.
        let at_boot = [&sysctls, &old[0]]
            .into_iter()
            .find(|text| !text.is_empty());
        let at_boot = at_boot.map_or("", String::as_str);
        let mut ceiling = Ceiling::find(root, &steps, at_boot, &others);
        let limits = limit_lines(&steps, &old[1], &mut ceiling);
        let limits = joined(&limits, &old[1], |line| kept_limit(line, &mut ceiling));
        let tmpfiles = joined(&sysfs_lines(&steps), &old[2], |line| {
            let key = line.split_whitespace().nth(1)?.to_owned();
            (!line.trim().starts_with('#')).then(|| (key, line.trim().to_owned()))
        });
        let header = header(plan.connections);
        let texts = [(SYSCTL, sysctls), (LIMITS, limits), (TMPFILES, tmpfiles)];
        let full = texts.into_iter().filter(|(_, text)| !text.is_empty());
        Files {
            texts: full
                .map(|(path, text)| (path, format!("{header}{text}")))
                .collect(),
            notes: ceiling.note().into_iter().collect(),
        }
    }

    /// Those that differ from what is there.
    pub fn changed(&self, root: &Root) -> impl Iterator<Item = &(&'static str, String)> {
        self.texts
            .iter()
            .filter(|(path, text)| root.read(path).as_deref() != Some(text.trim()))
    }
}

/// Our lines, after those of the old file that are about something else. Of two lines the later one counts.
fn joined(
    ours: &[Line],
    old: &str,
    mut read: impl FnMut(&str) -> Option<(String, String)>,
) -> String {
    let mut text = String::new();
    let mut is_changed = !ours.is_empty();
    for before in old.lines() {
        let read = read(before).filter(|(key, _)| ours.iter().all(|ours| ours.key != *key));
        if let Some((_, line)) = read {
            text += if text.is_empty() { KEPT } else { "" };
            text += &format!("{line}\n");
            is_changed |= line != before.trim();
        }
    }
    // A file that we have nothing to say in stays as it is.
    if !is_changed {
        return String::new();
    }
    ours.iter().for_each(|line| text += &line.text);
    text
}

/// Kernel settings: also those that are good already, unless another file sees to that.
fn sysctl_lines(steps: &[&Step], old: &str, others: &Others) -> Vec<Line> {
    let of_kind = steps
        .iter()
        .filter(|step| step.setting.kind == Kind::Sysctl);
    let line = |step: &&&Step| {
        let (name, direction) = (step.name, step.setting.direction);
        let old = boot::value(old, name);
        let is_met = |value: Value| direction.is_met(&value, &step.wanted);
        if step.action == Action::Keep && old.is_none() && others.value(name).is_some_and(is_met) {
            return None;
        }
        let value = old.map_or_else(|| step.new.clone(), |old| direction.better(&old, &step.new));
        // A leading dash: no error where the module is not loaded.
        let dash = if name.starts_with("net.netfilter.") {
            "-"
        } else {
            ""
        };
        Some(Line {
            key: name.to_owned(),
            text: format!("{dash}{name} = {value}\n"),
        })
    };
    of_kind.filter_map(|step| line(&step)).collect()
}

/// Limits that were set. What this session has already is not everyone's: it is left to whatever gave it.
fn limit_lines(steps: &[&Step], old: &str, ceiling: &mut Ceiling) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in steps {
        let Kind::Limit {
            unit, sets_soft, ..
        } = step.setting.kind
        else {
            continue;
        };
        if step.action == Action::Keep {
            continue;
        }
        let new = match step.new.first().unwrap_or_default() {
            UNLIMITED => UNLIMITED,
            number => number / unit,
        };
        let word = if sets_soft { "-" } else { "hard" };
        // A star is everyone but root.
        for who in ["*", "root"] {
            let key = format!("{who} {word} {}", step.name);
            let old = old.lines().rev().filter_map(limit);
            let mut of_key = old.filter(|(known, _)| *known == key);
            let old = of_key.find_map(|(_, number)| Value::parse(number));
            let direction = step.setting.direction;
            let better = |old| direction.better(&old, &new.into());
            let number = old.map_or(new, |old| better(old).first().unwrap_or(new));
            let number = ceiling.of_limit(step.name, number);
            // Where the ceiling leaves no more than there is, there is nothing to write.
            if step.name != "nofile" || Some(number) > step.current.as_ref().and_then(Value::first)
            {
                let value = Value::from(number);
                let text = format!("{key} {value}\n");
                lines.push(Line { key, text });
            }
        }
    }
    lines
}

/// What a line of limits is about, and its number.
fn limit(line: &str) -> Option<(String, &str)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [who, ..] if who.starts_with('#') => None,
        [who, word, name, number, ..] => Some((format!("{who} {word} {name}"), number)),
        _ => None,
    }
}

/// A line of limits that was there, under the ceiling.
fn kept_limit(line: &str, ceiling: &mut Ceiling) -> Option<(String, String)> {
    let (key, number) = limit(line)?;
    let name = key.rsplit(' ').next().unwrap_or_default();
    // What is not a number stands for no limit.
    let number: u64 = number.parse().unwrap_or(UNLIMITED);
    let text = match ceiling.of_limit(name, number) {
        lower if lower < number => format!("{key} {lower}"),
        _ => line.trim().to_owned(),
    };
    Some((key, text))
}

fn sysfs_lines(steps: &[&Step]) -> Vec<Line> {
    let line = |step: &&Step| match step.setting.kind {
        Kind::Sysfs { path } => Some(Line {
            key: path.to_owned(),
            text: format!("w {path} - - - - {}\n", step.new),
        }),
        Kind::Sysctl | Kind::Limit { .. } => None,
    };
    steps.iter().filter_map(line).collect()
}
