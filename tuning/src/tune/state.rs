//! The record of what was there before the first change.
//!
//! Text, so that it can be read by people and by `scripts/tune.sh`; a line each:
//!
//! ```text
//! value /proc/sys/net/core/somaxconn 4096
//! limit nofile 20000
//! directory /etc/security/limits.d
//! absent /etc/security/limits.d/90-ringmain.conf
//! saved /etc/sysctl.d/90-ringmain.conf
//! ```
//!
//! A value is what the kernel showed; a limit is only remembered as applied; a directory was made and goes
//! if it is empty; a file was absent and is removed, or was saved beside the record and is copied back.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::TuneError;
use crate::root::{Root, write_whole};
use crate::settings::Setting;

/// The directory of the record.
pub const DIRECTORY: &str = "/var/lib/ringmain/tune";
/// The record.
pub const RECORD: &str = "/var/lib/ringmain/tune/before";

const HEADER: &str = "# What was there before Ringmain tuned this host. `ringmain tune revert` and scripts/tune.sh revert read it.\n";

/// One thing that was there, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A live value: the path of its file and its text.
    Value(String, String),
    /// A limit, by name, and the hard limit of the process that applied it.
    Limit(String, String),
    /// A directory that was made.
    Directory(String),
    /// A file that did not exist.
    Absent(String),
    /// A file that was copied beside the record.
    Saved(String),
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Entry::Value(path, text) => format!("value {path} {text}\n"),
            Entry::Limit(name, text) => format!("limit {name} {text}\n"),
            Entry::Directory(path) => format!("directory {path}\n"),
            Entry::Absent(path) => format!("absent {path}\n"),
            Entry::Saved(path) => format!("saved {path}\n"),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        let pair = || {
            let (name, text) = rest.split_once(' ')?;
            Some((name.to_owned(), text.to_owned()))
        };
        match kind {
            "value" => pair().map(|(path, text)| Entry::Value(path, text)),
            "limit" => pair().map(|(name, text)| Entry::Limit(name, text)),
            "directory" => Some(Entry::Directory(rest.to_owned())),
            "absent" => Some(Entry::Absent(rest.to_owned())),
            "saved" => Some(Entry::Saved(rest.to_owned())),
            _ => None,
        }
    }
}

/// The record; empty where nothing was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// In the order in which things were found.
    pub entries: Vec<Entry>,
}

impl State {
    /// Reads the record.
    ///
    /// # Errors
    /// It is there and cannot be read, or has a line of an unknown kind.
    pub fn read(root: &Root) -> Result<Self, TuneError> {
        let unreadable = |reason| TuneError::Unreadable {
            path: RECORD.into(),
            reason,
        };
        let text = match fs::read_to_string(root.path(RECORD)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let entry = |line: &str| {
            Entry::parse(line)
                .ok_or_else(|| unreadable(format!("the line \"{line}\" is of no known kind")))
        };
        Ok(State {
            entries: lines.map(entry).collect::<Result<_, _>>()?,
        })
    }

    /// Writes the record onto the disk, whole or not at all.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, root: &Root) -> Result<(), TuneError> {
        let write = || {
            fs::create_dir_all(root.path(DIRECTORY))?;
            let lines: String = self.entries.iter().map(Entry::line).collect();
            write_whole(&root.path(RECORD), format!("{HEADER}{lines}").as_bytes())
        };
        write().map_err(record_error)
    }

    /// Whether this setting was applied.
    pub fn has(&self, setting: &Setting) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Value(path, _) => setting.path().as_ref() == Some(path),
            Entry::Limit(name, _) => setting.name == name,
            _ => false,
        })
    }

    /// Adds what was not known yet.
    pub fn add(&mut self, entry: Entry) {
        let is_same = |known: &Entry| match (known, &entry) {
            (Entry::Value(known, _), Entry::Value(path, _))
            | (Entry::Limit(known, _), Entry::Limit(path, _))
            | (Entry::Directory(known), Entry::Directory(path))
            | (
                Entry::Absent(known) | Entry::Saved(known),
                Entry::Absent(path) | Entry::Saved(path),
            ) => known == path,
            _ => false,
        };
        if !self.entries.iter().any(is_same) {
            self.entries.push(entry);
        }
    }

    /// Whether something is known of this file.
    pub fn knows_file(&self, path: &str) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Absent(known) | Entry::Saved(known) => known == path,
            _ => false,
        })
    }
}

/// Where the copy of a saved file lies: its path with dashes, beside the record.
pub fn copy_path(root: &Root, path: &str) -> PathBuf {
    let name = path.trim_start_matches('/').replace('/', "-");
    root.path(&format!("{DIRECTORY}/{name}"))
}

pub(super) fn record_error(source: io::Error) -> TuneError {
    TuneError::Record {
        path: RECORD.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_of_a_thing_counts() {
        let mut state = State::default();
        state.add(Entry::Value("/a".into(), "1 2".into()));
        state.add(Entry::Value("/a".into(), "3".into()));
        state.add(Entry::Absent("/f".into()));
        state.add(Entry::Saved("/f".into()));
        let expected = [
            Entry::Value("/a".into(), "1 2".into()),
            Entry::Absent("/f".into()),
        ];
        assert_eq!(state.entries, expected);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for entry in [
            Entry::Value("/proc/sys/a".into(), "1\t2\t3".into()),
            Entry::Limit("nofile".into(), "unlimited".into()),
            Entry::Directory("/etc/x y".into()),
            Entry::Absent("/etc/f".into()),
            Entry::Saved("/etc/g".into()),
        ] {
            assert_eq!(Entry::parse(entry.line().trim_end()), Some(entry));
        }
        assert_eq!(Entry::parse("what /x"), None);
    }
}
