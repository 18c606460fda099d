//! What a run needs of the host, reckoned before it starts.

pub mod cpus;
pub mod host;
pub mod sources;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::plan::cpus::format_cpus;
use crate::plan::host::Host;
use crate::plan::sources::Sources;
use crate::settings::{Pace, Settings, Work};

/// Descriptors of a thread that are no connections: standard streams, ring, alarm, and some to spare.
/// The doorbells of all threads come on top.
const DESCRIPTORS_RESERVED: usize = 32;
/// Threads that are worth having: their count must fit into the word of a closed loop.
const THREADS_MAX: usize = 4096;
/// Memory for the sequences of all receivers, in bytes.
const SEQUENCES_BYTES_MAX: u64 = 4 << 30;
/// Messages of closed loops that can be under way at once.
const FLIGHTS_MAX: u64 = 1 << 24;

/// How a run is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The server's address.
    pub address: SocketAddr,
    /// Connections, numbered from 0; connection `i` belongs to thread `i` modulo their number.
    pub connections: u32,
    /// Local ports that they take, those among them that are still closing when their connection comes back.
    pub ports_needed: u32,
    /// Threads.
    pub threads: usize,
    /// The cores that they are pinned to, in turn.
    pub cpus: Vec<usize>,
    /// Where connections come from.
    pub sources: Sources,
    /// Descriptors that one table must hold.
    pub descriptors_needed: usize,
    /// Descriptors that one table can hold.
    pub descriptors: usize,
    /// Ports of each source address.
    pub ports: u32,
}

/// Why a run cannot work here, and what would.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Cores that the process may not use.
    #[error(
        "core {cpu} is not among those that this process may use ({allowed}): choose from these for --cpus"
    )]
    Cpu {
        /// The one asked for.
        cpu: usize,
        /// All that are allowed.
        allowed: String,
    },
    /// Too few threads for the descriptors.
    #[error(
        "{connections} connections in {threads} threads need {needed} descriptors a thread, and the limit is {limit}: use --threads {enough} or more, or raise `ulimit -n`"
    )]
    Descriptors {
        /// Connections asked for.
        connections: u32,
        /// Threads asked for.
        threads: usize,
        /// Descriptors of the fullest thread.
        needed: usize,
        /// The limit of one table.
        limit: usize,
        /// Threads that would do.
        enough: usize,
    },
    /// No number of threads suffices.
    #[error(
        "{connections} connections do not fit into {limit} descriptors a thread: raise `ulimit -n` to {needed} or more"
    )]
    DescriptorsTooFew {
        /// Connections asked for.
        connections: u32,
        /// The limit of one table.
        limit: usize,
        /// The limit that would do.
        needed: usize,
    },
    /// One table for all threads.
    #[error(
        "{connections} connections need {needed} descriptors, and the limit is {limit}: raise `ulimit -n`. More threads do not help, since this system refuses them descriptor tables of their own (close_range and unshare are forbidden)"
    )]
    DescriptorsShared {
        /// Connections asked for.
        connections: u32,
        /// Descriptors of the process.
        needed: usize,
        /// Its limit.
        limit: usize,
    },
    /// More than the host opens.
    #[error(
        "{connections} connections are more than the {files} files that this host opens: raise fs.file-max"
    )]
    Files {
        /// Connections asked for.
        connections: u32,
        /// The host's limit.
        files: u64,
    },
    /// More threads than make sense.
    #[error("--threads {0}: use at most {THREADS_MAX}")]
    Threads(usize),
    /// Too few loopback addresses.
    #[error(
        "{connections} connections do not fit into the {ports} ports of each address: use --source-addresses {needed} or more, or auto"
    )]
    PortsLoopback {
        /// Connections asked for.
        connections: u32,
        /// Ports of one address.
        ports: u32,
        /// Addresses that would do.
        needed: u32,
    },
    /// Too few ports, and only one address.
    #[error(
        "{connections} connections do not fit into this address's {ports} ports: widen net.ipv4.ip_local_port_range (`sysctl -w net.ipv4.ip_local_port_range='1024 65535'`), or run on {needed} hosts or more"
    )]
    Ports {
        /// Connections asked for.
        connections: u32,
        /// Ports of the address.
        ports: u32,
        /// Hosts that would do.
        needed: u32,
    },
    /// Too few ports for everyone to come back.
    #[error(
        "{connections} connections that drop at once leave their ports closing for a minute, so coming back takes as many again, and this address has {ports} in all: use --connections {fits} or fewer, widen net.ipv4.ip_local_port_range (`sysctl -w net.ipv4.ip_local_port_range='1024 65535'`), or run on {needed} hosts or more"
    )]
    PortsStorm {
        /// Connections asked for.
        connections: u32,
        /// Ports of the address.
        ports: u32,
        /// Connections that would do.
        fits: u32,
        /// Hosts that would do.
        needed: u32,
    },
    /// Source addresses that the target would not answer to.
    #[error(
        "--source-addresses works with loopback targets only, since {target} could not answer to 127.0.0.2: leave it out"
    )]
    SourcesNotLoopback {
        /// The target.
        target: IpAddr,
    },
    /// Too many pairs of publisher and receiver.
    #[error(
        "to follow {publishers} publishers at {connections} receivers takes {gib} GiB: use fewer --publishers or more --rooms"
    )]
    Sequences {
        /// Publishers.
        publishers: u32,
        /// Receivers.
        connections: u32,
        /// Memory.
        gib: u64,
    },
    /// Too many messages under way.
    #[error(
        "{publishers} publishers with {in_flight} messages each under way are too many: use fewer of either"
    )]
    Flights {
        /// Publishers.
        publishers: u32,
        /// Messages of each.
        in_flight: u32,
    },
}

impl Plan {
    /// Lays a run out.
    ///
    /// # Errors
    /// It cannot work on this host; the error names the remedy.
    pub fn new(settings: &Settings, address: SocketAddr, host: &Host) -> Result<Plan, PlanError> {
        let connections = settings.connections_and_visitors();
        check_memory(settings)?;
        if u64::from(connections) > host.files {
            return Err(PlanError::Files {
                connections,
                files: host.files,
            });
        }
        let ports_needed = ports_needed(settings, address.ip(), host.ports)?;
        let cpus = settings.cpus.clone().unwrap_or_else(|| host.cpus.clone());
        if let Some(&cpu) = cpus.iter().find(|cpu| !host.cpus.contains(cpu)) {
            let allowed = format_cpus(&host.cpus);
            return Err(PlanError::Cpu { cpu, allowed });
        }
        let threads = choose_threads(settings, cpus.len(), host)?;
        Ok(Plan {
            address,
            connections,
            ports_needed,
            threads,
            cpus,
            sources: Sources::choose(settings.sources, address.ip(), connections, host.ports)?,
            descriptors_needed: descriptors_needed(connections, threads, host.private_tables),
            descriptors: host.descriptors,
            ports: host.ports,
        })
    }

    /// The core of one thread.
    pub fn cpu(&self, thread: usize) -> Option<usize> {
        self.cpus.get(thread % self.cpus.len().max(1)).copied()
    }

    /// Adds up what the threads of each core did. One more than there are is the control thread's, which keeps to the core
    /// of the first.
    pub fn by_core<T>(
        &self,
        by_thread: impl IntoIterator<Item = T>,
        mut add: impl FnMut(&mut T, T),
    ) -> Vec<T> {
        let mut cores = BTreeMap::new();
        for (thread, amount) in by_thread.into_iter().enumerate() {
            let thread = if thread < self.threads { thread } else { 0 };
            match cores.entry(self.cpu(thread)) {
                Entry::Vacant(core) => {
                    core.insert(amount);
                }
                Entry::Occupied(mut core) => add(core.get_mut(), amount),
            }
        }
        cores.into_values().collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = u64::from(self.ports) * u64::from(self.sources.count());
        write!(
            f,
            "needs {} ports of {ports} from {}, {} descriptors of {} a table, {} on cores {}",
            self.ports_needed,
            self.sources,
            self.descriptors_needed,
            self.descriptors,
            match self.threads {
                1 => "1 thread".to_owned(),
                threads => format!("{threads} threads"),
            },
            format_cpus(&self.cpus),
        )
    }
}

/// Local ports that the run takes. After a storm the old ones are still closing; on loopback Linux uses such ports again.
fn ports_needed(settings: &Settings, target: IpAddr, ports: u32) -> Result<u32, PlanError> {
    let connections = settings.connections_and_visitors();
    if settings.storm.is_none() || target.is_loopback() {
        return Ok(connections);
    }
    let needed = connections.saturating_mul(2);
    if needed <= ports {
        return Ok(needed);
    }
    Err(PlanError::PortsStorm {
        connections,
        ports,
        fits: ports / 2,
        needed: needed.div_ceil(ports.max(1)),
    })
}

/// Descriptors of the fullest table.
fn descriptors_needed(connections: u32, threads: usize, private_tables: bool) -> usize {
    let connections = connections as usize;
    if private_tables {
        connections.div_ceil(threads) + DESCRIPTORS_RESERVED + threads
    } else {
        // Ring, alarm and two ends of a doorbell for each.
        connections + DESCRIPTORS_RESERVED + 4 * threads
    }
}

fn choose_threads(settings: &Settings, cpus: usize, host: &Host) -> Result<usize, PlanError> {
    let connections = settings.connections_and_visitors();
    let limit = host.descriptors;
    let fits = |threads| descriptors_needed(connections, threads, host.private_tables) <= limit;
    let wanted = settings.threads.unwrap_or(cpus);
    if wanted > THREADS_MAX {
        return Err(PlanError::Threads(wanted));
    }
    // More threads than connections would only idle.
    let wanted = wanted.clamp(1, connections as usize);
    if fits(wanted) {
        return Ok(wanted);
    }
    let needed = descriptors_needed(connections, wanted, host.private_tables);
    if !host.private_tables {
        return Err(PlanError::DescriptorsShared {
            connections,
            needed,
            limit,
        });
    }
    let Some(enough) = (wanted..=THREADS_MAX).find(|&threads| fits(threads)) else {
        return Err(PlanError::DescriptorsTooFew {
            connections,
            limit,
            needed: descriptors_needed(connections, THREADS_MAX / 64, true),
        });
    };
    if settings.threads.is_some() {
        return Err(PlanError::Descriptors {
            connections,
            threads: wanted,
            needed,
            limit,
            enough,
        });
    }
    Ok(enough)
}

fn check_memory(settings: &Settings) -> Result<(), PlanError> {
    let Work::Fanout {
        rooms,
        publishers,
        pace,
        ..
    } = settings.work
    else {
        return Ok(());
    };
    let connections = settings.connections_and_visitors();
    let pairs = u64::from(connections) * u64::from(publishers.div_ceil(rooms));
    let bytes = pairs * size_of::<u64>() as u64;
    if bytes > SEQUENCES_BYTES_MAX {
        return Err(PlanError::Sequences {
            publishers,
            connections,
            gib: bytes >> 30,
        });
    }
    if let Pace::Closed { in_flight } = pace
        && u64::from(publishers) * u64::from(in_flight) > FLIGHTS_MAX
    {
        return Err(PlanError::Flights {
            publishers,
            in_flight,
        });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use crate::cli::job;

    fn host() -> Host {
        Host {
            cpus: vec![0, 1],
            descriptors: 20_000,
            private_tables: true,
            files: 2_000_000,
            ports: 28_232,
        }
    }

    fn plan(words: &str, host: &Host) -> Result<Plan, PlanError> {
        let settings = Settings::from_cli(&job(words)).unwrap();
        Plan::new(&settings, settings.target.resolve().unwrap(), host)
    }

    #[test]
    fn descriptors_decide_how_many_threads_there_are() {
        for (connections, threads) in [(1, 1), (200, 2), (39_000, 2), (100_000, 6), (1_000_000, 51)]
        {
            let words = format!("idle --url ws://127.0.0.1:1/ --connections {connections}");
            let plan = plan(&words, &host()).unwrap();
            assert_eq!(plan.threads, threads, "{connections}");
            assert!(plan.descriptors_needed <= 20_000);
        }
    }

    #[test]
    fn the_needs_are_said_in_words() {
        let plan = plan("idle --url ws://127.0.0.1:1/ --connections 100000", &host()).unwrap();
        assert_eq!(
            plan.to_string(),
            "needs 100000 ports of 254088 from 9 source addresses (127.0.0.2 to 127.0.0.10), 16705 descriptors of 20000 a table, 6 threads on cores 0-1"
        );
    }

    #[test]
    fn a_storm_needs_its_ports_twice_where_closing_ones_are_not_used_again() {
        let storm = |host_and_port: &str, connections: u32| {
            let words = format!("storm --url ws://{host_and_port}/ --connections {connections}");
            plan(&words, &host()).map(|plan| plan.ports_needed)
        };
        assert_eq!(storm("127.0.0.1:1", 20_000).unwrap(), 20_000);
        assert_eq!(storm("192.0.2.1:1", 14_116).unwrap(), 28_232);
        let error = storm("192.0.2.1:1", 14_117).unwrap_err().to_string();
        for remedy in ["--connections 14116", "ip_local_port_range", "on 2 hosts"] {
            assert!(error.contains(remedy), "{error}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_remedy() {
        let shared = Host {
            private_tables: false,
            ..host()
        };
        let narrow = Host {
            descriptors: 100,
            ..host()
        };
        let idle = "idle --url ws://127.0.0.1:1/ --connections 100000";
        for (words, host, remedy) in [
            (format!("{idle} --threads 5"), &host(), "--threads 6"),
            (format!("{idle} --threads 5000"), &host(), "at most 4096"),
            (format!("{idle} --cpus 2"), &host(), "(0-1)"),
            (idle.to_owned(), &shared, "close_range"),
            (idle.to_owned(), &narrow, "raise `ulimit -n`"),
            (
                "idle --url ws://127.0.0.1:1/ --connections 3000000".to_owned(),
                &host(),
                "fs.file-max",
            ),
            (
                "fanout --url ws://127.0.0.1:1/ --connections 100000 --publishers 100000".to_owned(),
                &host(),
                "--rooms",
            ),
            (
                "fanout --url ws://127.0.0.1:1/ --connections 1000 --publishers 1000 --in-flight 65536"
                    .to_owned(),
                &host(),
                "fewer",
            ),
        ] {
            let error = plan(&words, host).unwrap_err().to_string();
            assert!(error.contains(remedy), "{words}: {error}");
        }
    }
}
