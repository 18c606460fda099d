//! Restoring what was there before the first change.

use std::fs;
use std::io;

use super::state::{Entry, RECORD, State, copy_path};
use super::{Outcome, TuneError, need_root};
use crate::facts::Facts;
use crate::root::{Root, write_whole};
use crate::value::Value;

/// Restores values and files. If the system refuses some, the record stays, and revert can be run again.
///
/// # Errors
/// Nothing was changed: not root, nothing was applied, or the record could not be read.
pub fn revert(root: &Root, facts: &Facts) -> Result<Outcome, TuneError> {
    need_root(facts, "revert")?;
    let state = State::read(root)?;
    if !root.path(RECORD).exists() {
        return Err(TuneError::NothingApplied {
            path: RECORD.into(),
        });
    }
    let mut outcome = Outcome::default();
    // The last first: a directory goes after what was made in it.
    for entry in state.entries.iter().rev() {
        match restore(root, entry) {
            Ok(Some(done)) => outcome.done.push(done),
            Ok(None) => {}
            Err(error) => {
                let (Entry::Value(name, _)
                | Entry::Limit(name, _)
                | Entry::Directory(name)
                | Entry::Absent(name)
                | Entry::Saved(name)) = entry;
                outcome.refused.push(format!("{name}: {error}"));
            }
        }
    }
    if outcome.refused.is_empty() {
        forget(root, &state, &mut outcome);
    } else {
        outcome.notes.push(format!(
            "{RECORD} stays: run `tune revert` again once that is mended"
        ));
    }
    Ok(outcome)
}

/// Restores one thing, and says so; nothing if it is as it was.
fn restore(root: &Root, entry: &Entry) -> io::Result<Option<String>> {
    match entry {
        Entry::Value(path, before) => restore_value(root, path, before),
        Entry::Limit(..) => Ok(None),
        Entry::Directory(path) => match fs::remove_dir(root.path(path)) {
            Ok(()) => Ok(Some(format!("{path}/ is removed"))),
            // Others have put something there meanwhile, or have removed it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        },
        Entry::Absent(path) => match fs::remove_file(root.path(path)) {
            Ok(()) => Ok(Some(format!("{path} is removed"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        },
        Entry::Saved(path) => {
            let bytes = fs::read(copy_path(root, path))?;
            let live = root.path(path);
            if fs::read(&live).is_ok_and(|now| now == bytes) {
                return Ok(None);
            }
            write_whole(&live, &bytes)?;
            fs::set_permissions(&live, fs::metadata(copy_path(root, path))?.permissions())?;
            Ok(Some(format!("{path} is as it was")))
        }
    }
}

fn restore_value(root: &Root, path: &str, before: &str) -> io::Result<Option<String>> {
    // With its module, a value may have gone.
    let Some(now) = root.read(path).and_then(|text| Value::parse(&text)) else {
        return Ok(None);
    };
    let wanted = Value::parse(before).ok_or_else(|| {
        io::Error::other(format!("the record says \"{before}\", which is no value"))
    })?;
    if now == wanted {
        return Ok(None);
    }
    fs::write(root.path(path), format!("{before}\n"))?;
    match root.read(path).and_then(|text| Value::parse(&text)) {
        Some(found) if found == wanted => Ok(Some(format!("{path}: {now} -> {wanted}"))),
        found => Err(io::Error::other(format!(
            "{wanted} was written, and the kernel says {}",
            found.map_or_else(String::new, |found| found.to_string())
        ))),
    }
}

/// Removes the record and the copies, and the directories that were made for them.
fn forget(root: &Root, state: &State, outcome: &mut Outcome) {
    let copies = state.entries.iter().filter_map(|entry| match entry {
        Entry::Saved(path) => Some(copy_path(root, path)),
        _ => None,
    });
    // The record first: without it, a copy means nothing.
    for path in [root.path(RECORD)].into_iter().chain(copies) {
        if let Err(error) = fs::remove_file(&path) {
            outcome.refused.push(format!("{}: {error}", path.display()));
        }
    }
    let directories = state.entries.iter().rev();
    for entry in directories.filter(|entry| matches!(entry, Entry::Directory(_))) {
        // Whatever others keep in there stays, and the directory with it.
        let _ = restore(root, entry);
    }
}
