//! Changing the host's settings, and taking the change back.
//!
//! [`Plan`] says what would change. [`apply`] writes down what was there, sets the live values and writes the
//! files that set them again at boot ([`files`]). [`revert`] restores both. Applying again changes what is left to change and keeps
//! the first record; `scripts/tune.sh` uses the same files, so each can take back what the other did.

mod apply;
mod boot;
mod ceiling;
pub mod files;
mod plan;
mod revert;
pub mod state;

pub use apply::apply;
pub use plan::{Action, Options, Plan, Step};
pub use revert::revert;

use std::io;

use serde::Serialize;

use crate::facts::Facts;

/// What was done, thing by thing. Its text is a line each.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// What was changed or restored.
    pub done: Vec<String>,
    /// What the system refused, by name, and why.
    pub refused: Vec<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.done {
            writeln!(f, "{line}")?;
        }
        for line in &self.refused {
            writeln!(f, "refused: {line}")?;
        }
        self.notes
            .iter()
            .try_for_each(|line| writeln!(f, "note: {line}"))
    }
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// Not root.
    #[error(
        "`tune {verb}` changes settings of the whole host and needs root: run it with sudo. `ringmain tune plan` shows what it would do"
    )]
    NotRoot {
        /// What was asked for.
        verb: &'static str,
    },
    /// The record of what was there cannot be written.
    #[error(
        "cannot keep what was there in {path}: {source}. Nothing was changed, since it could not be taken back"
    )]
    Record {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The record of what was there cannot be understood.
    #[error(
        "cannot read {path}: {reason}. Nothing was changed. Restore by hand what it names, then remove it"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// There is nothing to take back.
    #[error("nothing to revert: {path} is not there, so nothing was applied on this host")]
    NothingApplied {
        /// Where the record would be.
        path: String,
    },
}

fn need_root(facts: &Facts, verb: &'static str) -> Result<(), TuneError> {
    match facts.user {
        Some(0) => Ok(()),
        _ => Err(TuneError::NotRoot { verb }),
    }
}
