//! What the process may use: limits, CPUs, pages.

use std::path::Path;

use super::numbers_of_list;
use crate::root::Root;

/// The hard limit in a line of `/proc/self/limits`: name, soft, hard and unit, apart by white space.
pub fn hard_limit<'a>(limits: &'a str, name: &str) -> Option<&'a str> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1)
}

/// The effective user, from the text of `/proc/self/status`.
pub fn effective_user(status: &str) -> Option<u32> {
    field(status, "Uid:")?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// The CPUs that may be used, from the text of `/proc/self/status`.
pub fn cpus_allowed(status: &str) -> Vec<usize> {
    field(status, "Cpus_allowed_list:").map_or_else(Vec::new, numbers_of_list)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// The size of a page, as the kernel tells each program in its auxiliary vector.
pub fn page_bytes(root: &Root) -> Option<u64> {
    /// `AT_PAGESZ` of `getauxval(3)`.
    const PAGE_SIZE: usize = 6;
    let vector = std::fs::read(root.path("/proc/self/auxv")).ok()?;
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).unwrap_or(0);
    const WORD: usize = size_of::<usize>();
    let mut pairs = vector.chunks_exact(2 * WORD);
    let found = pairs.find(|pair| word(&pair[..WORD]) == PAGE_SIZE)?;
    Some(word(&found[WORD..]) as u64)
}

/// NUMA nodes that have one of these CPUs.
pub fn numa_nodes(root: &Root, cpus: &[usize]) -> Vec<usize> {
    let base = "/sys/devices/system/node";
    let names = root.names(base);
    let nodes = names.iter().filter_map(|name| {
        let number: usize = name.strip_prefix("node")?.parse().ok()?;
        let list = root.read(&format!("{base}/{name}/cpulist"))?;
        let mut members = numbers_of_list(&list).into_iter();
        members.any(|cpu| cpus.contains(&cpu)).then_some(number)
    });
    let mut nodes: Vec<usize> = nodes.collect();
    nodes.sort_unstable();
    nodes
}

/// CPUs' worth of time that the process's control group or one above it allows.
pub fn cpu_quota(root: &Root) -> Option<f64> {
    let groups = root.read("/proc/self/cgroup")?;
    let quotas = groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let base = match controllers {
            "" => "/sys/fs/cgroup",
            list if list.split(',').any(|name| name == "cpu") => "/sys/fs/cgroup/cpu",
            _ => return None,
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        let quotas = groups.filter_map(|group| quota(root, &format!("{base}/{}", group.display())));
        quotas.reduce(f64::min)
    });
    quotas.reduce(f64::min)
}

/// Quota over period, of version 2 or 1. Without a quota that is `max`, or -1.
fn quota(root: &Root, group: &str) -> Option<f64> {
    let (quota, period) = match root.read(&format!("{group}/cpu.max")) {
        Some(text) => {
            let (quota, period) = text.split_once(' ')?;
            (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?)
        }
        None => {
            let number = |name| root.read(&format!("{group}/{name}"))?.parse::<f64>().ok();
            (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
        }
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max open files            1024                 524288               files     \n\
            Max locked memory         unlimited            unlimited            bytes     \n";
        assert_eq!(hard_limit(text, "Max open files"), Some("524288"));
        assert_eq!(hard_limit(text, "Max locked memory"), Some("unlimited"));
        assert_eq!(hard_limit(text, "Max nice priority"), None);
    }

    #[test]
    fn the_effective_user_decides() {
        let status = "Name:\tx\nUid:\t1000\t0\t1000\t1000\nCpus_allowed_list:\t1,3\n";
        assert_eq!(effective_user(status), Some(0));
        assert_eq!(cpus_allowed(status), [1, 3]);
    }
}
