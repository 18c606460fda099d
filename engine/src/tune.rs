//! The host: what it can hold (`doctor`), and its settings (`tune`).

use std::io;

use ringmain_router::SHARDS_MAX;
use ringmain_rt::descriptors::Table;
use ringmain_rt::driver::{self, Backend, IoChoice};
use ringmain_rt::thread::{self, ThreadSetup};
use ringmain_shard::descriptors_beside_connections;
use ringmain_tuning::doctor::{Engine, Report};
use ringmain_tuning::tune::files::Files;
use ringmain_tuning::tune::state::State;
use ringmain_tuning::tune::{Options, Outcome, Plan, TuneError, apply, revert};
use ringmain_tuning::{Facts, Root, Setting};
use serde::Serialize;

use crate::cli::{DoctorFlags, TargetFlags, TuneCommand};
use crate::config::Settings;

/// Exit code: the target does not fit, or the system refused something.
const EXIT_NOT_ALL: u8 = 1;

/// What to print, and the exit code.
#[derive(Debug)]
pub struct Answer {
    /// For stdout.
    pub text: String,
    /// 0 if all is well.
    pub code: u8,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HostCommandError {
    /// `--skip` names a setting that there is not.
    #[error("there is no setting \"{0}\" to skip: `ringmain tune plan` lists them")]
    UnknownSetting(String),
    /// Nothing was changed.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// The answer cannot be put into JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Examines the host.
///
/// # Errors
/// There is no answer in JSON.
pub fn doctor(flags: &DoctorFlags) -> Result<Answer, HostCommandError> {
    let facts = Facts::read(&flags.root.root());
    let shards = flags.shards.unwrap_or(facts.cpus.len() as u64);
    let report = Report::new(
        facts,
        probe(shards.clamp(1, SHARDS_MAX as u64)),
        flags.connections,
    );
    Ok(Answer {
        text: if flags.json {
            json(&report)?
        } else {
            report.text()
        },
        code: if report.fits { 0 } else { EXIT_NOT_ALL },
    })
}

/// Finds out by trying what the engine would get here.
fn probe(shards: u64) -> Engine {
    let (io_uring, io_reason) = match driver::choose(IoChoice::Auto) {
        Ok(chosen) => (chosen.backend == Backend::Uring, chosen.reason),
        Err(error) => (false, error.to_string()),
    };
    Engine {
        shards,
        shards_max: SHARDS_MAX as u64,
        io_uring,
        io_reason,
        private_tables: has_private_tables().unwrap_or(false),
        descriptors_reserved: descriptors_beside_connections(0) as u64,
        connections_max_default: Settings::default().connections_max.0,
    }
}

/// A thread that ends at once says whether it got a table of its own.
fn has_private_tables() -> io::Result<bool> {
    let setup = ThreadSetup {
        name: "probe".into(),
        cpu: None,
        keep: Vec::new(),
    };
    let table = thread::spawn(setup, |table, _| table)?.join();
    Ok(table.is_ok_and(|table| table == Table::Private))
}

/// Plans, applies or reverts.
///
/// # Errors
/// Nothing was changed, and why.
pub fn tune(command: &TuneCommand) -> Result<Answer, HostCommandError> {
    match command {
        TuneCommand::Plan { target, json } => plan(target, *json),
        TuneCommand::Apply { target } => {
            let (root, options) = (target.root.root(), options(target)?);
            let outcome = apply(&root, &Facts::read(&root), &options)?;
            let connections = target.connections;
            Ok(told(
                &outcome,
                &format!("this host was tuned for {connections} connections already"),
                "`ringmain tune revert` takes it back",
            ))
        }
        TuneCommand::Revert { root } => {
            let root = root.root();
            let outcome = revert(&root, &Facts::read(&root))?;
            Ok(told(
                &outcome,
                "everything was as before",
                "everything is as before",
            ))
        }
    }
}

fn plan(target: &TargetFlags, as_json: bool) -> Result<Answer, HostCommandError> {
    let root = target.root.root();
    let options = options(target)?;
    let plan = Plan::new(&Facts::read(&root), &State::read(&root)?, &options);
    let text = if as_json {
        json(&plan)?
    } else {
        format!(
            "Settings of this host for {} connections\n\n{}\n{}\n",
            plan.connections,
            plan.text(),
            next(&plan, &root)
        )
    };
    Ok(Answer { text, code: 0 })
}

/// What is left to do, and what the operator should know before.
fn next(plan: &Plan, root: &Root) -> String {
    let files = Files::new(root, plan, &[]);
    let paths: Vec<&str> = files.changed(root).map(|(path, _)| *path).collect();
    let what = match (plan.changes(), paths.as_slice()) {
        (0, []) => "Nothing to change.".to_owned(),
        (0, paths) => format!(
            "Nothing to change now; to write for the next boot {}",
            paths.join(", ")
        ),
        (changes, _) => format!("{changes} to change"),
    };
    let notes = files.notes.iter().map(|note| format!("note: {note}\n"));
    let notes: String = notes.collect();
    if plan.changes() == 0 && paths.is_empty() {
        return notes + &what;
    }
    let connections = plan.connections;
    format!("{notes}{what}: sudo ringmain tune apply --connections {connections}")
}

fn options(target: &TargetFlags) -> Result<Options, HostCommandError> {
    let unknown = target
        .skip
        .iter()
        .find(|name| Setting::find(name).is_none());
    if let Some(name) = unknown {
        return Err(HostCommandError::UnknownSetting(name.clone()));
    }
    Ok(Options {
        connections: target.connections,
        conntrack: target.conntrack,
        huge_pages: target.huge_pages,
        skip: target.skip.clone(),
    })
}

fn told(outcome: &Outcome, nothing: &str, all: &str) -> Answer {
    let (changed, refused) = (outcome.done.len(), outcome.refused.len());
    let last = match (changed, refused) {
        (0, 0) => format!("nothing to do: {nothing}"),
        (_, 0) => format!("done: {all}"),
        _ => format!(
            "{changed} done, {refused} refused: in a container, settings of the host have to be made on the host (tuning/containers.md)"
        ),
    };
    Answer {
        text: format!("{outcome}{last}\n"),
        code: if refused == 0 { 0 } else { EXIT_NOT_ALL },
    }
}

fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}
