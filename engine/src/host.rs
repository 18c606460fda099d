//! What the process has of the host: CPUs and memory.

use std::io;
use std::path::Path;

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
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let total = memory_total(&read("/proc/meminfo")).ok_or(HostError::Memory)?;
        let limit = cgroup_limit(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup"));
        Ok(Host {
            cpus: ringmain_rt::cpu::allowed().map_err(HostError::Cpus)?,
            memory: memory(total, limit),
        })
    }
}

fn memory(total: u64, limit: Option<u64>) -> Memory {
    // Without a limit, version 1 says a number beyond any memory.
    match limit.filter(|&limit| limit < total) {
        Some(bytes) => Memory {
            bytes,
            is_cgroup: true,
        },
        None => Memory {
            bytes: total,
            is_cgroup: false,
        },
    }
}

/// The host's memory in bytes, from the text of `/proc/meminfo`.
fn memory_total(meminfo: &str) -> Option<u64> {
    kibibytes(meminfo, "MemTotal:")
}

/// The process's resident memory in bytes.
pub fn resident_bytes() -> Option<u64> {
    kibibytes(
        &std::fs::read_to_string("/proc/self/status").ok()?,
        "VmRSS:",
    )
}

/// The bytes in a line such as `MemTotal:  2048 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The lowest memory limit among the process's control groups and their parents, in bytes; `root` is
/// where they are mounted, `groups` the text of `/proc/self/cgroup`.
fn cgroup_limit(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let path = Path::new(path.trim_start_matches('/'));
        // Version 2 has one hierarchy and names no controllers; version 1 has one a controller.
        if controllers.is_empty() {
            lowest_limit(root, path, "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            lowest_limit(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

/// The lowest number in files of this name, from the group up to the root. In a container the group's
/// own path may not be there; its limit is at the root then.
fn lowest_limit(root: &Path, group: &Path, file: &str) -> Option<u64> {
    let groups = group.ancestors().map(|group| root.join(group).join(file));
    let texts = groups.filter_map(|path| std::fs::read_to_string(path).ok());
    // "max" is no number, and no limit.
    texts.filter_map(|text| text.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A directory with these files, gone at the end of the test.
    struct Tree(std::path::PathBuf);

    impl Tree {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root =
                std::env::temp_dir().join(format!("ringmain-host-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Tree(root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn version_2_takes_the_lowest_limit_up_to_the_root() {
        let tree = Tree::new(
            "v2",
            &[
                ("slice/memory.max", "1073741824\n"),
                ("slice/service/memory.max", "max\n"),
            ],
        );
        assert_eq!(cgroup_limit(&tree.0, "0::/slice/service\n"), Some(GIB));
        assert_eq!(cgroup_limit(&tree.0, "0::/\n"), None);
    }

    #[test]
    fn a_container_of_version_2_has_its_limit_at_the_root() {
        let tree = Tree::new("v2-container", &[("memory.max", "536870912\n")]);
        assert_eq!(cgroup_limit(&tree.0, "0::/\n"), Some(GIB / 2));
    }

    #[test]
    fn version_1_looks_at_the_memory_controller_alone() {
        let tree = Tree::new(
            "v1",
            &[
                ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/docker/x/memory.limit_in_bytes", "268435456\n"),
                ("cpu/memory.limit_in_bytes", "1\n"),
            ],
        );
        let groups = "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/\n";
        assert_eq!(cgroup_limit(&tree.0, groups), Some(GIB / 4));
        // Seen from within a container the path is the host's and not there.
        assert_eq!(
            cgroup_limit(&tree.0, "4:memory:/elsewhere\n"),
            Some(9_223_372_036_854_771_712)
        );
    }

    #[test]
    fn a_limit_above_the_hosts_memory_is_none() {
        let host = Memory {
            bytes: GIB,
            is_cgroup: false,
        };
        assert_eq!(memory(GIB, Some(9_223_372_036_854_771_712)), host);
        assert_eq!(memory(GIB, None), host);
        assert!(memory(GIB, Some(GIB / 2)).is_cgroup);
    }

    #[test]
    fn the_hosts_memory_is_read_from_meminfo() {
        let text = "MemTotal:       24608632 kB\nMemFree:  1 kB\n";
        assert_eq!(memory_total(text), Some(24_608_632 * 1024));
        assert_eq!(memory_total("nothing"), None);
        assert!(resident_bytes().unwrap() > 0);
    }
}
