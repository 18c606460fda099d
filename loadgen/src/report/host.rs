//! The host that the load ran on, so that a figure is not read without it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::observe::kernel::kib;

/// Facts that figures depend on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory of the host, in bytes.
    pub memory_bytes: u64,
    /// The load generator's version.
    pub version: String,
    /// The end of the run, in seconds since 1970.
    pub ended_at: u64,
}

impl HostFacts {
    /// Looks at this host, of which the process may use so many cores. The calling thread cannot tell: it is
    /// pinned to one. What cannot be read is empty or 0.
    pub fn look(cores: usize) -> HostFacts {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            matches!(name.trim(), "model name" | "Model").then(|| value.trim().to_owned())
        });
        HostFacts {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores,
            memory_bytes: kib(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ended_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }
}
