//! What is said at start: one block for people.

use std::fmt::Write;
use std::net::SocketAddr;

use ringmain_rt::descriptors::Table;
use ringmain_rt::driver::Chosen;
use ringmain_shard::ShardHandle;

use crate::config::value::ByteSize;
use crate::plan::Plan;

/// What the block tells.
pub struct Banner<'a> {
    /// The plan that is carried out.
    pub plan: &'a Plan,
    /// The back end.
    pub chosen: &'a Chosen,
    /// The shards as they run.
    pub tables: Vec<ShardTable>,
    /// RLIMIT_NOFILE.
    pub descriptors_max: usize,
    /// Connections that the node accepts by configuration.
    pub connections_max: u64,
    /// The public address.
    pub listen: SocketAddr,
    /// The public address of TLS.
    pub tls_listen: Option<SocketAddr>,
    /// The admin server's address.
    pub admin: Option<SocketAddr>,
}

/// A shard's descriptor table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardTable {
    /// Whether it is the shard's own.
    pub table: Table,
    /// Connections that it allows.
    pub connections_max: usize,
}

impl From<&ShardHandle> for ShardTable {
    fn from(shard: &ShardHandle) -> Self {
        ShardTable {
            table: shard.table(),
            connections_max: shard.connections_max(),
        }
    }
}

impl Banner<'_> {
    /// The block, a fact a line.
    pub fn text(&self) -> String {
        let plan = self.plan;
        let mut text = format!("Ringmain {}\n{plan}", env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<12} {value}");
        };
        line(
            "back end",
            format!("{} ({})", self.chosen.backend, self.chosen.reason),
        );
        line("descriptors", self.descriptors());
        line("connections", self.connections());
        line(
            "message",
            format!(
                "at most {}",
                ByteSize(plan.limits.message_bytes_max as u64).readable()
            ),
        );
        line("listening", format!("ws://{}", self.listen));
        if let Some(address) = self.tls_listen {
            line("with TLS", format!("wss://{address}"));
        }
        let admin = self.admin.map(|address| format!("http://{address}"));
        line("admin", admin.unwrap_or_else(|| "off".to_owned()));
        text
    }

    fn descriptors(&self) -> String {
        let private = self
            .tables
            .iter()
            .filter(|shard| shard.table == Table::Private)
            .count();
        let limit = self.descriptors_max;
        if private == self.tables.len() {
            format!("{limit} a shard, each with a private table")
        } else if private == 0 {
            format!("{limit} for all shards together: the system refuses private tables")
        } else {
            format!(
                "{limit}, a shard for {private} shards with private tables, shared by the others"
            )
        }
    }

    fn connections(&self) -> String {
        let each = self.tables.iter().map(|shard| shard.connections_max);
        let least = each.clone().min().unwrap_or(0);
        let allowed: usize = each.sum();
        let node = (allowed as u64).min(self.connections_max);
        format!(
            "at most {node}: descriptors allow {least} a shard, {allowed} together; connections_max is {}",
            self.connections_max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringmain_core::Limits;
    use ringmain_rt::Backend;

    fn text(tables: Vec<ShardTable>, admin: Option<SocketAddr>) -> String {
        let plan = Plan {
            cpus: vec![0, 1],
            memory_bytes_max: 3 << 30,
            memory_reason: "as configured",
            limits: Limits {
                memory_bytes_max: 3 << 29,
                ..Limits::default()
            },
        };
        let chosen = Chosen {
            backend: Backend::Uring,
            reason: "available".into(),
        };
        let banner = Banner {
            plan: &plan,
            chosen: &chosen,
            tables,
            descriptors_max: 20_000,
            connections_max: 1_000_000,
            listen: "127.0.0.1:8000".parse().unwrap(),
            tls_listen: "127.0.0.1:8443".parse().ok(),
            admin,
        };
        banner.text()
    }

    fn shard(table: Table) -> ShardTable {
        ShardTable {
            table,
            connections_max: 19_000,
        }
    }

    #[test]
    fn the_block_says_what_runs_where() {
        let text = text(
            vec![shard(Table::Private); 2],
            "127.0.0.1:8001".parse().ok(),
        );
        for part in [
            concat!("Ringmain ", env!("CARGO_PKG_VERSION"), "\n"),
            "2 on CPU 0, 1\n",
            "io_uring (available)\n",
            "20000 a shard, each with a private table\n",
            "at most 38000: descriptors allow 19000 a shard",
            "3 GiB for messages (as configured), 1.5 GiB a shard\n",
            "\nlistening    ws://127.0.0.1:8000\n",
            "\nwith TLS     wss://127.0.0.1:8443\n",
            "\nadmin        http://127.0.0.1:8001\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn it_says_where_tables_are_shared_and_the_admin_is_off() {
        let text = text(vec![shard(Table::Shared); 2], None);
        assert!(text.contains("20000 for all shards together"), "{text}");
        assert!(text.contains("\nadmin        off\n"), "{text}");
    }
}
