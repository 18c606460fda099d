//! The hot paths as small, repeatable pieces of work: timed by Criterion, and counted in instructions under callgrind.
//!
//! Each is deterministic: no clock, no randomness, no thread of its own.
#![allow(clippy::unwrap_used)] // A workload that cannot be set up is a bug in it, and ends the program.

mod core;
mod protocol;
mod queues;

/// One repetition of a workload, set up and ready.
pub type Run = Box<dyn FnMut()>;

/// A piece of work.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// What it exercises, such as `fan-out`.
    pub group: &'static str,
    /// Which size or kind of it, such as `1000`.
    pub name: &'static str,
    /// How many things of its kind one repetition does: messages, deliveries, or frames.
    pub elements: u64,
    /// Repetitions whose instructions are counted; 0 if it takes too long under callgrind.
    pub counted: u32,
    make: fn() -> Run,
}

impl Workload {
    const fn new(
        group: &'static str,
        name: &'static str,
        elements: u64,
        counted: u32,
        make: fn() -> Run,
    ) -> Self {
        Self {
            group,
            name,
            elements,
            counted,
            make,
        }
    }

    /// Its full name, such as `fan-out/1000`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// Sets it up.
    pub fn prepare(&self) -> Run {
        (self.make)()
    }
}

/// All workloads, group by group.
pub fn all() -> impl Iterator<Item = Workload> {
    [protocol::WORKLOADS, queues::WORKLOADS, core::WORKLOADS]
        .into_iter()
        .flatten()
        .copied()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_can_be_repeated() {
        let mut ids = HashSet::new();
        for workload in all().filter(|workload| workload.elements <= 1_000) {
            assert!(ids.insert(workload.id()), "{}", workload.id());
            let mut run = workload.prepare();
            for _ in 0..3 {
                run();
            }
        }
    }
}
