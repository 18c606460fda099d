//! What a setting is, and for how many connections it is set.

mod table;

use crate::value::{Direction, Value};

pub use table::SETTINGS;

/// Connections that both profiles and the documentation are made for, and what they are called.
pub const PROFILES: [(&str, u64); 2] = [("100k", 100_000), ("1m", 1_000_000)];

/// The connections that are meant when nobody says.
pub const CONNECTIONS_DEFAULT: u64 = 100_000;

/// The most connections that can be asked for; the same as the engine's `connections_max`.
pub const CONNECTIONS_MAX: u64 = 100_000_000;

/// Above this many connections, memory for each counts for more than the speed of one.
pub const MANY: u64 = 250_000;

/// What a setting's value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Connections that the host is to hold.
    pub connections: u64,
    /// The host's memory.
    pub memory_bytes: u64,
    /// The size of a page.
    pub page_bytes: u64,
}

impl Target {
    /// A power of two that is at least this share of the connections, within bounds.
    fn power_of_two(&self, numerator: u64, denominator: u64, least: u64, most: u64) -> u64 {
        let share = self.connections.saturating_mul(numerator) / denominator;
        let power = share.checked_next_power_of_two().unwrap_or(most);
        power.clamp(least, most)
    }

    /// The first value up to [`MANY`] connections, else the second.
    fn few_or_many<T>(&self, few: T, many: T) -> T {
        if self.connections <= MANY { few } else { many }
    }

    /// Percent of the memory, in pages.
    fn memory_pages(&self, percent: u64) -> u64 {
        self.memory_bytes / 100 * percent / self.page_bytes.max(1)
    }
}

/// How a setting is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file below `/proc/sys`, kept in `/etc/sysctl.d`.
    Sysctl,
    /// A hard limit of processes, kept in `/etc/security/limits.d`; `LimitNAME=` in a unit.
    Limit {
        /// Its line in `/proc/PID/limits`.
        line: &'static str,
        /// What one unit of `limits.conf` is in the kernel's.
        unit: u64,
        /// Whether the soft limit is set too: Ringmain itself raises that of descriptors at start.
        sets_soft: bool,
        /// The first kernel that does without it.
        needed_before: Option<(u32, u32)>,
    },
    /// A file below `/sys`, kept in `/etc/tmpfiles.d`.
    Sysfs {
        /// Its path.
        path: &'static str,
    },
}

/// What a setting acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole host, containers included; cannot be set in a container.
    Host,
    /// One network namespace: a container has its own.
    Network,
    /// The processes of one login session, unit or container.
    Process,
}

impl Scope {
    /// The word in the documentation.
    pub const fn word(self) -> &'static str {
        match self {
            Scope::Host => "host",
            Scope::Network => "network namespace",
            Scope::Process => "process",
        }
    }
}

/// Whether a setting is changed without being asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Part of tuning for connections.
    Tuning,
    /// Only with `--conntrack`.
    Conntrack,
    /// Only with `--huge-pages`.
    HugePages,
}

/// A setting of the host.
#[derive(Debug)]
pub struct Setting {
    /// The sysctl's name, the limit's in `limits.conf`, or a name of ours for a file below `/sys`.
    pub name: &'static str,
    /// How it is read and written.
    pub kind: Kind,
    /// What it acts on.
    pub scope: Scope,
    /// Whether it has to be asked for.
    pub consent: Consent,
    /// Which values are as good as the wanted one.
    pub direction: Direction,
    /// The value wanted for a target.
    pub value: fn(&Target) -> Value,
    /// How the value follows from the target, for people.
    pub rule: &'static str,
    /// What it is for.
    pub reason: &'static str,
    /// What it may harm.
    pub risk: &'static str,
    /// Where that stands.
    pub source: &'static str,
}

impl Setting {
    /// The setting of this name.
    pub fn find(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Whether it has any effect on a kernel of this version.
    pub fn is_needed(&self, kernel: (u32, u32)) -> bool {
        match self.kind {
            Kind::Limit { needed_before, .. } => needed_before.is_none_or(|first| kernel < first),
            Kind::Sysctl | Kind::Sysfs { .. } => true,
        }
    }

    /// The file that holds its live value; a limit has none.
    pub fn path(&self) -> Option<String> {
        match self.kind {
            Kind::Sysctl => Some(format!("/proc/sys/{}", self.name.replace('.', "/"))),
            Kind::Sysfs { path } => Some(path.to_owned()),
            Kind::Limit { .. } => None,
        }
    }

    /// The command that sets the live value.
    pub fn command(&self, value: &Value) -> String {
        match self.kind {
            Kind::Sysctl => format!("sysctl -w {}=\"{value}\"", self.name),
            Kind::Sysfs { path } => format!("echo {value} > {path}"),
            Kind::Limit { unit, .. } => {
                let number = value.first().unwrap_or_default();
                let unit_line = format!("Limit{}={number}", self.name.to_uppercase());
                format!(
                    "{unit_line} in the unit, or `* hard {} {}` in /etc/security/limits.d",
                    self.name,
                    number / unit
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(connections: u64) -> Target {
        Target {
            connections,
            memory_bytes: 64 << 30,
            page_bytes: 4096,
        }
    }

    fn wanted(name: &str, connections: u64) -> String {
        let setting = Setting::find(name).unwrap();
        (setting.value)(&target(connections)).to_string()
    }

    #[test]
    fn the_values_for_both_profiles_are_the_designed_ones() {
        for (name, few, many) in [
            ("fs.nr_open", "1048576", "2097152"),
            ("fs.file-max", "524288", "2097152"),
            ("net.core.somaxconn", "16384", "65535"),
            ("net.ipv4.tcp_max_syn_backlog", "16384", "65536"),
            ("net.core.netdev_max_backlog", "16384", "65536"),
            (
                "net.ipv4.tcp_rmem",
                "4096 65536 1048576",
                "4096 32768 262144",
            ),
            (
                "net.ipv4.tcp_wmem",
                "4096 16384 1048576",
                "4096 16384 262144",
            ),
            (
                "net.ipv4.tcp_mem",
                "2516582 3355443 4194303",
                "2516582 3355443 5033164",
            ),
            ("net.ipv4.tcp_max_tw_buckets", "262144", "1048576"),
            ("net.ipv4.tcp_max_orphans", "131072", "262144"),
            ("net.ipv4.tcp_fin_timeout", "30", "15"),
            ("nofile", "1048576", "2097152"),
        ] {
            assert_eq!(wanted(name, 100_000), few, "{name}");
            assert_eq!(wanted(name, 1_000_000), many, "{name}");
        }
    }

    #[test]
    fn names_are_there_once_and_texts_are_sentences() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            let twice = SETTINGS[index + 1..]
                .iter()
                .any(|other| other.name == setting.name);
            assert!(!twice, "{} is there twice", setting.name);
            for text in [setting.reason, setting.risk] {
                assert!(
                    text.ends_with('.') && text.len() > 20,
                    "{}: {text}",
                    setting.name
                );
            }
            for text in [setting.rule, setting.source] {
                assert!(
                    !text.is_empty() && !text.contains('|'),
                    "{}: {text}",
                    setting.name
                );
            }
        }
    }

    #[test]
    fn the_descriptor_limit_never_passes_the_kernels_ceiling() {
        for connections in [1, 100_000, 983_040, 983_041, 1_000_000, CONNECTIONS_MAX] {
            let number = |name| wanted(name, connections).parse::<u64>().unwrap();
            assert!(number("nofile") <= number("fs.nr_open"), "{connections}");
            assert!(number("nofile") > connections, "{connections}");
            assert!(number("fs.file-max") > connections, "{connections}");
        }
    }

    proptest! {
        #[test]
        fn more_connections_never_ask_for_less(
            fewer in 1..=CONNECTIONS_MAX,
            more in 1..=CONNECTIONS_MAX,
        ) {
            let (fewer, more) = (fewer.min(more), fewer.max(more));
            for setting in SETTINGS {
                let (small, large) = ((setting.value)(&target(fewer)), (setting.value)(&target(more)));
                prop_assert!(
                    setting.direction.is_met(&large, &small),
                    "{} for {}: {}, for {}: {}", setting.name, fewer, small, more, large
                );
            }
        }

        #[test]
        fn numbers_rise_within_a_value(connections in 1..=CONNECTIONS_MAX, gib in 1u64..4096) {
            for setting in SETTINGS {
                let target = Target { memory_bytes: gib << 30, ..target(connections) };
                prop_assert!((setting.value)(&target).numbers().is_sorted(), "{}", setting.name);
            }
        }
    }
}
