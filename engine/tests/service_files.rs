//! The files for systemd and Kubernetes agree with the defaults of the engine.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

use std::path::Path;

use ringmain::config::Settings;

fn file(name: &str) -> String {
    let tuning = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning");
    std::fs::read_to_string(tuning.join(name)).unwrap()
}

/// The number behind the first line that begins with this.
fn number(text: &str, begin: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(begin));
    line.unwrap().trim().parse().unwrap()
}

/// Seconds that an end may take with the defaults, and those that the process takes beyond that at most.
fn longest_end() -> f64 {
    let settings = Settings::default();
    settings.drain_seconds.0 + settings.close_handshake_seconds.0 + 5.0
}

#[test]
fn systemd_waits_for_the_end_and_can_reload() {
    let unit = file("files/ringmain.service");
    assert!(number(&unit, "TimeoutStopSec=") > longest_end());
    assert!(unit.contains("\nExecReload=/bin/kill -HUP $MAINPID\n"));
    assert!(unit.contains("\nKillSignal=SIGTERM\n"));
}

#[test]
fn kubernetes_waits_for_the_end_with_the_delay_that_it_is_given() {
    let text = file("kubernetes.md");
    let delay = text.split_once("\"--ready-delay\", \"").unwrap().1;
    let delay: f64 = delay.split('"').next().unwrap().parse().unwrap();
    assert!(number(&text, "terminationGracePeriodSeconds:") > delay + longest_end());
}
