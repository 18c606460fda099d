//! Ctrl-C and SIGTERM: a run ends early and in order, and what it found by then is its result.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{Conduct, start_watched};

const DEADLINE: Duration = Duration::from_secs(60);

/// A run that is under way; ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(words: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_ringmain-load"))
            .args(words.split_whitespace())
            .args(["--json", "--busy-max", "100", "--lag-max", "60000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Running(child.unwrap())
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Reads standard error up to a line that says this.
    fn expect_line(&mut self, words: &str) {
        let stderr = self.0.stderr.as_mut().unwrap();
        let mut lines = BufReader::new(stderr).lines();
        assert!(lines.any(|line| line.unwrap().contains(words)), "{words}");
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut text = String::new();
        let stdout = self.0.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut text).unwrap();
        (self.0.wait().unwrap(), text)
    }

    fn report(self) -> Value {
        let (status, text) = self.end();
        assert_eq!(status.code(), Some(130), "{text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["interrupted"], true);
        for field in ["failed", "connections_lost", "lost", "unexpected"] {
            assert_eq!(report[field], 0, "{field} in {report:#}");
        }
        report
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_sent_by_then_arrives_and_is_the_result() {
    for (words, signal) in [
        ("echo/echo --rate-messages 500 --warmup 0", "INT"),
        ("echo/echo --in-flight 3 --warmup 0", "TERM"),
        ("fanout/raw/x --publishers 2 --warmup 0", "INT"),
        (
            "churn/raw/x --visits 20 --stay 0.1 --rate-messages 500 --warmup 0",
            "INT",
        ),
        // Nobody is left who could be measured; but all is proved.
        (
            "chat/raw/x --members 3 --rate-messages 500 --warmup 500",
            "INT",
        ),
    ] {
        let (url, server) = start_watched(Conduct::Good);
        let (scenario, rest) = words.split_once('/').unwrap();
        let begun = Instant::now();
        let run = Running::start(&format!(
            "{scenario} --url {url}/{rest} --connections 6 --threads 2 --duration 500"
        ));
        wait_for("deliveries", || server.deliveries() > 100);
        run.signal(signal);
        let report = run.report();
        assert!(report["expected"].as_u64().unwrap() > 100, "{report:#}");
        assert_eq!(report["expected"], report["received"]);
        assert_eq!(report["valid"], true, "{report:#}");
        let measured = report["duration_seconds"].as_f64().unwrap();
        let is_measured = !words.contains("--warmup 500");
        assert_eq!(measured > 0.0, is_measured, "{words}");
        assert!(measured < begun.elapsed().as_secs_f64());
        assert_eq!(
            report["messages_per_second"].as_f64().unwrap() > 0.0,
            is_measured
        );
    }
}

#[test]
fn whoever_is_not_there_yet_has_not_failed() {
    // Two of five are never answered.
    let (url, server) = start_watched(Conduct::SilentAfter(3));
    let run = Running::start(&format!(
        "echo --url {url}/echo --connections 5 --handshake-timeout 500"
    ));
    wait_for("handshakes", || {
        server.accepted() == 5 && server.present() == 3
    });
    run.signal("INT");
    let report = run.report();
    assert_eq!(report["sent"], 0);
    assert!(report["connected"].as_u64().unwrap() <= 3, "{report:#}");
    let seconds = report["connect_seconds"].as_f64().unwrap();
    assert!(seconds > 0.0);
}

#[test]
fn whoever_is_still_away_after_a_storm_has_not_failed() {
    let (url, server) = start_watched(Conduct::Good);
    let run = Running::start(&format!(
        "storm --url {url} --connections 8 --policy fixed:500 --duration 600"
    ));
    wait_for("eight connections", || server.accepted() == 8);
    wait_for("the storm", || server.present() == 0);
    run.signal("INT");
    let report = run.report();
    assert_eq!(
        (&report["connected"], &report["storm"]["returned"]),
        (&8.into(), &0.into())
    );
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let (url, server) = start_watched(Conduct::Drop(3));
    let mut run = Running::start(&format!(
        "echo --url {url}/echo --connections 2 --rate-messages 200 --duration 500 --drain 500 --warmup 0"
    ));
    wait_for("deliveries", || server.deliveries() > 20);
    run.signal("INT");
    run.expect_line("interrupted");
    run.signal("INT");
    let (status, text) = run.end();
    assert_eq!((status.signal(), text.as_str()), (Some(2), ""));
}
