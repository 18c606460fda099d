//! Connection tracking, TCP's memory and the interfaces.

use serde::Serialize;

use super::first_number;
use crate::root::Root;

/// The table of tracked connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Conntrack {
    /// Entries that it may have.
    pub max: u64,
    /// Entries that it has.
    pub count: u64,
}

impl Conntrack {
    /// None where the module is not loaded.
    pub fn read(root: &Root) -> Option<Self> {
        Some(Conntrack {
            max: first_number(root, "/proc/sys/net/netfilter/nf_conntrack_max")?,
            count: first_number(root, "/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0),
        })
    }

    /// Whether it follows the connections of this network namespace. Loaded, it tracks nothing until a rule needs it.
    pub fn is_in_use(self) -> bool {
        self.count > 0
    }
}

/// Pages in the buffers of all TCP sockets, from `/proc/net/sockstat`.
pub fn tcp_memory_pages(root: &Root) -> Option<u64> {
    let text = root.read("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Queues that it receives on, each served by one CPU at a time.
    pub receive_queues: usize,
    /// Whether packets of a queue are spread over CPUs in software (RPS).
    pub is_spread: bool,
}

/// The interfaces that have a device: not loopback, bridges or virtual pairs.
pub fn interfaces(root: &Root) -> Vec<Interface> {
    let base = "/sys/class/net";
    let names = root.names(base).into_iter();
    let devices = names.filter(|name| root.path(&format!("{base}/{name}/device")).exists());
    let interface = |name: String| {
        let queues = root.names(&format!("{base}/{name}/queues"));
        let receive: Vec<&String> = queues
            .iter()
            .filter(|queue| queue.starts_with("rx-"))
            .collect();
        let masks = receive
            .iter()
            .filter_map(|queue| root.read(&format!("{base}/{name}/queues/{queue}/rps_cpus")));
        let is_spread = masks
            .into_iter()
            .any(|mask| mask.contains(|c| c != '0' && c != ','));
        Interface {
            receive_queues: receive.len(),
            is_spread,
            name,
        }
    };
    devices.map(interface).collect()
}
