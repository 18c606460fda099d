//! What the host has, read from `/proc` and `/sys`.

pub mod memory;
mod network;
mod process;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::root::Root;
use crate::settings::{Kind, SETTINGS, Setting, Target};
use crate::value::Value;

pub use memory::Memory;
pub use network::{Conntrack, Interface};

/// A page where the system does not say: that of x86-64, and of most ARM64 kernels.
const PAGE_BYTES_DEFAULT: u64 = 4096;

/// Facts of a host, as seen by this process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// The kernel's release.
    pub kernel: String,
    /// The user that the process acts as; 0 is root.
    pub user: Option<u32>,
    /// The size of a page.
    pub page_bytes: u64,
    /// The settings that this host has, with their values. A limit is the hard one of this process.
    pub settings: BTreeMap<&'static str, Value>,
    /// Open files of all processes.
    pub files_open: Option<u64>,
    /// Memory of the host and of the process's control group.
    pub memory: Memory,
    /// CPUs that the process may use.
    pub cpus: Vec<usize>,
    /// CPUs' worth of time that the control group allows; none without a quota.
    pub cpu_quota: Option<f64>,
    /// NUMA nodes that those CPUs belong to.
    pub numa_nodes: Vec<usize>,
    /// `kernel.io_uring_disabled`; none where the kernel has no such switch.
    pub io_uring_disabled: Option<u64>,
    /// Connection tracking; none where it is not loaded.
    pub conntrack: Option<Conntrack>,
    /// Pages that the buffers of all TCP sockets take now.
    pub tcp_memory_pages: Option<u64>,
    /// Network interfaces that have a device.
    pub interfaces: Vec<Interface>,
}

impl Facts {
    /// Reads the facts of a host. What cannot be read is none.
    pub fn read(root: &Root) -> Self {
        let status = root.read("/proc/self/status").unwrap_or_default();
        let cpus = process::cpus_allowed(&status);
        Facts {
            kernel: root.read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            user: process::effective_user(&status),
            page_bytes: process::page_bytes(root).unwrap_or(PAGE_BYTES_DEFAULT),
            settings: settings(root),
            files_open: first_number(root, "/proc/sys/fs/file-nr"),
            memory: Memory::read(root),
            cpu_quota: process::cpu_quota(root),
            numa_nodes: process::numa_nodes(root, &cpus),
            cpus,
            io_uring_disabled: first_number(root, "/proc/sys/kernel/io_uring_disabled"),
            conntrack: Conntrack::read(root),
            tcp_memory_pages: network::tcp_memory_pages(root),
            interfaces: network::interfaces(root),
        }
    }

    /// The first number of a setting; none if the host does not have it.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.settings.get(name)?.first()
    }

    /// What the settings' values depend on, for this many connections on this host.
    pub fn target(&self, connections: u64) -> Target {
        Target {
            connections,
            memory_bytes: self.memory.total_bytes,
            page_bytes: self.page_bytes,
        }
    }

    /// Major and minor number of the kernel; zeros if it does not say.
    pub fn kernel_version(&self) -> (u32, u32) {
        let mut numbers = self.kernel.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        (next().unwrap_or(0), next().unwrap_or(0))
    }
}

/// The settings of the table that the host has.
fn settings(root: &Root) -> BTreeMap<&'static str, Value> {
    let limits = root.read("/proc/self/limits").unwrap_or_default();
    let read = |setting: &'static Setting| {
        let text = match (setting.kind, setting.path()) {
            (Kind::Limit { line, .. }, _) => process::hard_limit(&limits, line)?.to_owned(),
            (_, Some(path)) => root.read(&path)?,
            (_, None) => return None,
        };
        Some((setting.name, Value::parse(&text)?))
    };
    SETTINGS.iter().filter_map(read).collect()
}

fn first_number(root: &Root, path: &str) -> Option<u64> {
    Value::parse(&root.read(path)?)?.first()
}

/// Numbers of a list such as `0-3,8`; what is not one is left out.
fn numbers_of_list(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    });
    // No kernel has more CPUs than this; a bound for what the text says.
    ranges.flatten().take(1 << 16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(numbers_of_list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(numbers_of_list(""), [] as [usize; 0]);
        assert_eq!(numbers_of_list("x,1"), [1]);
    }

    #[test]
    fn this_host_has_what_every_linux_has() {
        let facts = Facts::read(&Root::default());
        assert!(facts.kernel_version() >= (5, 0), "{}", facts.kernel);
        assert!(facts.memory.total_bytes > 1 << 20);
        assert!(facts.memory.available_bytes > 0);
        assert!(facts.page_bytes.is_power_of_two());
        assert!(!facts.cpus.is_empty());
        assert!(facts.number("nofile").is_some_and(|limit| limit > 0));
        assert!(facts.number("fs.nr_open").is_some());
    }

    #[test]
    fn a_tree_without_anything_gives_no_facts() {
        let facts = Facts::read(&Root::new("/nonexistent"));
        assert!(facts.settings.is_empty());
        assert_eq!(facts.memory.total_bytes, 0);
        assert_eq!(facts.kernel_version(), (0, 0));
        assert_eq!(facts.page_bytes, 4096);
    }
}
