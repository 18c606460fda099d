//! Runs the program.

use std::process::{Command, Output};

use serde_json::Value;

/// What a run said.
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// What `--json` wrote.
    pub report: Value,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// A field that is a count.
    pub fn count(&self, field: &str) -> u64 {
        let value = &self.report[field];
        value.as_u64().unwrap_or_else(|| panic!("{field}: {value}"))
    }

    /// A field that is a number.
    pub fn number(&self, field: &str) -> f64 {
        let value = &self.report[field];
        value.as_f64().unwrap_or_else(|| panic!("{field}: {value}"))
    }

    /// The count of one kind of error.
    pub fn errors(&self, kind: &str) -> u64 {
        self.report["errors"][kind].as_u64().unwrap_or(0)
    }

    /// Fails unless nothing was amiss and something was delivered.
    pub fn assert_clean(&self) {
        assert_eq!(self.code, 0, "{:#}\n{}", self.report, self.stderr);
        for field in [
            "failed",
            "lost",
            "duplicated",
            "reordered",
            "corrupt",
            "unexpected",
            "unsent",
        ] {
            assert_eq!(self.count(field), 0, "{field} in {:#}", self.report);
        }
        assert_eq!(self.count("connections_lost"), 0);
        assert_eq!(self.count("connected"), self.count("connections"));
        assert_eq!(self.count("received"), self.count("expected"));
        assert_eq!(
            self.report["errors"],
            serde_json::json!({}),
            "{:#}",
            self.report
        );
    }

    /// Fails unless exactly these faults were counted, and the exit code says so.
    pub fn assert_faults(&self, faults: &[(&str, u64)]) {
        assert_eq!(self.code, 1, "{:#}\n{}", self.report, self.stderr);
        for field in ["lost", "duplicated", "reordered", "corrupt", "unexpected"] {
            let expected = faults.iter().find(|(fault, _)| *fault == field);
            let expected = expected.map_or(0, |(_, count)| *count);
            assert_eq!(self.count(field), expected, "{field} in {:#}", self.report);
        }
    }
}

/// Runs the program with these words and `--json`. Whether the load generator was the bottleneck depends on
/// what else the machine does, so that is not looked at.
pub fn run(words: &str) -> Run {
    let output = output(&format!("{words} --json --busy-max 100 --lag-max 60000"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{words}: {error}: {stderr}"));
    Run {
        code: output.status.code().unwrap(),
        report,
        stderr,
    }
}

/// Seconds after which a run hangs.
const SECONDS_MAX: &str = "60";

/// Runs the program with these words.
pub fn output(words: &str) -> Output {
    Command::new("timeout")
        .args([SECONDS_MAX, env!("CARGO_BIN_EXE_ringmain-load")])
        .args(words.split_whitespace())
        .output()
        .unwrap()
}
