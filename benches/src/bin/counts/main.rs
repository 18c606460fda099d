//! Runs the workloads once each, for callgrind to count their instructions.
//!
//! callgrind is told to collect within [`counted_region`] alone, and to dump its counts whenever that returns: one file
//! for each workload, in the order that is printed here. Setting up and warming up are not in there.

use std::process::ExitCode;

use clap::Parser;
use ringmain_benches::workloads::{self, Run};

/// Repetitions before those that count: what is allocated once is allocated then.
const WARMUP: u32 = 5;

/// Runs workloads for callgrind, and names them in order.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only those whose names hold this.
    #[arg(default_value = "")]
    filter: String,
}

/// What is counted. It has a name that callgrind can be told, and is never part of another function.
#[unsafe(no_mangle)]
#[inline(never)]
fn counted_region(run: &mut Run, repetitions: u32) {
    for _ in 0..repetitions {
        run();
    }
}

#[allow(clippy::print_stdout)] // The names are what this program is asked for.
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut found = false;
    for workload in workloads::all() {
        let id = workload.id();
        if workload.counted == 0 || !id.contains(&arguments.filter) {
            continue;
        }
        found = true;
        let mut run = workload.prepare();
        for _ in 0..WARMUP {
            run();
        }
        counted_region(&mut run, workload.counted);
        println!("{id} {}", workload.counted);
    }
    if found {
        ExitCode::SUCCESS
    } else {
        eprintln!("counts: no workload's name holds \"{}\"", arguments.filter);
        ExitCode::FAILURE
    }
}
