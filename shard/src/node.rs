//! All shards of a node: how they are started, watched and stopped.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use ringmain_core::limits::{LANE_CONTROL_FRAMES_MAX, LANE_DATA_BYTES_MAX, LANE_DATA_FRAMES_MAX};
use ringmain_core::shard::ShardConfig;
use ringmain_core::{ShardCore, ShardStats, Tick};
use ringmain_router::mesh::ControlPort;
use ringmain_router::{Doorbell, Mesh, MeshLimits, MeshPort, PeerId, RoomKey, SHARDS_MAX};
use ringmain_rt::descriptors::{self, Table};
use ringmain_rt::thread::ThreadSetup;
use ringmain_rt::{Backend, BatchSender, Bell, driver, thread};

use crate::accept;
use crate::addresses::{Addresses, AllBound};
use crate::listening::Door;
use crate::node_errors::{ShardError, StartError};
use crate::policy::{self, Policy, PolicyReceiver, PolicySender};
use crate::pulse::Pulse;
use crate::shell::{self, Shell, ShellParts};
use crate::{DESCRIPTORS_RESERVED, TURN_ACCEPTS_MAX};

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What the names of its connections begin with.
    pub name: String,
    /// The public address; port 0 for any that is free.
    pub listen: SocketAddr,
    /// The public address of TLS, if there is one; the policy has to have certificates then.
    pub tls_listen: Option<SocketAddr>,
    /// Connections that may wait to be accepted, a shard.
    pub backlog: u32,
    /// One entry a shard: the core that it is pinned to.
    pub cpus: Vec<Option<usize>>,
    /// What the shards run on.
    pub backend: Backend,
    /// What may be exchanged while it runs, by [`Node::reload`].
    pub policy: Arc<Policy>,
    /// Open descriptors that a table may have.
    pub descriptors_max: usize,
    /// The secret under which room names are hashed.
    pub room_secret: RoomKey,
    /// Whether the node is linked to others: then it has a [`LinkEnd`].
    pub linked: bool,
}

/// A running node.
pub struct Node {
    addresses: Addresses,
    pub(crate) shards: Vec<ShardHandle>,
    pub(crate) control: ControlPort,
    link: Option<LinkEnd>,
    /// Shards that were not yet told to drain.
    pub(crate) undrained: Vec<PeerId>,
    /// Shards that were not yet told to stop.
    pub(crate) unstopped: Vec<PeerId>,
    /// Shards that have not yet got the newest policy.
    pub(crate) unchanged: Vec<PeerId>,
    pub(crate) policy: Arc<Policy>,
    /// How many policies came after the one that it started with.
    pub(crate) policies: u64,
}

/// The control plane's end of the mesh for what goes to other nodes and comes from them.
pub struct LinkEnd {
    /// The lanes.
    pub port: MeshPort,
    /// Readable when something has come in, or a lane that was full has room: a socket, to be read until it is empty.
    pub bell: OwnedFd,
}

/// One shard, as the control plane sees it.
pub struct ShardHandle {
    index: usize,
    cpu: Option<usize>,
    stats: Arc<ShardStats>,
    pulse: Arc<Pulse>,
    pub(crate) policies: PolicySender,
    table: Table,
    connections_max: usize,
    thread: JoinHandle<io::Result<()>>,
}

/// What a starting shard reports: that it has bound, then that it listens.
enum Report {
    Bound {
        table: Table,
        connections_max: usize,
    },
    Failed(StartError),
    Listening,
}

/// What a shard's thread is given.
struct Seat {
    index: usize,
    config: NodeConfig,
    addresses: Addresses,
    port: MeshPort,
    policies: PolicyReceiver,
    bell: Bell,
    node_stats: Vec<Arc<ShardStats>>,
    pulse: Arc<Pulse>,
    reports: Sender<(usize, Report)>,
    go: Receiver<()>,
    /// The node's start, from which all shards count.
    started: Instant,
}

/// Starts all shards; returns when all of them listen.
///
/// # Errors
/// Says what could not be had, and what to do. Nothing is left running.
pub fn start(config: NodeConfig) -> Result<Node, StartError> {
    let count = config.cpus.len();
    if count == 0 || count > SHARDS_MAX {
        return Err(StartError::ShardCount(count));
    }
    let addresses = Addresses::reserve(&config)?;
    // All doorbells, before any thread makes its table private.
    let mesh = mesh(count, config.linked).map_err(|source| StartError::Doorbells {
        shards: count,
        source,
    })?;
    let Parts {
        ports,
        control,
        link,
        bells,
        ringers,
    } = mesh;
    let started = Instant::now();
    let node_stats: Vec<_> = (0..count)
        .map(|_| Arc::new(ShardStats::default()))
        .collect();
    let (reports, reported) = channel();
    let mut shards = Vec::new();
    let mut starts = Vec::new();
    for (index, (port, bell)) in ports.into_iter().zip(bells).enumerate() {
        let (start, go) = channel();
        let pulse = Arc::new(Pulse::default());
        let (policies, taken) = policy::channel();
        let cpu = config.cpus[index];
        let keep = ringers.iter().copied().chain([bell.fd()]).collect();
        let setup = ThreadSetup {
            name: format!("shard-{index}"),
            cpu,
            keep,
        };
        let seat = Seat {
            index,
            config: config.clone(),
            addresses,
            port,
            policies: taken,
            bell,
            node_stats: node_stats.clone(),
            pulse: pulse.clone(),
            reports: reports.clone(),
            go,
            started,
        };
        let thread = thread::spawn(setup, move |table, pinned| run(seat, table, pinned)).map_err(
            |source| StartError::Thread {
                shard: index,
                source,
            },
        )?;
        let stats = node_stats[index].clone();
        shards.push(ShardHandle {
            index,
            cpu,
            stats,
            pulse,
            policies,
            table: Table::Shared,
            connections_max: 0,
            thread,
        });
        starts.push(start);
    }
    drop(reports);
    // Every shard binds before any listens: a connection is given to one of all of them, or to none.
    await_reports(&reported, &mut shards)?;
    for start in starts {
        // A shard that is gone reports why.
        let _ = start.send(());
    }
    let listening = await_reports(&reported, &mut shards);
    let all: Vec<_> = (0..count).filter_map(PeerId::shard).collect();
    let mut node = Node {
        addresses,
        shards,
        control,
        link,
        undrained: all.clone(),
        unstopped: all,
        unchanged: Vec::new(),
        policy: config.policy,
        policies: 0,
    };
    match listening {
        Ok(()) => Ok(node),
        Err(error) => {
            node.stop();
            // What the shards end with matters less than why they do.
            let _ = node.join();
            Err(error)
        }
    }
}

/// All ends of a node's mesh.
struct Parts {
    ports: Vec<MeshPort>,
    control: ControlPort,
    link: Option<LinkEnd>,
    bells: Vec<Bell>,
    ringers: Vec<RawFd>,
}

fn mesh(count: usize, linked: bool) -> io::Result<Parts> {
    let (mut doorbells, mut bells, mut ringers) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count + usize::from(linked) {
        let (doorbell, bell) = ringmain_rt::doorbell()?;
        ringers.push(doorbell.fd());
        doorbells.push(Box::new(doorbell) as Box<dyn Doorbell>);
        bells.push(bell);
    }
    let limits = MeshLimits {
        data_frames_max: LANE_DATA_FRAMES_MAX,
        control_frames_max: LANE_CONTROL_FRAMES_MAX,
        data_bytes_max: LANE_DATA_BYTES_MAX,
    };
    let last = linked.then(|| doorbells.pop().zip(bells.pop())).flatten();
    let (mesh, link_bell) = match last {
        Some((doorbell, bell)) => (Mesh::linked(limits, doorbells, doorbell), Some(bell)),
        None => (Mesh::new(limits, doorbells), None),
    };
    let (ports, control, link) = mesh.into_linked_ports();
    let link = link.zip(link_bell).map(|(port, bell)| LinkEnd {
        port,
        bell: bell.into_fd(),
    });
    Ok(Parts {
        ports,
        control,
        link,
        bells,
        ringers,
    })
}

/// Takes one report of each shard.
fn await_reports(
    reported: &Receiver<(usize, Report)>,
    shards: &mut [ShardHandle],
) -> Result<(), StartError> {
    for _ in 0..shards.len() {
        match reported.recv().map_err(|_| StartError::Ended)? {
            (
                index,
                Report::Bound {
                    table,
                    connections_max,
                },
            ) => {
                shards[index].table = table;
                shards[index].connections_max = connections_max;
            }
            (_, Report::Failed(error)) => return Err(error),
            (_, Report::Listening) => {}
        }
    }
    Ok(())
}

/// One shard's thread, from bind to end.
fn run(seat: Seat, table: Table, pinned: io::Result<()>) -> io::Result<()> {
    let Seat { index, config, .. } = &seat;
    let fail = |error| {
        // If nobody listens any more, another shard has failed first.
        let _ = seat.reports.send((*index, Report::Failed(error)));
        Ok(())
    };
    if let (Err(source), Some(cpu)) = (pinned, config.cpus[*index]) {
        return fail(StartError::Pin {
            shard: *index,
            cpu,
            source,
        });
    }
    let bound = match AllBound::new(seat.addresses, config.policy.tcp) {
        Ok(bound) => bound,
        Err(error) => return fail(error),
    };
    let sender = match BatchSender::new(config.backend) {
        Ok(sender) => sender,
        Err(source) => {
            return fail(StartError::Driver {
                shard: *index,
                source,
            });
        }
    };
    let connections_max = connections_max(config, table);
    if connections_max == 0 {
        return fail(StartError::Descriptors {
            descriptors_max: config.descriptors_max,
        });
    }
    let _ = seat.reports.send((
        *index,
        Report::Bound {
            table,
            connections_max,
        },
    ));
    if seat.go.recv().is_err() {
        return Ok(());
    }
    let (index, reports) = (seat.index, seat.reports.clone());
    match driver::run(
        seat.config.backend,
        serve(seat, bound, sender, connections_max),
    ) {
        Ok(served) => served,
        Err(source) => {
            let _ = reports.send((
                index,
                Report::Failed(StartError::Driver {
                    shard: index,
                    source,
                }),
            ));
            Ok(())
        }
    }
}

/// What a shard's descriptor table leaves for connections.
fn connections_max(config: &NodeConfig, table: Table) -> usize {
    let share = match table {
        Table::Private => config.descriptors_max,
        Table::Shared => config.descriptors_max / config.cpus.len(),
    };
    share.saturating_sub(descriptors::count_open() + KEPT_BACK)
}

/// What is kept back of a table beside what is open when its shard starts: the ring and the listeners are yet to come, and
/// accepted ones are counted a batch late.
const KEPT_BACK: usize = DESCRIPTORS_RESERVED + TURN_ACCEPTS_MAX + 8;

/// Descriptors of a shard's own table that are not for connections, in a node with so many shards, by ring and without
/// TLS: before the node runs nobody can count them.
pub const fn descriptors_beside_connections(shards: usize) -> usize {
    // 0 to 2, the shard's doorbell and ring, and what rings the control plane; then what rings each shard.
    KEPT_BACK + 6 + shards
}

async fn serve(
    seat: Seat,
    bound: AllBound,
    sender: BatchSender,
    connections_max: usize,
) -> io::Result<()> {
    let Seat {
        index,
        config,
        port,
        policies,
        bell,
        node_stats,
        pulse,
        reports,
        addresses,
        started,
        ..
    } = seat;
    let (listener, tls_listener) = match bound.listen(addresses, config.backlog) {
        Ok(listeners) => listeners,
        Err(error) => {
            let _ = reports.send((index, Report::Failed(error)));
            return Ok(());
        }
    };
    let shard = ShardConfig {
        me: port.me(),
        shards: port.shards(),
        linked: config.linked,
        room_secret: config.room_secret,
        limits: config.policy.limits.clone(),
        rooms: config.policy.rooms.clone(),
        stats: node_stats[index].clone(),
    };
    let shell = Rc::new(Shell::new(ShellParts {
        core: ShardCore::new(shard, Tick(0)),
        port,
        policy: config.policy,
        policies,
        listener,
        tls_listener,
        sender,
        pulse,
        index,
        node: config.name,
        node_stats,
        started,
        connections_max,
        backend: config.backend,
    }));
    shell::install(&shell);
    let rung = shell.turns().clone();
    ringmain_rt::spawn(async move {
        if let Err(error) = bell.listen(move || rung.request()).await {
            tracing::error!(shard = index, %error, "the doorbell has failed");
        }
    });
    for door in [Door::Plain, Door::Tls] {
        ringmain_rt::spawn(accept::accept(shell.clone(), door));
    }
    let _ = reports.send((index, Report::Listening));
    drop(reports);
    shell.turns().clone().run(|| shell.end_turn()).await;
    Ok(())
}

impl Node {
    /// The public address, its port known.
    pub fn address(&self) -> SocketAddr {
        self.addresses.plain
    }

    /// The public address of TLS, its port known.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.addresses.tls
    }

    /// The end of the mesh for what goes to other nodes, if the node is linked: once.
    pub fn take_link(&mut self) -> Option<LinkEnd> {
        self.link.take()
    }

    /// The shards, in order.
    pub fn shards(&self) -> &[ShardHandle] {
        &self.shards
    }

    /// Whether every shard's thread has ended.
    pub fn is_finished(&self) -> bool {
        self.shards.iter().all(ShardHandle::is_finished)
    }

    /// Waits for all shards to end.
    ///
    /// # Errors
    /// The first that has ended in another way than by [`stop`](Self::stop).
    pub fn join(self) -> Result<(), ShardError> {
        let mut result = Ok(());
        for ShardHandle { index, thread, .. } in self.shards {
            let ended = match thread.join() {
                Ok(Ok(())) => Ok(()),
                Ok(Err(source)) => Err(ShardError::Driver {
                    shard: index,
                    source,
                }),
                Err(_) => Err(ShardError::Panicked { shard: index }),
            };
            result = result.and(ended);
        }
        result
    }
}

impl ShardHandle {
    /// The shard's number, from zero.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The core that it is pinned to.
    pub fn cpu(&self) -> Option<usize> {
        self.cpu
    }

    /// What it counts.
    pub fn stats(&self) -> &Arc<ShardStats> {
        &self.stats
    }

    /// Its sign of life.
    pub fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Whether its thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Whether it has a descriptor table of its own.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Connections that its descriptor table allows.
    pub fn connections_max(&self) -> usize {
        self.connections_max
    }
}
