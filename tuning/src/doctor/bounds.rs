//! What limits the number of connections.

use serde::Serialize;

use super::budget::Budget;
use super::{Check, Engine, Status};
use crate::facts::Facts;
use crate::settings::Setting;
use crate::text::{grouped, size};
use crate::value::UNLIMITED;

/// Of the free memory, what connections may take: the rest is for messages and for other programs.
const MEMORY_SHARE: (u64, u64) = (9, 10);

/// Descriptors that each shard adds to a table that all share: its ring, its doorbell's two ends, its listener.
const SHARED_FOR_EACH: u64 = 4;

/// A limit, in connections.
#[derive(Clone, Debug, Serialize)]
pub struct Bound {
    /// What limits.
    pub name: &'static str,
    /// How many connections it allows.
    pub connections: u64,
    /// How that comes about.
    pub found: String,
    /// How to raise it.
    pub change: Vec<String>,
}

impl Bound {
    /// The bound as a check for this many connections.
    pub fn check(&self, connections: u64) -> Check {
        let fits = self.connections >= connections;
        Check {
            name: self.name.to_owned(),
            status: if fits { Status::Ok } else { Status::Bad },
            found: format!("{}: {}", allows(self.connections), self.found),
            change: if fits {
                Vec::new()
            } else {
                self.change.clone()
            },
        }
    }
}

fn allows(connections: u64) -> String {
    match connections {
        UNLIMITED => "no limit".to_owned(),
        connections => format!("allows {}", grouped(connections)),
    }
}

/// All bounds of a host, the tightest first.
pub fn of(facts: &Facts, engine: &Engine, budget: &Budget) -> Vec<Bound> {
    let bounds = [
        descriptors(facts, engine, budget.connections),
        files(facts, budget.connections),
        Some(memory(facts, budget)),
        conntrack(facts, budget.connections),
    ];
    let mut bounds: Vec<Bound> = bounds.into_iter().flatten().collect();
    bounds.sort_by_key(|bound| bound.connections);
    bounds
}

fn descriptors(facts: &Facts, engine: &Engine, connections: u64) -> Option<Bound> {
    let limit = facts
        .number("nofile")?
        .min(facts.number("fs.nr_open").unwrap_or(UNLIMITED));
    let how = if engine.private_tables {
        let shards = grouped(engine.shards);
        format!("{} a table, one a shard, {shards} shards", grouped(limit))
    } else {
        format!(
            "{} in one table: the system refuses a table a shard",
            grouped(limit)
        )
    };
    let allowed = allowed(limit, engine, engine.shards);
    let wanted = (Setting::find("nofile")?.value)(&facts.target(connections));
    let mut change = vec![format!(
        "raise the limit: LimitNOFILE={wanted} in the unit, `--ulimit nofile={wanted}:{wanted}` for a container; for logins `ringmain tune apply` writes /etc/security/limits.d"
    )];
    let enough = |&shards: &u64| self::allowed(limit, engine, shards) >= connections;
    let more = engine.shards + 1..=engine.shards_max;
    if engine.private_tables
        && let Some(shards) = more.into_iter().find(enough)
    {
        change.push(format!("or have more shards: ringmain --shards {shards}"));
    }
    Some(Bound {
        name: "descriptors",
        connections: allowed,
        found: how,
        change,
    })
}

/// Connections that so many shards have descriptors for. A table holds what rings each shard, and one that all share the
/// shards' rings, doorbells and listeners, too.
fn allowed(limit: u64, engine: &Engine, shards: u64) -> u64 {
    let (share, for_shards) = if engine.private_tables {
        (limit, shards)
    } else {
        (limit / shards.max(1), SHARED_FOR_EACH * shards)
    };
    let each = share.saturating_sub(engine.descriptors_reserved + for_shards);
    each.saturating_mul(shards)
}

fn files(facts: &Facts, connections: u64) -> Option<Bound> {
    let max = facts.number("fs.file-max")?;
    let open = facts.files_open.unwrap_or(0);
    let setting = Setting::find("fs.file-max")?;
    // What is open already stays open.
    let wanted = (setting.value)(&facts.target(connections + open));
    Some(Bound {
        name: "open files of the host",
        connections: max.saturating_sub(open),
        found: format!("fs.file-max {}, {} open now", grouped(max), grouped(open)),
        change: vec![setting.command(&wanted)],
    })
}

fn memory(facts: &Facts, budget: &Budget) -> Bound {
    let usable = budget.free_bytes / MEMORY_SHARE.1 * MEMORY_SHARE.0;
    let group = facts.memory.group.as_ref();
    let of = group.map_or_else(
        || format!("of the host's {}", size(facts.memory.total_bytes)),
        |group| format!("within the {} of {}", size(group.limit_bytes), group.path),
    );
    let each = budget.idle_bytes_each();
    let needed = budget.idle_bytes / MEMORY_SHARE.0 * MEMORY_SHARE.1;
    let change = match group {
        Some(group) => format!(
            "raise the limit of {} until {} are free (MemoryMax= in the unit or slice, --memory for a container, resources.limits.memory in Kubernetes), or end what else uses it",
            group.path,
            size(needed)
        ),
        None => format!("free memory, or add some, until {} are free", size(needed)),
    };
    Bound {
        name: "memory",
        connections: usable / each.max(1),
        found: format!(
            "{} free {of}, {each} B an idle connection",
            size(budget.free_bytes)
        ),
        change: vec![change],
    }
}

fn conntrack(facts: &Facts, connections: u64) -> Option<Bound> {
    let table = facts.conntrack.filter(|table| table.is_in_use())?;
    let setting = Setting::find("net.netfilter.nf_conntrack_max")?;
    let wanted = (setting.value)(&facts.target(connections));
    Some(Bound {
        name: "connection tracking",
        connections: table.max.saturating_sub(table.count),
        found: format!("nf_conntrack_max {}, {} in use", grouped(table.max), grouped(table.count)),
        change: vec![
            "exempt Ringmain's port, here 8000: nft add table ip raw; nft add chain ip raw prerouting '{ type filter hook prerouting priority raw; }'; nft add rule ip raw prerouting tcp dport 8000 notrack (and the same with sport 8000 in an output chain)".to_owned(),
            format!("or {}; `ringmain tune apply --conntrack` does so for good", setting.command(&wanted)),
        ],
    })
}
