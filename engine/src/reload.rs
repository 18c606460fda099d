//! Reading the configuration again while the node runs.

use std::fmt;
use std::sync::Arc;

use ringmain_shard::{Policy, ServerTls, Tickets};

use crate::certificates::{CertificatesError, Stamps};
use crate::config::Settings;
use crate::config::keys::{KEYS, Key};
use crate::host::{Host, HostError};
use crate::plan::{Plan, PlanError};
use crate::policy::{PolicyError, policy, server_tls};
use crate::sources::{Sources, SourcesError};

/// What the node goes by now, and where it looks for what it is to go by next.
pub struct Reloader {
    sources: Sources,
    settings: Settings,
    plan: Plan,
    tickets: Tickets,
    /// The certificates' files, before they were read.
    stamps: Stamps,
}

/// A new configuration that is good.
pub struct Renewal {
    /// What holds from now on: the new values of what can be changed, the old ones of what cannot.
    pub settings: Settings,
    /// What they come to on this host.
    pub plan: Plan,
    /// What the shards are to go by.
    pub policy: Arc<Policy>,
    /// The certificates' files, before they were read for it.
    pub stamps: Stamps,
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
    pub fn new(sources: Sources, settings: Settings, plan: Plan, tickets: Tickets) -> Self {
        Reloader {
            stamps: Stamps::of(&settings),
            sources,
            settings,
            plan,
            tickets,
        }
    }

    /// What the shards are to go by at the start.
    ///
    /// # Errors
    /// A part of it cannot be had.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        policy(&self.settings, &self.plan, &self.tickets)
    }

    /// What the certificates' files hold now.
    ///
    /// # Errors
    /// They cannot be had.
    pub fn certificates(&self) -> Result<Option<ServerTls>, CertificatesError> {
        server_tls(&self.settings, &self.tickets)
    }

    /// The certificates' files as they were before they were read, at the start or by the last reload.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
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
        let sections_kept = keep_sections(&self.settings, &mut settings);
        let plan = self.plan.renewed(&settings, &Host::ask()?)?;
        let stamps = Stamps::of(&settings);
        let policy = Arc::new(policy(&settings, &plan, &self.tickets)?);
        let change = |key: &&Key| Change::of(key, &self.settings, &wanted);
        let sections = self.settings.sections.changes(&wanted.sections);
        let sections = sections.map(|(key, old, new)| Change { key, old, new });
        Ok(Renewal {
            applied: applied.iter().map(change).chain(sections).collect(),
            postponed: postponed.iter().map(change).chain(sections_kept).collect(),
            settings,
            plan,
            policy,
            stamps,
        })
    }

    /// The node goes by this from now on.
    pub fn accept(&mut self, renewal: Renewal) {
        self.settings = renewal.settings;
        self.plan = renewal.plan;
        self.stamps = renewal.stamps;
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

/// Keeps the sections that only a restart changes. Returns those that are another in the sources.
fn keep_sections(old: &Settings, new: &mut Settings) -> Vec<Change> {
    let (old, new) = (&old.sections, &mut new.sections);
    let is_changed = [
        ("[cluster]", old.cluster != new.cluster),
        ("[commands]", old.commands != new.commands),
    ];
    new.cluster = old.cluster.clone();
    new.commands = old.commands.clone();
    let changed = is_changed.into_iter().filter(|(_, is_changed)| *is_changed);
    changed
        .map(|(key, _)| Change {
            key,
            old: "1 table".to_owned(),
            new: "another".to_owned(),
        })
        .collect()
}

/// The keys with another value.
fn changed(old: &Settings, new: &Settings) -> impl Iterator<Item = &'static Key> {
    let is_changed = |key: &&Key| (key.show)(old) != (key.show)(new);
    KEYS.iter().filter(is_changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::ByteSize;
    use crate::config::{Config, Layer};
    use std::path::PathBuf;

    /// Settings with one key set.
    fn with(key: &'static str, value: &str) -> Settings {
        with_all([(key, value)])
    }

    fn with_all<const N: usize>(keys: [(&'static str, &str); N]) -> Settings {
        let layer = Layer::flags(keys.map(|(key, value)| (key, value.to_owned())).into_iter());
        Config::merge(&[layer]).unwrap().settings
    }

    fn tickets() -> Tickets {
        Tickets::new().unwrap()
    }

    fn reloader(settings: Settings) -> Reloader {
        let plan = Plan::new(&settings, &Host::ask().unwrap()).unwrap();
        Reloader::new(Sources::default(), settings, plan, tickets())
    }

    /// An option that a reload takes and that reaches nobody would be a lie.
    #[test]
    fn every_reloadable_key_changes_what_the_shards_go_by() {
        // Read by the control plane itself, when it needs them.
        let elsewhere = ["log", "ready_delay_seconds", "drain_seconds"];
        // Files, which take a listener too: tests/tls.rs.
        let files = ["tls_cert", "tls_key"];
        let host = Host::ask().unwrap();
        let default = Settings::default();
        let plan = Plan::new(&default, &host).unwrap();
        let shown = |settings: &Settings| {
            let plan = plan.renewed(settings, &host).unwrap();
            format!("{:?}", policy(settings, &plan, &tickets()).unwrap())
        };
        for key in KEYS.iter().filter(|key| key.is_reloadable) {
            if elsewhere.contains(&key.name) || files.contains(&key.name) {
                continue;
            }
            let now = (key.show)(&default);
            let other = match key.name {
                "memory_bytes_max" => "64MiB".to_owned(),
                "queue_bytes_max" | "tcp_notsent_bytes_max" => "8KiB".to_owned(),
                "slow_consumer" => "keep_latest".to_owned(),
                "origins" => "https://a.example".to_owned(),
                "origin_missing" => "refuse".to_owned(),
                "compression" | "compression_takeover" => "on".to_owned(),
                "compression_window_bits" => "12".to_owned(),
                name => match now.parse::<ByteSize>() {
                    Ok(ByteSize(size)) => (size + 1).to_string(),
                    Err(_) => match now.parse::<f64>() {
                        Ok(number) => (number + 1.0).to_string(),
                        Err(_) => panic!("{name}: say above how to change it"),
                    },
                },
            };
            // Of compression they say how, once it is on.
            let (before, after) = match key.name.starts_with("compression_") {
                true => (
                    with("compression", "on"),
                    with_all([("compression", "on"), (key.name, &other)]),
                ),
                false => (default.clone(), with(key.name, &other)),
            };
            assert_ne!(shown(&after), shown(&before), "{}", key.name);
        }
    }

    #[test]
    fn changed_sections_are_told() {
        let path =
            std::env::temp_dir().join(format!("ringmain-sections-{}.toml", std::process::id()));
        std::fs::write(
            &path,
            "[[rooms]]\nmatch = \"a:*\"\nslow_consumer = \"keep_latest\"\n",
        )
        .unwrap();
        let settings = Config::merge(&[Layer::file(&path).unwrap()])
            .unwrap()
            .settings;
        std::fs::remove_file(&path).unwrap();
        let renewal = reloader(settings).read().unwrap();
        let told: Vec<_> = renewal.applied.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["[[rooms]]: 1 table -> 0 tables"]);
    }

    #[test]
    fn what_needs_a_restart_is_told_and_stays() {
        let running = Settings {
            drain_seconds: with("drain_seconds", "5").drain_seconds,
            ..with("shards", "3")
        };
        let mut reloader = reloader(running.clone());
        let renewal = reloader.read().unwrap();
        let told = |changes: &[Change]| -> Vec<String> {
            changes.iter().map(ToString::to_string).collect()
        };
        assert_eq!(told(&renewal.applied), ["drain_seconds: 5 -> 60"]);
        assert_eq!(told(&renewal.postponed), ["shards: 3 -> 0"]);
        assert_eq!(renewal.plan.cpus.len(), 3);
        assert_eq!(renewal.settings, with("shards", "3"));
        reloader.accept(renewal);
        // The same is told again, for it is still so; the rest is done.
        let renewal = reloader.read().unwrap();
        assert!(renewal.applied.is_empty());
        assert_eq!(told(&renewal.postponed), ["shards: 3 -> 0"]);
    }

    #[test]
    fn with_an_invalid_configuration_nothing_changes() {
        let sources = Sources::new(Some(PathBuf::from("/nowhere/ringmain.toml")), None);
        let settings = Settings::default();
        let plan = Plan::new(&settings, &Host::ask().unwrap()).unwrap();
        let reloader = Reloader::new(sources, settings, plan, tickets());
        let error = reloader.read().err().unwrap().to_string();
        assert!(error.contains("/nowhere/ringmain.toml"), "{error}");
    }

    #[test]
    fn the_value_of_a_secret_is_not_told() {
        let secret = Key {
            is_secret: true,
            ..KEYS.into_iter().find(|key| key.name == "backlog").unwrap()
        };
        let change = Change::of(&secret, &with("backlog", "17"), &with("backlog", "18"));
        assert_eq!(change.to_string(), "backlog: (secret) -> (secret)");
        assert_eq!(secret.told_toml(&with("backlog", "17")), "\"(secret)\"");
    }
}
