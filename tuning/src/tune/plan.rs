//! What tuning would change on this host.

use serde::Serialize;

use super::state::State;
use crate::facts::Facts;
use crate::settings::{Consent, Kind, SETTINGS, Setting};
use crate::text::{lines, table};
use crate::value::Value;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Connections that the host is to hold.
    pub connections: u64,
    /// Change connection tracking too.
    pub conntrack: bool,
    /// Change huge pages too.
    pub huge_pages: bool,
    /// Settings that are left alone.
    pub skip: Vec<String>,
}

impl Options {
    /// What was applied before was asked for then.
    fn wants(&self, setting: &Setting, was_applied: bool) -> bool {
        let consent = match setting.consent {
            Consent::Tuning => true,
            Consent::Conntrack => self.conntrack || was_applied,
            Consent::HugePages => self.huge_pages || was_applied,
        };
        consent && !self.skip.iter().any(|name| name == setting.name)
    }
}

/// What happens to a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is set.
    Set,
    /// It is good already, and is written for the next boot unless another file sees to that.
    Keep,
    /// It was applied before and is good.
    Applied,
    /// This kernel does not have it, or does not show it here.
    Missing,
}

/// A setting, and what happens to it.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Its value now.
    pub current: Option<Value>,
    /// The value that the table has for this target.
    pub wanted: Value,
    /// The value that it is set to: the wanted one, in no part worse than the current one.
    pub new: Value,
    /// What happens.
    pub action: Action,
    /// What it is for.
    pub reason: &'static str,
    /// What it may harm.
    pub risk: &'static str,
    #[serde(skip)]
    pub(super) setting: &'static Setting,
}

/// All settings that tuning is about.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Connections that the host is to hold.
    pub connections: u64,
    /// Setting by setting, in the order in which they are set.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Compares what the host has with what it should have. `state` is the record of what was applied before.
    pub fn new(facts: &Facts, state: &State, options: &Options) -> Self {
        let target = facts.target(options.connections);
        let step = |setting: &'static Setting| {
            let was_applied = state.has(setting);
            if !options.wants(setting, was_applied) || !setting.is_needed(facts.kernel_version()) {
                return None;
            }
            let current = facts.settings.get(setting.name).cloned();
            let wanted = (setting.value)(&target);
            let new = current.as_ref().map_or_else(
                || wanted.clone(),
                |current| setting.direction.better(current, &wanted),
            );
            let action = match &current {
                None => Action::Missing,
                Some(current) if *current != new => Action::Set,
                Some(_) if was_applied => Action::Applied,
                Some(_) => Action::Keep,
            };
            Some(Step {
                name: setting.name,
                current,
                wanted,
                new,
                action,
                reason: setting.reason,
                risk: setting.risk,
                setting,
            })
        };
        Plan {
            connections: options.connections,
            steps: SETTINGS.iter().filter_map(step).collect(),
        }
    }

    /// How many settings would change.
    pub fn changes(&self) -> usize {
        let set = |step: &&Step| step.action == Action::Set;
        self.steps.iter().filter(set).count()
    }

    /// The plan for people: a table, then reason and risk of each change.
    pub fn text(&self) -> String {
        let mut rows = table(&["setting", "now", "", "wanted"]);
        for step in &self.steps {
            let current = step
                .current
                .as_ref()
                .map_or("-".to_owned(), Value::to_string);
            let (arrow, new) = match step.action {
                Action::Set => ("->", step.new.to_string()),
                Action::Keep | Action::Applied => ("ok", String::new()),
                Action::Missing => (
                    "",
                    "not on this kernel, or not visible in this container".to_owned(),
                ),
            };
            rows.add_row([step.name, &current, arrow, &new]);
        }
        let mut text = lines(&rows);
        let set = |step: &&Step| step.action == Action::Set;
        for step in self.steps.iter().filter(set) {
            let when = match step.setting.kind {
                Kind::Limit { .. } => " From the next login on; a service takes it from its unit.",
                Kind::Sysctl | Kind::Sysfs { .. } => "",
            };
            let (name, reason, risk) = (step.name, step.reason, step.risk);
            text.push_str(&format!(
                "\n{name}\n  why:  {reason}{when}\n  risk: {risk}\n"
            ));
        }
        text
    }
}
