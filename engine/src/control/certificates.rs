//! Certificates are taken up when their files change.

use std::time::{Duration, Instant};

use ringmain_shard::Policy;

use super::Control;
use crate::certificates::Stamps;
use crate::config::Settings;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Looks whether files have changed.
#[derive(Default)]
pub(super) struct Watching {
    looked: Option<Instant>,
    /// As they were before the certificates that are presented, or refused, were read.
    read: Stamps,
    /// As they were the last time.
    last: Stamps,
}

impl Watching {
    /// The files were read after this.
    pub(super) fn note(&mut self, stamps: Stamps) {
        self.last = stamps.clone();
        self.read = stamps;
    }

    /// Whether files have changed since they were read, and not since the last look: who writes two, writes them one
    /// after the other.
    fn has_changed(&mut self, settings: &Settings) -> bool {
        if (self.looked).is_some_and(|looked| looked.elapsed() < INTERVAL) {
            return false;
        }
        self.looked = Some(Instant::now());
        let now = Stamps::of(settings);
        let is_calm = now == self.last;
        self.last = now;
        is_calm && self.last != self.read
    }
}

impl Control {
    /// Takes certificates up if their files have changed, and nothing else. Those that are presented stay if the new ones
    /// cannot be used.
    pub(super) fn watch_certificates(&mut self) {
        let settings = self.reloading.settings();
        if !self.certificates.has_changed(settings) {
            return;
        }
        self.certificates.note(self.certificates.last.clone());
        match self.reloading.certificates() {
            Ok(tls) => {
                self.numbers.certificates_applied.add(1);
                tracing::info!(
                    "the certificates' files have changed: new connections are presented with them"
                );
                let policy = Policy {
                    tls,
                    ..self.node.policy().clone()
                };
                self.give(policy.into());
            }
            Err(error) => {
                self.numbers.certificates_refused.add(1);
                tracing::error!("the certificates' files have changed: {error}");
                tracing::error!(
                    "the old certificates stay: correct the files, which are read again when they change"
                );
            }
        }
    }
}
