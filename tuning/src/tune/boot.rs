//! What the host's files of kernel settings set at boot.

use std::collections::BTreeMap;
use std::fs;

use super::files::SYSCTL;
use crate::root::Root;
use crate::value::Value;

/// Of files with the same name, the one in the first of these is read alone.
const DIRECTORIES: [&str; 5] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];
/// Read last by `sysctl --system`, and by some versions of systemd not at all.
const LAST: &str = "/etc/sysctl.conf";

/// The text of a file, empty if there is none. What is no UTF-8 is no obstacle: it can only be in comments.
pub fn text_of(root: &Root, path: &str) -> String {
    let bytes = fs::read(root.path(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The setting that a line of such a file is about, by the name that we have for it.
pub fn key(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, is_excluded) = match line.split_once('=') {
        Some((key, _)) => (key.trim(), false),
        None => (line, true),
    };
    let bare = key.trim_start_matches('-');
    // A dash says that errors do not matter; without a value, that a pattern elsewhere does not mean this one.
    let is_setting = !bare.is_empty() && (!is_excluded || bare.len() < key.len());
    is_setting.then(|| bare.replace('/', "."))
}

/// The value that a text sets last.
pub fn value(text: &str, name: &str) -> Option<Value> {
    let lines = text.lines().rev();
    let mut of_name = lines.filter(|line| key(line).as_deref() == Some(name));
    of_name.find_map(|line| Value::parse(line.split_once('=')?.1))
}

/// Files other than ours, in the order in which they are read.
pub struct Others {
    files: Vec<(String, String)>,
    last: String,
}

impl Others {
    /// Reads them.
    pub fn read(root: &Root) -> Self {
        let mut paths = BTreeMap::new();
        for directory in DIRECTORIES {
            for name in root.names(directory) {
                let path = format!("{directory}/{name}");
                paths.entry(name).or_insert(path);
            }
        }
        let others = paths.into_iter();
        let others = others.filter(|(name, _)| name.ends_with(".conf") && name != name_of(SYSCTL));
        let read = |(_, path): (String, String)| {
            let text = text_of(root, &path);
            (path, text)
        };
        Others {
            files: others.map(read).collect(),
            last: text_of(root, LAST),
        }
    }

    /// The value that they leave a setting at. Not by the file that not everyone reads.
    pub fn value(&self, name: &str) -> Option<Value> {
        let mut files = self.files.iter().rev();
        files.find_map(|(_, text)| value(text, name))
    }

    /// The least number that a setting may have after a boot at which our file sets it to `ours`, and the file it is by:
    /// none if it is the kernel's own.
    pub fn least(&self, name: &str, ours: Option<u64>, kernels_own: u64) -> (u64, Option<String>) {
        let number = |(path, text): &(String, String)| {
            let number = value(text, name)?.first()?;
            Some((number, Some(path.clone())))
        };
        let (later, before): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(path, _)| is_later(path));
        let ours = ours.map(|number| (number, Some(SYSCTL.to_owned())));
        let found = later.into_iter().rev().find_map(number);
        let found = found.or(ours);
        let found = found.or_else(|| before.into_iter().rev().find_map(number));
        let found = found.unwrap_or((kernels_own, None));
        let last = value(&self.last, name).and_then(|value| value.first());
        let last = last.map(|number| (number, Some(LAST.to_owned())));
        last.filter(|last| last.0 < found.0).unwrap_or(found)
    }

    /// Files that are read after ours and set one of these names too: they win at boot.
    pub fn later(&self, names: &[&str]) -> Vec<String> {
        let later = self.files.iter().filter(|(path, _)| is_later(path));
        let setting = |(path, text): &(String, String)| {
            let keys = text.lines().filter_map(key);
            let set: Vec<String> = keys.filter(|key| names.contains(&key.as_str())).collect();
            (!set.is_empty()).then(|| {
                format!(
                    "{path} also sets {} and is read later at boot",
                    set.join(", ")
                )
            })
        };
        later.filter_map(setting).collect()
    }
}

/// Files are read in the order of their names, whatever directory they lie in.
fn is_later(path: &str) -> bool {
    name_of(path) > name_of(SYSCTL)
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
