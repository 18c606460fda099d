//! Certificates are taken up when their files change.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::Control;
use crate::config::Settings;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// What of a file tells that it has changed; `None` if it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// Looks whether files have changed.
#[derive(Default)]
pub(super) struct Watching {
    looked: Option<Instant>,
    /// As the certificates that are presented, or refused, were read.
    read: Vec<(PathBuf, Stamp)>,
    /// As they were the last time.
    last: Vec<(PathBuf, Stamp)>,
}

impl Watching {
    /// The files are read now.
    pub(super) fn note(&mut self, settings: &Settings) {
        self.read = stamps(settings);
        self.last.clone_from(&self.read);
    }

    /// Whether files have changed since they were read, and not since the last look: who writes two, writes them one
    /// after the other.
    fn has_changed(&mut self, settings: &Settings) -> bool {
        if (self.looked).is_some_and(|looked| looked.elapsed() < INTERVAL) {
            return false;
        }
        self.looked = Some(Instant::now());
        let now = stamps(settings);
        let is_calm = now == self.last;
        self.last = now;
        is_calm && self.last != self.read
    }
}

fn stamps(settings: &Settings) -> Vec<(PathBuf, Stamp)> {
    if !settings.has_tls() {
        return Vec::new();
    }
    let files = settings.certificates();
    let paths = files.into_iter().flat_map(|files| [files.cert, files.key]);
    paths
        .map(|path| {
            let found = std::fs::metadata(&path).ok();
            let stamp = found.and_then(|found| Some((found.modified().ok()?, found.len())));
            (path, stamp)
        })
        .collect()
}

impl Control {
    /// Takes certificates up if their files have changed. Those that are presented stay if the new ones cannot be used.
    pub(super) fn watch_certificates(&mut self) {
        let settings = self.reloading.settings();
        if !self.certificates.has_changed(settings) {
            return;
        }
        self.certificates.note(settings);
        match self.reloading.policy() {
            Ok(policy) => {
                self.numbers.certificates_applied.add(1);
                tracing::info!(
                    "the certificates' files have changed: new connections are presented with them"
                );
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
