//! Memory of the host, and what control groups leave of it.

use std::path::Path;

use serde::Serialize;

use crate::root::Root;

/// Memory that the process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The host's.
    pub total_bytes: u64,
    /// What the host could give now, with caches dropped.
    pub available_bytes: u64,
    /// The most that the process may use: the lowest limit of its control groups, or the host's memory.
    pub limit_bytes: u64,
    /// Of the control groups with a limit below the host's memory, the one that leaves the least. Others in it count, so
    /// this may be one with a higher limit.
    pub group: Option<Group>,
}

/// A control group with a memory limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its directory.
    pub path: String,
    /// Its limit.
    pub limit_bytes: u64,
    /// What it has in use, without files that can be dropped.
    pub used_bytes: u64,
}

impl Group {
    /// What its processes could still take.
    pub fn free_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes)
    }
}

impl Memory {
    /// Reads it; zeros where there is no `/proc`.
    pub fn read(root: &Root) -> Self {
        let text = root.read("/proc/meminfo").unwrap_or_default();
        let total_bytes = kibibytes(&text, "MemTotal:").unwrap_or(0);
        let mut groups = groups(root);
        // Without a limit, version 1 says a number beyond any memory.
        groups.retain(|group| group.limit_bytes < total_bytes);
        let limits = groups.iter().map(|group| group.limit_bytes);
        Memory {
            total_bytes,
            available_bytes: kibibytes(&text, "MemAvailable:").unwrap_or(0),
            limit_bytes: limits.min().unwrap_or(total_bytes),
            group: groups.into_iter().min_by_key(Group::free_bytes),
        }
    }

    /// What the process could still take.
    pub fn free_bytes(&self) -> u64 {
        let group = self.group.as_ref().map_or(u64::MAX, Group::free_bytes);
        self.available_bytes.min(group)
    }
}

/// The bytes in a line such as `MemTotal:  2048 kB` of a file in `/proc`.
pub fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The process's control groups and their parents that have a memory limit. In a container a group's own
/// path may not be there; its limit is at the root then.
fn groups(root: &Root) -> Vec<Group> {
    let text = root.read("/proc/self/cgroup").unwrap_or_default();
    let groups = text.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            return Vec::new();
        };
        // Version 2 has one hierarchy and names no controllers; version 1 has one a controller.
        let (base, files) = match controllers {
            "" => ("/sys/fs/cgroup", VERSION_2),
            list if list.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", VERSION_1)
            }
            _ => return Vec::new(),
        };
        let ancestors = Path::new(path.trim_start_matches('/')).ancestors();
        let groups = ancestors.filter_map(|group| read_group(root, base, group, files));
        groups.collect()
    });
    groups.collect()
}

/// Names of the files of a group: limit, usage, and the line in `memory.stat` of files that can be dropped.
type Files = (&'static str, &'static str, &'static str);
const VERSION_2: Files = ("memory.max", "memory.current", "inactive_file");
const VERSION_1: Files = (
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
);

fn read_group(root: &Root, base: &str, group: &Path, files: Files) -> Option<Group> {
    let (limit, usage, droppable) = files;
    let path = format!("{base}/{}", group.display());
    let path = path.trim_end_matches('/').to_owned();
    let number = |name: &str| root.read(&format!("{path}/{name}"))?.parse::<u64>().ok();
    // "max" is no number, and no limit.
    let limit_bytes = number(limit)?;
    let stat = root
        .read(&format!("{path}/memory.stat"))
        .unwrap_or_default();
    let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
    let dropped = lines.find(|(name, _)| *name == droppable);
    let dropped = dropped
        .and_then(|(_, bytes)| bytes.parse().ok())
        .unwrap_or(0);
    Some(Group {
        limit_bytes,
        used_bytes: number(usage).unwrap_or(0).saturating_sub(dropped),
        path,
    })
}
