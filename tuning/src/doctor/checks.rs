//! What does not limit the connections, but slows them or may hurt later.

use super::budget::Budget;
use super::{Check, Engine};
use crate::facts::Facts;
use crate::settings::{Consent, Kind, SETTINGS, Setting};
use crate::text::{grouped, size};

/// All of them, what matters most first.
pub fn of(facts: &Facts, engine: &Engine, budget: &Budget) -> Vec<Check> {
    let checks = [
        Some(io_uring(facts, engine)),
        tables(engine),
        tcp_memory(facts, budget),
        busy_memory(budget),
        locked_memory(facts),
        conntrack(facts),
        configured(engine, budget.connections),
        Some(cpus(facts, engine)),
        numa(facts),
        network(facts),
        ports(facts, budget.connections),
        huge_pages(facts),
    ];
    let settings = settings(facts, budget.connections);
    checks.into_iter().flatten().chain(settings).collect()
}

fn io_uring(facts: &Facts, engine: &Engine) -> Check {
    if engine.io_uring {
        return Check::ok("io_uring", format!("available, Linux {}", facts.kernel));
    }
    let switch = match facts.io_uring_disabled {
        Some(0) | None => String::new(),
        Some(number) => format!("; kernel.io_uring_disabled is {number}"),
    };
    let found = format!("Ringmain runs on epoll: {}{switch}", engine.io_reason);
    let change = match facts.io_uring_disabled {
        Some(0) | None => {
            "in a container: --security-opt seccomp=tuning/files/seccomp.json, see tuning/containers.md"
        }
        Some(_) => "sysctl -w kernel.io_uring_disabled=0",
    };
    Check::warn("io_uring", found, &[change])
}

fn tables(engine: &Engine) -> Option<Check> {
    (!engine.private_tables).then(|| {
        Check::warn(
            "descriptor tables",
            "the system refuses a table a shard: all share one, its limit and its lock",
            &["allow close_range with CLOSE_RANGE_UNSHARE (Linux 5.9 or later; the seccomp profile in tuning/files/seccomp.json does)"],
        )
    })
}

fn tcp_memory(facts: &Facts, budget: &Budget) -> Option<Check> {
    let setting = Setting::find("net.ipv4.tcp_mem")?;
    let current = facts.settings.get(setting.name)?;
    let bytes = current.last()?.saturating_mul(facts.page_bytes);
    let used = facts.tcp_memory_pages.unwrap_or(0) * facts.page_bytes;
    let found = format!(
        "at most {} for all buffers, {} in use; {} connections at work may need {}",
        size(bytes),
        size(used),
        grouped(budget.connections),
        size(budget.busy_buffer_bytes)
    );
    if bytes >= budget.busy_buffer_bytes {
        return Some(Check::ok("buffers of TCP", found));
    }
    let wanted = (setting.value)(&facts.target(budget.connections));
    let better = setting.direction.better(current, &wanted);
    Some(Check::warn(
        setting.name,
        found,
        &[&setting.command(&better)],
    ))
}

fn busy_memory(budget: &Budget) -> Option<Check> {
    let busy = budget.idle_bytes + budget.busy_buffer_bytes;
    (budget.idle_bytes <= budget.free_bytes && busy > budget.free_bytes).then(|| {
        let found = format!(
            "{} would do for idle connections; at work they may need {}",
            size(budget.free_bytes),
            size(busy)
        );
        Check::warn(
            "memory at work",
            found,
            &["add memory, or lower net.ipv4.tcp_wmem and outbox_soft_bytes"],
        )
    })
}

fn locked_memory(facts: &Facts) -> Option<Check> {
    let setting = Setting::find("memlock")?;
    if !setting.is_needed(facts.kernel_version()) {
        return None;
    }
    let wanted = (setting.value)(&facts.target(1));
    let current = facts.settings.get("memlock")?;
    if setting.direction.is_met(current, &wanted) {
        return None;
    }
    let found =
        format!("{current} bytes may be locked; before Linux 5.12 the rings count as locked");
    Some(Check::warn(
        "locked memory",
        found,
        &[&setting.command(&wanted)],
    ))
}

fn conntrack(facts: &Facts) -> Option<Check> {
    let table = facts.conntrack.filter(|table| !table.is_in_use())?;
    let found = format!(
        "loaded, follows nothing here now; it would at most {}",
        grouped(table.max)
    );
    Some(Check::ok("connection tracking", found))
}

fn configured(engine: &Engine, connections: u64) -> Option<Check> {
    (connections > engine.connections_max_default).then(|| {
        let found = format!(
            "connections_max is {} unless it is set: others get 503",
            grouped(engine.connections_max_default)
        );
        let change = format!("ringmain --connections-max {connections}");
        Check::warn("configuration", found, &[&change])
    })
}

fn cpus(facts: &Facts, engine: &Engine) -> Check {
    let cpus = facts.cpus.len() as u64;
    let found = format!("{} for {} shards", grouped(cpus), grouped(engine.shards));
    match facts.cpu_quota {
        Some(quota) if quota < engine.shards as f64 => Check::warn(
            "CPUs",
            format!(
                "{found}, but the control group's quota is {quota:.1}: shards are stopped when it is used up"
            ),
            &[
                "raise the quota, or set --shards to it; pinned CPUs (cpuset) are better than a quota",
            ],
        ),
        _ if engine.shards > cpus => Check::ok("CPUs", format!("{found}, which share them")),
        _ => Check::ok("CPUs", found),
    }
}

fn numa(facts: &Facts) -> Option<Check> {
    let nodes = facts.numa_nodes.len();
    (nodes > 1).then(|| {
        Check::warn(
            "NUMA",
            format!("the CPUs belong to {nodes} nodes: memory and network card are near to one of them"),
            &["start a Ringmain a node: numactl --cpunodebind=0 --membind=0 ringmain (Ringmain takes the CPUs it is allowed)"],
        )
    })
}

fn network(facts: &Facts) -> Option<Check> {
    let interface = facts
        .interfaces
        .iter()
        .max_by_key(|interface| interface.receive_queues)?;
    let (name, queues, cpus) = (&interface.name, interface.receive_queues, facts.cpus.len());
    let found = format!("{name} receives on {queues} queue(s) with {cpus} CPUs");
    if queues >= cpus || interface.is_spread {
        return Some(Check::ok("network queues", found));
    }
    let more = format!(
        "ethtool -l {name} shows the most queues; ethtool -L {name} combined {cpus} sets them"
    );
    let spread = "where the card has one queue only: let RPS spread it, /sys/class/net/*/queues/rx-0/rps_cpus";
    Some(Check::warn("network queues", found, &[&more, spread]))
}

fn ports(facts: &Facts, connections: u64) -> Option<Check> {
    let range = facts.settings.get("net.ipv4.ip_local_port_range")?;
    let ports = (range.last()? + 1).saturating_sub(range.first()?).max(1);
    let found = format!(
        "{} an address: a proxy or load generator on this host needs {} addresses for {} connections to one port",
        grouped(ports),
        grouped(connections.div_ceil(ports)),
        grouped(connections)
    );
    Some(Check::ok("local ports", found))
}

fn huge_pages(facts: &Facts) -> Option<Check> {
    let value = facts.settings.get("transparent_hugepage")?;
    Some(Check::ok(
        "huge pages",
        format!("{value}; Ringmain does without by itself"),
    ))
}

/// The settings of the table that are not as they should be; one line for those that are.
fn settings(facts: &Facts, connections: u64) -> Vec<Check> {
    let target = facts.target(connections);
    // These have checks of their own.
    let has_own = |name: &str| ["fs.file-max", "net.ipv4.tcp_mem"].contains(&name);
    let asked = SETTINGS.iter().filter(|setting| {
        setting.consent == Consent::Tuning && setting.kind == Kind::Sysctl && !has_own(setting.name)
    });
    let known = asked.filter_map(|setting| Some((setting, facts.settings.get(setting.name)?)));
    let (good, other): (Vec<_>, Vec<_>) = known.partition(|(setting, current)| {
        setting.direction.is_met(current, &(setting.value)(&target))
    });
    let mut checks: Vec<Check> = other
        .into_iter()
        .map(|(setting, current)| {
            let better = setting.direction.better(current, &(setting.value)(&target));
            let found = format!("{current}; wanted {better}");
            Check::warn(setting.name, found, &[&setting.command(&better)])
        })
        .collect();
    if !good.is_empty() {
        let names: Vec<&str> = good.iter().map(|(setting, _)| setting.name).collect();
        let name = if checks.is_empty() {
            "kernel settings"
        } else {
            "other kernel settings"
        };
        checks.push(Check::ok(name, format!("{} are good", names.join(", "))));
    }
    checks
}
