//! From settings to what the shards go by: at the start, and again at each reload.

use ringmain_shard::Policy;

use crate::config::{Settings, origins};
use crate::plan::Plan;

/// Why there is no policy: each variant a part of it that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {}

/// The policy that these settings come to. It does not wait for anything but files.
///
/// # Errors
/// A part of it could not be had.
pub fn policy(settings: &Settings, plan: &Plan) -> Result<Policy, PolicyError> {
    Ok(Policy {
        limits: plan.limits.clone(),
        rooms: settings.room_policies(),
        origins: origins::origins(settings),
        tcp: settings.tcp(),
        connections_max: usize::try_from(settings.connections_max.0).unwrap_or(usize::MAX),
    })
}
