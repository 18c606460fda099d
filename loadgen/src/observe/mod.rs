//! What the target says of itself, and what its host's kernel says of its process.
//!
//! Read by the control thread at the turning points of a run; nothing of it is on the way of a message.

pub mod kernel;
pub mod metrics;
pub mod process;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::to_seconds;
use crate::observe::metrics::{MetricsError, MetricsSource};
use crate::observe::process::Process;

/// What is watched beside the load.
#[derive(Debug, Default)]
pub struct Observer {
    metrics: Option<MetricsSource>,
    process: Option<Process>,
    before: Option<Bytes>,
    held: Option<Bytes>,
    /// Connections that were open then.
    connections: u64,
    from: Option<Reading>,
    to: Option<Reading>,
    memory: Vec<MemoryPoint>,
    warnings: Vec<String>,
}

/// The target's memory at one time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MemoryPoint {
    /// In seconds of the run.
    pub at_seconds: f64,
    /// Private anonymous memory of the process, in bytes.
    pub user_bytes: u64,
}

/// The share by which memory has grown from the second quarter of its points to the last one, by their
/// medians; `None` if there are too few points to say.
pub fn growth_share(memory: &[MemoryPoint]) -> Option<f64> {
    let quarter = memory.len() / 4;
    if quarter < 2 {
        return None;
    }
    let median = |points: &[MemoryPoint]| {
        let mut bytes: Vec<u64> = points.iter().map(|point| point.user_bytes).collect();
        bytes.sort_unstable();
        bytes[bytes.len() / 2] as f64
    };
    let before = median(&memory[quarter..2 * quarter]);
    let after = median(&memory[memory.len() - quarter..]);
    (before > 0.0).then(|| after / before - 1.0)
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    user: u64,
    kernel: u64,
}

/// Everything that only grows.
#[derive(Clone, Debug)]
struct Reading {
    cpu: Option<Duration>,
    metrics: Option<BTreeMap<String, f64>>,
}

/// What was found of the target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TargetFindings {
    /// Its process, if it runs on this host and is one.
    pub pid: Option<u32>,
    /// Its processes, if several share the listener: what follows is of all together.
    #[serde(default)]
    pub pids: Vec<u32>,
    /// CPU time of the process in the measurement, user and system.
    pub cpu_seconds: Option<f64>,
    /// The same for each message that arrived in the measurement, at visitors and slow members too, in nanoseconds.
    pub cpu_nanoseconds_a_message: Option<f64>,
    /// Growth of its private anonymous memory from before the first connection to the end of the
    /// measurement, for each connection, in bytes.
    pub user_bytes_a_connection: Option<f64>,
    /// Growth of the kernel's slabs in that time for each connection, in bytes. Where the load runs on the
    /// same host, both ends of each connection are in it.
    pub kernel_bytes_a_connection: Option<f64>,
    /// Its memory over time, in a soak.
    pub memory: Vec<MemoryPoint>,
    /// The share by which that has grown from its second quarter to its last.
    pub memory_growth_share: Option<f64>,
    /// Growth of each of its metrics in the measurement, summed over labels; only those that grew.
    pub metrics: BTreeMap<String, f64>,
    /// What could not be read, and why.
    pub warnings: Vec<String>,
}

impl Observer {
    /// Watches a process and a metrics address, either of which may be missing.
    ///
    /// # Errors
    /// The metrics cannot be read.
    pub fn new(
        process: Option<Process>,
        metrics: Option<MetricsSource>,
    ) -> Result<Observer, MetricsError> {
        if let Some(metrics) = &metrics {
            metrics.read()?;
        }
        Ok(Observer {
            metrics,
            process,
            ..Observer::default()
        })
    }

    /// Before the first connection.
    pub fn before_connecting(&mut self) {
        self.before = self.bytes();
    }

    /// The measurement begins.
    pub fn measuring(&mut self) {
        self.from = Some(self.reading());
    }

    /// The measurement ends, with so many connections open.
    pub fn measured(&mut self, connections: u64) {
        self.connections = connections;
        self.to = Some(self.reading());
        self.held = self.bytes();
    }

    /// Notes the process's memory, if the last note is so long ago.
    pub fn note_memory(&mut self, at_ns: u64, step_ns: u64) {
        let at_seconds = to_seconds(at_ns);
        let last_seconds = self.memory.last().map(|point| point.at_seconds);
        if last_seconds.is_some_and(|last| at_seconds - last < to_seconds(step_ns)) {
            return;
        }
        // A process that has ended shows in its connections.
        if let Some(Ok(user_bytes)) = self.process.as_ref().map(Process::user_bytes) {
            self.memory.push(MemoryPoint {
                at_seconds,
                user_bytes,
            });
        }
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let process = self.process.as_ref()?;
        match (process.user_bytes(), kernel::slab_bytes()) {
            (Ok(user), Ok(kernel)) => Some(Bytes { user, kernel }),
            (Err(error), _) | (_, Err(error)) => {
                warn(&mut self.warnings, "memory of the target", &error);
                None
            }
        }
    }

    fn reading(&mut self) -> Reading {
        let cpu = self.process.as_ref().and_then(|process| {
            let cpu = process.cpu();
            cpu.map_err(|error| warn(&mut self.warnings, "CPU time of the target", &error))
                .ok()
        });
        let metrics = self.metrics.as_ref().and_then(|metrics| {
            let read = metrics.read();
            read.map_err(|error| self.warnings.push(error.to_string()))
                .ok()
        });
        Reading { cpu, metrics }
    }

    /// What was found, for so many messages; `None` if nothing was watched.
    pub fn findings(self, messages: u64) -> Option<TargetFindings> {
        if self.process.is_none() && self.metrics.is_none() {
            return None;
        }
        let share = |part: f64, of: u64| (of > 0).then(|| part / of as f64);
        let grown = |of: fn(&Bytes) -> u64| {
            let (before, held) = (self.before.as_ref()?, self.held.as_ref()?);
            share(of(held) as f64 - of(before) as f64, self.connections)
        };
        let cpu_seconds = self
            .from
            .as_ref()
            .zip(self.to.as_ref())
            .and_then(|(from, to)| {
                let cpu = to.cpu?.saturating_sub(from.cpu?);
                Some(cpu.as_secs_f64())
            });
        let (pid, pids) = match self.process.as_ref().map(Process::ids) {
            Some(&[id]) => (Some(id), Vec::new()),
            Some(ids) => (None, ids.to_vec()),
            None => (None, Vec::new()),
        };
        Some(TargetFindings {
            pid,
            pids,
            cpu_seconds,
            cpu_nanoseconds_a_message: cpu_seconds.and_then(|cpu| share(cpu * 1e9, messages)),
            user_bytes_a_connection: grown(|bytes| bytes.user),
            kernel_bytes_a_connection: grown(|bytes| bytes.kernel),
            memory_growth_share: growth_share(&self.memory),
            memory: self.memory,
            metrics: growth(self.from, self.to),
            warnings: self.warnings,
        })
    }
}

/// Notes once what could not be read.
fn warn(warnings: &mut Vec<String>, what: &str, error: &io::Error) {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "its process has ended".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "it runs as another user: run as that one, or as root".to_owned()
        }
        _ => error.to_string(),
    };
    let warning = format!("{what}: {why}");
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

fn growth(from: Option<Reading>, to: Option<Reading>) -> BTreeMap<String, f64> {
    let metrics = |reading: Option<Reading>| reading.and_then(|reading| reading.metrics);
    let (Some(from), Some(mut to)) = (metrics(from), metrics(to)) else {
        return BTreeMap::new();
    };
    to.retain(|name, value| {
        *value -= from.get(name).unwrap_or(&0.0);
        *value > 0.0
    });
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(bytes: impl IntoIterator<Item = u64>) -> Vec<MemoryPoint> {
        let point = |(at, user_bytes)| MemoryPoint {
            at_seconds: f64::from(at),
            user_bytes,
        };
        (0..).zip(bytes).map(point).collect()
    }

    #[test]
    fn what_cannot_be_read_is_said_once_and_with_its_reason() {
        let mut warnings = Vec::new();
        for _ in 0..2 {
            warn(&mut warnings, "memory", &io::ErrorKind::NotFound.into());
            warn(
                &mut warnings,
                "memory",
                &io::ErrorKind::PermissionDenied.into(),
            );
        }
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("has ended") && warnings[1].contains("root"));
    }

    #[test]
    fn growth_is_told_from_warming_up_and_from_a_peak() {
        assert_eq!(growth_share(&points([1, 2, 3])), None);
        let warming_up = [10, 60, 90, 100].into_iter().chain([100; 12]);
        assert_eq!(growth_share(&points(warming_up)), Some(0.0));
        let peak = [100; 12].into_iter().chain([100, 900, 100, 100]);
        assert_eq!(growth_share(&points(peak)), Some(0.0));
        let leak = (0..16).map(|number| 100 + 10 * number);
        assert!(growth_share(&points(leak)).is_some_and(|share| share > 0.4));
    }
}
