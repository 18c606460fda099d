//! From settings to what the shards go by: at the start, and again at each reload.

use std::sync::Arc;

use ringmain_shard::{Policy, ServerTls, Tickets};

use crate::auth::{self, AuthError};
use crate::certificates::{self, CertificatesError};
use crate::config::{Settings, origins};
use crate::plan::Plan;

/// Why there is no policy: each variant a part of it that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The certificates.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The keys of tokens and back ends.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// The policy that these settings come to. It does not wait for anything but files. TLS sessions are resumed by
/// `tickets`, which outlive it.
///
/// # Errors
/// A part of it could not be had.
pub fn policy(settings: &Settings, plan: &Plan, tickets: &Tickets) -> Result<Policy, PolicyError> {
    let tls = server_tls(settings, tickets)?;
    Ok(Policy {
        limits: plan.limits.clone(),
        rooms: settings.room_policies(),
        origins: origins::origins(settings),
        auth: Arc::new(auth::load(settings)?),
        tcp: settings.tcp(),
        tls,
        tls_handshakes_max: usize::try_from(settings.tls_handshakes_max.0).unwrap_or(usize::MAX),
        accept_rate: settings.accept_rate(),
        trusted_proxies: settings.sections.limits.trusted_proxies.0.clone(),
        proxy_protocol: settings.sections.limits.proxy_protocol.0,
        connections_max: usize::try_from(settings.connections_max.0).unwrap_or(usize::MAX),
    })
}

/// The part of it that certificates' files make up: `None` if nobody listens for TLS.
///
/// # Errors
/// The certificates cannot be had.
pub fn server_tls(
    settings: &Settings,
    tickets: &Tickets,
) -> Result<Option<ServerTls>, CertificatesError> {
    match settings.has_tls() {
        true => certificates::load(&settings.certificates(), tickets).map(Some),
        false => Ok(None),
    }
}
