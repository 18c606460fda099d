//! Reading the configuration again while the node runs.

use std::fmt;
use std::sync::Arc;

use ringmain_shard::Policy;

use crate::config::Settings;
use crate::config::keys::{KEYS, Key};
use crate::host::{Host, HostError};
use crate::plan::{Plan, PlanError};
use crate::policy::{PolicyError, policy};
use crate::sources::{Sources, SourcesError};

/// What the node goes by now, and where it looks for what it is to go by next.
pub struct Reloader {
    sources: Sources,
    settings: Settings,
    plan: Plan,
}

/// A new configuration that is good.
pub struct Renewal {
    /// What holds from now on: the new values of what can be changed, the old ones of what cannot.
    pub settings: Settings,
    /// What they come to on this host.
    pub plan: Plan,
    /// What the shards are to go by.
    pub policy: Arc<Policy>,
    /// Keys whose value is new.
    pub applied: Vec<Change>,
    /// Keys whose value is new in the sources, and which only a restart can change.
    pub postponed: Vec<Change>,
}

/// A key with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    old: String,
    new: String,
}

/// Why the old configuration stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The engine would not start with the new one.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// The host does not say what it has.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Together with what only a restart can change it does not fit the host.
    #[error("with the values that only a restart can change left as they are: {0}")]
    Plan(#[from] PlanError),
    /// A part of what the shards go by cannot be had.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl Reloader {
    /// For a node that was started with these settings from these sources.
    pub fn new(sources: Sources, settings: Settings, plan: Plan) -> Self {
        Reloader {
            sources,
            settings,
            plan,
        }
    }

    /// What the node goes by now.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What that comes to on this host.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Reads the sources again. Nothing is changed yet: [`accept`](Self::accept) does that.
    ///
    /// # Errors
    /// Why the old configuration stays.
    pub fn read(&self) -> Result<Renewal, ReloadError> {
        let (config, _) = self.sources.read()?;
        let wanted = config.settings;
        let (postponed, applied): (Vec<_>, Vec<_>) =
            changed(&self.settings, &wanted).partition(|key| !key.is_reloadable);
        let mut settings = wanted.clone();
        for key in &postponed {
            (key.keep)(&self.settings, &mut settings);
        }
        let plan = self.plan.renewed(&settings, &Host::ask()?)?;
        let policy = Arc::new(policy(&settings, &plan)?);
        let change = |key: &&Key| Change::of(key, &self.settings, &wanted);
        Ok(Renewal {
            applied: applied.iter().map(change).collect(),
            postponed: postponed.iter().map(change).collect(),
            settings,
            plan,
            policy,
        })
    }

    /// The node goes by this from now on.
    pub fn accept(&mut self, renewal: Renewal) {
        self.settings = renewal.settings;
        self.plan = renewal.plan;
    }
}

impl Change {
    fn of(key: &Key, old: &Settings, new: &Settings) -> Self {
        Change {
            key: key.name,
            old: key.told(old),
            new: key.told(new),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.key, self.old, self.new)
    }
}

/// The keys with another value.
fn changed(old: &Settings, new: &Settings) -> impl Iterator<Item = &'static Key> {
    let is_changed = |key: &&Key| (key.show)(old) != (key.show)(new);
    KEYS.iter().filter(is_changed)
}
