//! The composition root: from settings to a running node, and to its end.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ringmain_core::stats::Cell64;
use ringmain_router::RoomKey;
use ringmain_rt::descriptors;
use ringmain_rt::driver::{self, Chosen, UringUnavailable};
use ringmain_shard::{Node, NodeConfig, Policy, StartError};

use crate::banner::{Banner, ShardTable};
use crate::config::value::AdminAddress;
use crate::config::{Settings, origins};
use crate::control::admin::{self, Pages};
use crate::control::{Control, ControlError, Outcome, Signals};
use crate::logging::Log;
use crate::metrics::{Metrics, Sources};
use crate::plan::Plan;

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
    /// The shards do not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The shards have ended by themselves.
    #[error(transparent)]
    Ended(#[from] ControlError),
}

/// Starts a node, says so on stdout, and serves until a signal ends it.
///
/// # Errors
/// What could not be had, and what to do; or why it ended by itself.
pub fn serve(settings: &Settings, plan: &Plan, log: &Log) -> Result<Outcome, ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Control)?;
    runtime.block_on(serve_here(settings, plan, log))
}

async fn serve_here(settings: &Settings, plan: &Plan, log: &Log) -> Result<Outcome, ServeError> {
    let descriptors_max = descriptors::raise_limit().map_err(ServeError::Descriptors)?;
    let chosen = driver::choose(settings.io.0)?;
    tracing::info!(backend = %chosen.backend, reason = chosen.reason, "input and output");
    warn_of_short_queue(settings);
    // Before the shards: from here on a signal ends them in order, and an address in use is told at once.
    let signals = Signals::listen().map_err(ServeError::Control)?;
    let admin = AdminListener::bind(settings.admin)?;
    let node = ringmain_shard::start(NodeConfig {
        listen: settings.listen.0,
        backlog: settings.backlog.0 as u32,
        cpus: plan.cpus.iter().copied().map(Some).collect(),
        backend: chosen.backend,
        policy: Arc::new(Policy {
            limits: plan.limits.clone(),
            origins: origins::origins(settings),
        }),
        connections_max: usize::try_from(settings.connections_max.0).unwrap_or(usize::MAX),
        descriptors_max,
        room_secret: room_secret()?,
    })?;
    let banner = Banner {
        plan,
        chosen: &chosen,
        tables: node.shards().iter().map(ShardTable::from).collect(),
        descriptors_max,
        connections_max: settings.connections_max.0,
        listen: node.address(),
        admin: admin.as_ref().map(|admin| admin.address),
    };
    announce(&banner.text());
    run(node, settings, &chosen, admin, signals, log).await
}

async fn run(
    node: Node,
    settings: &Settings,
    chosen: &Chosen,
    admin: Option<AdminListener>,
    signals: Signals,
    log: &Log,
) -> Result<Outcome, ServeError> {
    let stalls: Arc<[Cell64]> = node.shards().iter().map(|_| Cell64::default()).collect();
    let pages = Arc::new(Pages {
        metrics: Metrics::new(Sources {
            shards: node
                .shards()
                .iter()
                .map(|shard| shard.stats().clone())
                .collect(),
            stalls: stalls.clone(),
            backend: chosen.backend,
            connections_max: settings.connections_max.0,
            log_dropped: log.dropped(),
        }),
        is_stopping: AtomicBool::new(false),
    });
    if let Some(admin) = admin {
        tokio::spawn(admin::serve(admin.listener, pages.clone()));
    }
    Ok(Control::new(node, pages, stalls).run(signals).await?)
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
