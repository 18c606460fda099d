//! SIGHUP: the configuration is read again, told key by key, and handed to the shards.

use std::sync::Arc;

use ringmain_shard::{Policy, ServerTls};

use crate::certificates::{CertificatesError, Stamps};
use crate::config::Settings;
use crate::config::value::LogFilter;
use crate::logging::LogHandle;
use crate::reload::{Reloader, Renewal};

use super::Control;

/// What a reload needs.
pub struct Reloading {
    reloader: Reloader,
    log: LogHandle,
    /// The shards were given a policy that they do not all go by yet.
    is_under_way: bool,
}

impl Reloading {
    /// Reloads with this, and changes this log's filter.
    pub fn new(reloader: Reloader, log: LogHandle) -> Self {
        Reloading {
            reloader,
            log,
            is_under_way: false,
        }
    }

    /// What the node goes by now.
    pub fn settings(&self) -> &Settings {
        self.reloader.settings()
    }

    /// What the certificates' files hold now.
    pub(super) fn certificates(&self) -> Result<Option<ServerTls>, CertificatesError> {
        self.reloader.certificates()
    }

    /// The certificates' files as they were before they were read, at the start or by the last reload.
    pub(super) fn stamps(&self) -> Stamps {
        self.reloader.stamps().clone()
    }

    fn refilter(&self, filter: &LogFilter) {
        if let Err(error) = self.log.set(filter.targets().clone()) {
            tracing::warn!(%error, "the log's filter stays as it is");
        }
    }
}

impl Control {
    /// Reads the configuration again. If it is good, the shards are given what it comes to.
    pub(super) fn reload(&mut self) {
        let renewal = match self.reloading.reloader.read() {
            Ok(renewal) => renewal,
            Err(error) => {
                self.numbers.reloads_refused.add(1);
                for problem in error.to_string().lines() {
                    tracing::error!("the new configuration is invalid: {problem}");
                }
                tracing::error!(
                    "the old configuration stays: correct the new one and send SIGHUP again"
                );
                return;
            }
        };
        // While the old filter still holds: the new one may be silence.
        tell(&renewal);
        self.reloading.refilter(&renewal.settings.log);
        self.numbers.reloads_applied.add(1);
        self.numbers.configured(
            renewal.settings.connections_max.0,
            renewal.policy.limits.memory_bytes_max,
        );
        self.certificates.note(renewal.stamps.clone());
        self.give(renewal.policy.clone());
        self.reloading.reloader.accept(renewal);
    }

    /// Gives the shards something new to go by.
    pub(super) fn give(&mut self, policy: Arc<Policy>) {
        self.numbers.presents(&policy);
        self.node.reload(policy);
        self.reloading.is_under_way = true;
    }

    pub(super) fn go_on_reloading(&mut self) {
        if !self.reloading.is_under_way {
            return;
        }
        if self.node.go_on_reloading() && self.node.is_reloaded() {
            self.reloading.is_under_way = false;
            tracing::info!("all shards go by the new configuration");
        }
    }
}

fn tell(renewal: &Renewal) {
    for change in &renewal.applied {
        tracing::info!("reload: {change}");
    }
    for change in &renewal.postponed {
        tracing::warn!("reload: {change} is not applied: it needs a restart");
    }
    tracing::info!(
        applied = renewal.applied.len(),
        postponed = renewal.postponed.len(),
        "the configuration was read again"
    );
}
