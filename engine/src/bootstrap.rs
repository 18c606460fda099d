//! The composition root: from settings to a running node, and to its end.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use ringmain_core::stats::Cell64;
use ringmain_nats::Handle;
use ringmain_router::cluster::Source;
use ringmain_router::{RoomKey, order};
use ringmain_rt::descriptors;
use ringmain_rt::driver::{self, Chosen, UringUnavailable};
use ringmain_shard::auth::ApiKeys;
use ringmain_shard::{CertificateError, Node, NodeConfig, StartError, Tickets};

use crate::banner::{Banner, ShardTable};
use crate::cluster::{self, ClusterError};
use crate::config::Settings;
use crate::config::value::AdminAddress;
use crate::control::admin::{self, Pages};
use crate::control::closing::{self, Closing};
use crate::control::commands::{self, Commands, TokenError};
use crate::control::numbers::Numbers;
use crate::control::{Control, ControlError, Outcome, Reloading, Signals};
use crate::logging::Log;
use crate::metrics::{self, Metrics};
use crate::plan::Plan;
use crate::policy::PolicyError;
use crate::reload::Reloader;
use crate::sources::Sources;

/// Why the engine does not start, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptor limit cannot be read or raised.
    #[error(
        "cannot raise the limit of open files: {0}. Set it before the start (ulimit -n, LimitNOFILE=)"
    )]
    Descriptors(io::Error),
    /// io_uring was asked for in vain.
    #[error(transparent)]
    Backend(#[from] UringUnavailable),
    /// There is no randomness.
    #[error("the system gives no random numbers for the rooms' secret: {0}")]
    Randomness(getrandom::Error),
    /// The control plane's runtime or signals.
    #[error("cannot set up the control plane: {0}")]
    Control(io::Error),
    /// The admin address cannot be had.
    #[error(
        "the admin server cannot listen on {address}: {source}. Choose another address with --admin, or `--admin off`, or stop whatever uses this one"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// There is no secret for TLS sessions.
    #[error("no secret for TLS sessions can be made: {0}")]
    Tickets(CertificateError),
    /// A part of what the shards go by cannot be had.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The node cannot be part of its cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The token of commands cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The shards do not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The shards have ended by themselves.
    #[error(transparent)]
    Ended(#[from] ControlError),
}

/// Starts a node, says so on stdout, and serves until a signal ends it. `settings` and `plan` are what
/// `sources`, which are read again by a reload, have said.
///
/// # Errors
/// What could not be had, and what to do; or why it ended by itself.
pub fn serve(
    sources: Sources,
    settings: Settings,
    plan: Plan,
    log: &Log,
) -> Result<Outcome, ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Control)?;
    let tickets = Tickets::new().map_err(ServeError::Tickets)?;
    let reloader = Reloader::new(sources, settings, plan, tickets);
    let outcome = runtime.block_on(serve_here(reloader, log));
    // A name may still be looked up, which a thread of its own waits for, as long as the resolver takes.
    runtime.shutdown_background();
    outcome
}

async fn serve_here(reloader: Reloader, log: &Log) -> Result<Outcome, ServeError> {
    let (settings, plan) = (reloader.settings(), reloader.plan());
    let descriptors_max = descriptors::raise_limit().map_err(ServeError::Descriptors)?;
    let chosen = driver::choose(settings.io.0)?;
    tracing::info!(backend = %chosen.backend, reason = chosen.reason, "input and output");
    warn_of_short_queue(settings);
    // Before the shards: from here on a signal ends them in order, and an address in use is told at once.
    let signals = Signals::listen().map_err(ServeError::Control)?;
    let admin = AdminListener::bind(settings.admin)?;
    let room_secret = room_secret()?;
    let token = commands::token(&settings.sections.commands)?;
    let me = cluster::identity(settings, getrandom::u64().map_err(ServeError::Randomness)?);
    let mut node = ringmain_shard::start(NodeConfig {
        name: order::prefix(&me),
        listen: settings.listen.0,
        tls_listen: match settings.tls_listen {
            AdminAddress::At(address) => Some(address),
            AdminAddress::Off => None,
        },
        backlog: settings.backlog.0 as u32,
        cpus: plan.cpus.iter().copied().map(Some).collect(),
        backend: chosen.backend,
        policy: Arc::new(reloader.policy()?),
        descriptors_max,
        room_secret,
        linked: !settings.nats.0.is_empty(),
    })?;
    let is_linked = !settings.nats.0.is_empty();
    let (closing, asks, carry_out) = Closing::new(room_secret, node.shards().len(), is_linked);
    let cluster = match node.take_link() {
        Some(end) => {
            let (me, address) = (me.clone(), node.address());
            let end = (end, node.shards().len());
            let rooms = &node.policy().rooms;
            Some(cluster::start(settings, me, address, room_secret, end, rooms, carry_out).await?)
        }
        None => None,
    };
    let orders = Orders {
        me,
        closing,
        asks,
        token,
    };
    let banner = Banner {
        plan,
        chosen: &chosen,
        tables: node.shards().iter().map(ShardTable::from).collect(),
        descriptors_max,
        connections_max: settings.connections_max.0,
        listen: node.address(),
        tls_listen: node.tls_address(),
        admin: admin.as_ref().map(|admin| admin.address),
    };
    announce(&banner.text());
    let parts = Parts {
        node,
        cluster,
        orders,
        reloader,
        admin,
    };
    run(parts, &chosen, signals, log).await
}

/// What serves together.
struct Parts {
    node: Node,
    cluster: Option<Handle>,
    orders: Orders,
    reloader: Reloader,
    admin: Option<AdminListener>,
}

/// An operator's way to the connections.
struct Orders {
    me: Source,
    closing: Closing,
    asks: closing::Asks,
    token: Option<ApiKeys>,
}

async fn run(
    parts: Parts,
    chosen: &Chosen,
    signals: Signals,
    log: &Log,
) -> Result<Outcome, ServeError> {
    let Parts {
        node,
        cluster,
        orders,
        reloader,
        admin,
    } = parts;
    let Orders {
        me,
        closing,
        asks,
        token,
    } = orders;
    let stalls: Arc<[Cell64]> = node.shards().iter().map(|_| Cell64::default()).collect();
    let numbers = Arc::new(Numbers::default());
    numbers.configured(
        reloader.settings().connections_max.0,
        reloader.plan().limits.memory_bytes_max,
    );
    numbers.presents(node.policy());
    let pages = Arc::new(Pages {
        metrics: Metrics::new(metrics::Sources {
            shards: node
                .shards()
                .iter()
                .map(|shard| shard.stats().clone())
                .collect(),
            stalls: stalls.clone(),
            backend: chosen.backend,
            control: numbers.clone(),
            log_dropped: log.dropped(),
            cluster: cluster.clone(),
        }),
        numbers: numbers.clone(),
        ready_alone: reloader.settings().sections.cluster.ready_alone.0,
        commands: Commands::new(me, asks, cluster.clone(), token),
        cluster: cluster.clone(),
    });
    if let Some(admin) = admin {
        tokio::spawn(admin::serve(admin.listener, pages));
    }
    let reloading = Reloading::new(reloader, log.filter());
    let mut control = Control::new(node, stalls, numbers, reloading, closing);
    control.link(cluster);
    Ok(control.run(signals).await?)
}

/// The admin server's address, taken.
struct AdminListener {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
}

impl AdminListener {
    fn bind(wanted: AdminAddress) -> Result<Option<Self>, ServeError> {
        let AdminAddress::At(address) = wanted else {
            return Ok(None);
        };
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok(AdminListener { listener, address })
        };
        bind()
            .map(Some)
            .map_err(|source| ServeError::Admin { address, source })
    }
}

fn room_secret() -> Result<RoomKey, ServeError> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(ServeError::Randomness)?;
    Ok(RoomKey::new(secret))
}

/// The kernel cuts a backlog to its own limit, and says nothing.
fn warn_of_short_queue(settings: &Settings) {
    let path = "/proc/sys/net/core/somaxconn";
    let limit = std::fs::read_to_string(path);
    let limit = limit.ok().and_then(|text| text.trim().parse::<u64>().ok());
    if let Some(limit) = limit.filter(|&limit| limit < settings.backlog.0) {
        tracing::warn!(
            backlog = settings.backlog.0,
            somaxconn = limit,
            "the kernel cuts the backlog: raise net.core.somaxconn, or lower `backlog`"
        );
    }
}

/// Says on stdout what runs. That nobody may read it is no reason not to serve.
fn announce(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        tracing::warn!(%error, "stdout takes nothing");
    }
}
