//! How many connections a host can hold, what limits them first, and what to change.

mod bounds;
mod budget;
mod checks;
mod show;

use serde::Serialize;

use crate::facts::Facts;

pub use bounds::Bound;
pub use budget::Budget;

/// What the doctor cannot read from files: how the engine would run here.
#[derive(Clone, Debug, Serialize)]
pub struct Engine {
    /// Shards that it would have.
    pub shards: u64,
    /// The most that it can have.
    pub shards_max: u64,
    /// Whether io_uring was to be had when it was tried.
    pub io_uring: bool,
    /// Why, or why not and what to do.
    pub io_reason: String,
    /// Whether a thread got a descriptor table of its own when that was tried.
    pub private_tables: bool,
    /// Descriptors of a shard's own table that are not for connections, beside one for each shard of the node.
    pub descriptors_reserved: u64,
    /// Connections that it accepts unless it is configured otherwise.
    pub connections_max_default: u64,
}

/// How good a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Good, or without effect here.
    Ok,
    /// The connections fit, but something is slower or riskier than need be.
    Warn,
    /// The connections do not fit.
    Bad,
}

impl Status {
    /// The word in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Bad => "BAD",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What it is.
    pub name: String,
    /// How good it is.
    pub status: Status,
    /// What there is.
    pub found: String,
    /// What to change, a step or a command each; empty when it is good.
    pub change: Vec<String>,
}

impl Check {
    fn ok(name: &str, found: impl Into<String>) -> Self {
        Check::new(name, Status::Ok, found, &[])
    }

    fn warn(name: &str, found: impl Into<String>, change: &[&str]) -> Self {
        Check::new(name, Status::Warn, found, change)
    }

    fn new(name: &str, status: Status, found: impl Into<String>, change: &[&str]) -> Self {
        Check {
            name: name.to_owned(),
            status,
            found: found.into(),
            change: change.iter().map(|&step| step.to_owned()).collect(),
        }
    }
}

/// What the doctor has to say.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Connections that the host is to hold.
    pub connections: u64,
    /// Whether they fit.
    pub fits: bool,
    /// Connections that the host can hold now.
    pub holds: u64,
    /// What limits them first.
    pub limited_by: &'static str,
    /// Everything that limits them, the tightest first.
    pub bounds: Vec<Bound>,
    /// What so many connections take of the memory.
    pub budget: Budget,
    /// All that was looked at: first what limits, then what slows.
    pub checks: Vec<Check>,
    /// How the engine would run.
    pub engine: Engine,
    /// What the host has.
    pub facts: Facts,
}

impl Report {
    /// Examines a host.
    pub fn new(facts: Facts, engine: Engine, connections: u64) -> Self {
        let budget = Budget::new(&facts, connections);
        let bounds = bounds::of(&facts, &engine, &budget);
        let tightest = bounds.first();
        let holds = tightest.map_or(0, |bound| bound.connections);
        let limiting = bounds.iter().map(|bound| bound.check(connections));
        let checks = limiting
            .chain(checks::of(&facts, &engine, &budget))
            .collect();
        Report {
            connections,
            fits: holds >= connections,
            holds,
            limited_by: tightest.map_or("", |bound| bound.name),
            bounds,
            budget,
            checks,
            engine,
            facts,
        }
    }

    /// The report for people.
    pub fn text(&self) -> String {
        show::text(self)
    }
}
