//! From settings to the link with other nodes.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ringmain_core::RoomPolicies;
use ringmain_nats::{
    Auth, Driver, Handle, NatsConfig, NatsError, Tls, check_authorities, check_credentials,
    check_nkey, check_own,
};
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{Backoff, LinkConfig, NodeName, PlainLimits, Source};
use ringmain_router::{CloseRequest, RoomKey};
use ringmain_shard::LinkEnd;
use tokio::sync::mpsc;

use crate::config::Settings;
use crate::config::sections::Cluster;

/// Why the node cannot be part of its cluster. That the NATS server is not there is no reason.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file of a secret.
    #[error("cannot read `{key}` of [cluster], {}: {source}", path.display())]
    Secret {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that is of no use.
    #[error("`{key}` of [cluster], {}, cannot be used: {problem}", path.display())]
    Useless {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The client refuses what is configured.
    #[error(transparent)]
    Nats(#[from] NatsError),
}

/// Who this node is among others, and among its own starts: its configured name or one that is made up, and an
/// incarnation of its own.
pub fn identity(settings: &Settings, random: u64) -> Source {
    let incarnation = incarnation(random);
    let node = settings.node_name.0.clone();
    Source {
        node: node.unwrap_or_else(|| made_up(incarnation)),
        incarnation,
    }
}

/// Starts the link of the node `me`. `carry_out` takes the orders of other nodes.
///
/// # Errors
/// What is wrong with its configuration.
pub async fn start(
    settings: &Settings,
    me: Source,
    address: SocketAddr,
    room_secret: RoomKey,
    (end, shards): (LinkEnd, usize),
    rooms: &RoomPolicies,
    carry_out: mpsc::Sender<CloseRequest>,
) -> Result<Handle, ClusterError> {
    let section = &settings.sections.cluster;
    let Source { node, incarnation } = me;
    tracing::info!(cluster = %settings.cluster_name, %node, servers = %settings.nats, "part of a cluster");
    let link = LinkConfig {
        cluster: settings.cluster_name.0.clone(),
        incarnation,
        address: match section.address.as_str() {
            "" => address.to_string(),
            told => told.to_owned(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        room_secret,
        outbound: OutboundLimits {
            bytes_max: section.queue_bytes_max.0 as usize,
            wait_ms: section.queue_seconds.milliseconds(),
        },
        plain: plain_limits(settings, rooms),
        shards,
        node,
    };
    let nats = NatsConfig {
        servers: settings.nats.0.clone(),
        name: format!("ringmain {}", link.node),
        auth: auth(section)?,
        tls: tls(section, &settings.nats.0)?,
        backoff: Backoff::default(),
        seed: getrandom::u64().unwrap_or_default(),
    };
    let (driver, handle) = Driver::new(nats, link, end.port, end.bell, carry_out).await?;
    tokio::spawn(driver.run());
    Ok(handle)
}

/// What plain messages are held to by these settings, and these of rooms.
pub fn plain_limits(settings: &Settings, rooms: &RoomPolicies) -> PlainLimits {
    PlainLimits {
        message_bytes_max: settings.message_bytes_max.0 as usize,
        rate: settings.sections.cluster.message_rate(),
        rooms: Arc::new(rooms.clone()),
    }
}

/// Larger with each start, and another for each of two nodes that start in one moment: milliseconds since 1970, then
/// 20 random bits.
fn incarnation(random: u64) -> u64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (since_1970.as_millis() as u64) << 20 | random >> 44
}

fn made_up(incarnation: u64) -> NodeName {
    let name = format!("node-{incarnation:x}");
    // Its characters are those of names, and there are fewer than 32 of them.
    name.parse().unwrap_or_else(|_| unreachable!())
}

fn auth(section: &Cluster) -> Result<Auth, ClusterError> {
    if let Some(path) = section.password_file.path() {
        let password = secret("password_file", path)?;
        return Ok(Auth::UserPassword(section.user.clone(), password));
    }
    if let Some(path) = section.token_file.path() {
        return Ok(Auth::Token(secret("token_file", path)?));
    }
    if let Some(path) = section.nkey_file.path() {
        let seed = secret("nkey_file", path)?;
        check_nkey(&seed).map_err(useless("nkey_file", path))?;
        return Ok(Auth::Nkey(seed));
    }
    if let Some(path) = section.credentials_file.path() {
        let text = secret("credentials_file", path)?;
        check_credentials(&text).map_err(useless("credentials_file", path))?;
        return Ok(Auth::Credentials(text));
    }
    Ok(Auth::None)
}

fn secret(key: &'static str, path: &Path) -> Result<String, ClusterError> {
    let text = std::fs::read_to_string(path).map_err(|source| ClusterError::Secret {
        key,
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim().to_owned())
}

fn useless(key: &'static str, path: &Path) -> impl FnOnce(String) -> ClusterError {
    let path = path.to_owned();
    move |problem| ClusterError::Useless { key, path, problem }
}

/// The files are read again at each attempt to connect: they may be renewed.
fn tls(section: &Cluster, servers: &[String]) -> Result<Tls, ClusterError> {
    let authorities = section.tls_authorities.path();
    let own = section.tls_cert.path().zip(section.tls_key.path());
    if let Some(path) = authorities {
        check_authorities(path).map_err(useless("tls_authorities", path))?;
    }
    if let Some((certificate, key)) = own {
        check_own(certificate, key).map_err(|(is_key, problem)| match is_key {
            true => useless("tls_key", key)(problem),
            false => useless("tls_cert", certificate)(problem),
        })?;
    }
    Ok(Tls {
        // Servers tell of others, without saying how those are to be reached: not worse than the one that is configured.
        is_required: section.tls.0 || servers.iter().any(|server| server.starts_with("tls://")),
        authorities: authorities.map(Path::to_owned),
        own: own.map(|(certificate, key)| (certificate.to_owned(), key.to_owned())),
    })
}
