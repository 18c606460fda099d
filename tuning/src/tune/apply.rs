//! Setting what the plan says, after a record of what was there.

use std::fs;
use std::io;
use std::path::Path;

use super::boot::Others;
use super::files::{self, Files};
use super::plan::{Action, Options, Plan, Step};
use super::state::{self, Entry, State};
use super::{Outcome, TuneError, need_root};
use crate::facts::Facts;
use crate::root::{Root, write_whole};
use crate::value::Value;

/// Applies the settings for a target. What the system refuses is in the outcome, and the rest is done.
///
/// # Errors
/// Nothing was changed: not root, or the record could not be read or written.
pub fn apply(root: &Root, facts: &Facts, options: &Options) -> Result<Outcome, TuneError> {
    need_root(facts, "apply")?;
    let mut state = State::read(root)?;
    let plan = Plan::new(facts, &state, options);
    record(root, &plan, &mut state)?;
    let mut outcome = Outcome::default();
    let mut refused = Vec::new();
    for step in plan.steps.iter().filter(|step| step.action == Action::Set) {
        let Some(path) = step.setting.path() else {
            continue;
        };
        match set(root, &path, &step.new) {
            Ok(()) => outcome.done.push(describe(step)),
            Err(error) => {
                outcome.refused.push(format!("{}: {error}", step.name));
                refused.push(step.name);
            }
        }
    }
    write_files(root, &plan, &refused, &mut outcome);
    let missing = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Missing);
    for step in missing {
        outcome.notes.push(format!(
            "{} is not on this kernel, or not visible in this container",
            step.name
        ));
    }
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name).collect();
    outcome.notes.extend(Others::read(root).later(&names));
    Ok(outcome)
}

/// Writes down what is there now of all that will change.
fn record(root: &Root, plan: &Plan, state: &mut State) -> Result<(), TuneError> {
    let steps = plan.steps.iter().filter(|step| step.action == Action::Set);
    for step in steps {
        match step.setting.path() {
            Some(path) => {
                let text = root.read(&path).unwrap_or_default();
                // Of a list of choices the one in force, since that is what can be written.
                let text = match &step.current {
                    Some(Value::Word(word)) => word.clone(),
                    _ => text,
                };
                state.add(Entry::Value(path, text));
            }
            None => {
                let current = step.current.as_ref().map(Value::to_string);
                state.add(Entry::Limit(step.name.into(), current.unwrap_or_default()));
            }
        }
    }
    for directory in missing_directories(root, state::RECORD) {
        state.add(Entry::Directory(directory));
    }
    fs::create_dir_all(root.path(state::DIRECTORY)).map_err(state::record_error)?;
    for path in files_of(root, plan) {
        if state.knows_file(path) {
            continue;
        }
        let live = root.path(path);
        if live.try_exists().map_err(state::record_error)? {
            fs::copy(&live, state::copy_path(root, path)).map_err(state::record_error)?;
            state.add(Entry::Saved(path.into()));
        } else {
            for directory in missing_directories(root, path) {
                state.add(Entry::Directory(directory));
            }
            state.add(Entry::Absent(path.into()));
        }
    }
    state.write(root)
}

/// The files that will be written, however much the system refuses.
fn files_of(root: &Root, plan: &Plan) -> impl Iterator<Item = &'static str> {
    let set = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Set && step.setting.path().is_some());
    let all: Vec<&str> = set.map(|step| step.name).collect();
    let texts = [&[][..], &all].map(|refused| Files::new(root, plan, refused).texts);
    let is_of = move |path: &str| texts.iter().flatten().any(|(known, _)| *known == path);
    let paths = [files::SYSCTL, files::LIMITS, files::TMPFILES];
    paths.into_iter().filter(move |path| is_of(path))
}

/// Directories above a file that are not there, outermost first.
fn missing_directories(root: &Root, path: &str) -> Vec<String> {
    let above = Path::new(path).ancestors().skip(1);
    let above = above.filter_map(Path::to_str);
    let missing = above.take_while(|path| !root.path(path).exists());
    let mut missing: Vec<String> = missing.map(str::to_owned).collect();
    missing.reverse();
    missing
}

/// Sets a live value, and looks whether it was taken.
fn set(root: &Root, path: &str, value: &Value) -> io::Result<()> {
    fs::write(root.path(path), format!("{value}\n"))?;
    let text = root.read(path).unwrap_or_default();
    if Value::parse(&text).as_ref() == Some(value) {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{value} was written, and the kernel says {text}"
        )))
    }
}

fn describe(step: &Step) -> String {
    let current = step
        .current
        .as_ref()
        .map(Value::to_string)
        .unwrap_or_default();
    format!("{}: {current} -> {}", step.name, step.new)
}

fn write_files(root: &Root, plan: &Plan, refused: &[&str], outcome: &mut Outcome) {
    let files = Files::new(root, plan, refused);
    for (path, text) in files.changed(root) {
        let live = root.path(path);
        let directory = live.parent().unwrap_or(Path::new("/"));
        match fs::create_dir_all(directory).and_then(|()| write_whole(&live, text.as_bytes())) {
            Ok(()) if *path == files::LIMITS => outcome
                .done
                .push(format!("{path} is written: from the next login on")),
            Ok(()) => outcome.done.push(format!("{path} is written")),
            Err(error) => outcome.refused.push(format!("{path}: {error}")),
        }
    }
    outcome.notes.extend(files.notes);
}
