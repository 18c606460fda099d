//! What the process has of the host: CPUs and memory.

use std::io;

use ringmain_tuning::Root;
use ringmain_tuning::facts::memory;

/// Facts of the host that a configuration is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// CPUs that the process may use, lowest first.
    pub cpus: Vec<usize>,
    /// Memory that the process may use.
    pub memory: Memory,
}

/// An amount of memory, and what sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// How much.
    pub bytes: u64,
    /// Whether a control group holds the process below the host's memory.
    pub is_cgroup: bool,
}

/// A fact cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The system does not say which CPUs.
    #[error("cannot find out which CPUs the process may use: {0}")]
    Cpus(io::Error),
    /// There is no `/proc`, or it is of another kind.
    #[error(
        "cannot read the host's memory from /proc/meminfo: mount /proc, or set memory_bytes_max"
    )]
    Memory,
}

impl Host {
    /// Asks the system.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ask() -> Result<Self, HostError> {
        let memory = memory::Memory::read(&Root::default());
        if memory.total_bytes == 0 {
            return Err(HostError::Memory);
        }
        Ok(Host {
            cpus: ringmain_rt::cpu::allowed().map_err(HostError::Cpus)?,
            memory: Memory {
                bytes: memory.limit_bytes,
                is_cgroup: memory.group.is_some(),
            },
        })
    }
}

/// The process's resident memory in bytes.
pub fn resident_bytes() -> Option<u64> {
    memory::kibibytes(
        &std::fs::read_to_string("/proc/self/status").ok()?,
        "VmRSS:",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_cpus_and_memory() {
        let host = Host::ask().unwrap();
        assert!(!host.cpus.is_empty());
        assert!(host.memory.bytes > resident_bytes().unwrap());
        assert!(resident_bytes().unwrap() > 0);
    }
}
