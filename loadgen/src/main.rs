//! `ringmain-load`: loads a WebSocket server and proves what it delivers.
//!
//! The control thread ([`control`]) starts one worker a core ([`worker`]), each pinned, with its own
//! ring and its own descriptor table, and leads them through the stages ([`stage`]): connect, run,
//! close. A worker knows nothing of what it sends: that is a [`load::Load`]. Threads share atomics, and a
//! lock that is taken only when a connection has failed. What was found becomes a [`report::Report`], of
//! which two are compared by [`mod@compare`].

mod bells;
mod busy;
mod cli;
mod clock;
mod compare;
mod control;
mod delivery;
mod failure;
mod flights;
mod interrupt;
mod intervals;
mod job;
mod layout;
mod links;
mod load;
mod measure;
mod observe;
mod outgoing;
mod payload;
mod plan;
mod policy;
mod random;
mod report;
mod schedule;
mod sequences;
mod settings;
mod sizes;
mod stage;
mod tally;
mod target;
mod tls;
mod worker;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Parser as _;

use crate::cli::{Cli, Job, Verb};
use crate::interrupt::Interrupt;
use crate::observe::Observer;
use crate::observe::metrics::MetricsSource;
use crate::observe::process::Process;
use crate::plan::Plan;
use crate::plan::host::Host;
use crate::report::Report;
use crate::report::files::Files;
use crate::settings::{ServerPid, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A message or a connection was lost; or the second of two results is worse.
const EXIT_FAULTS: u8 = 1;
/// The command cannot work.
const EXIT_IMPOSSIBLE: u8 = 2;
/// The figures are not the target's.
const EXIT_INVALID: u8 = 3;
/// Somebody ended the run before its time: what a shell says of a program that Ctrl-C has ended.
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Load(job) => load(&job),
        Verb::Compare(files) => compare(&files),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {}", in_words(&error));
        EXIT_IMPOSSIBLE.into()
    })
}

/// An error and its causes, but for those whose words stand in it already.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.is_empty() {
            words = cause;
        } else if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

fn load(job: &Job) -> anyhow::Result<ExitCode> {
    let report = run(job)?;
    Ok(if !report.faults().is_empty() {
        EXIT_FAULTS.into()
    } else if report.interrupted {
        EXIT_INTERRUPTED.into()
    } else if !report.valid {
        EXIT_INVALID.into()
    } else {
        ExitCode::SUCCESS
    })
}

fn compare(files: &cli::Compare) -> anyhow::Result<ExitCode> {
    let comparison = compare::of(files)?;
    print(&if files.json {
        serde_json::to_string_pretty(&comparison)?
    } else {
        compare::table::format(&comparison)
    })?;
    Ok(if comparison.is_worse() {
        EXIT_FAULTS.into()
    } else {
        ExitCode::SUCCESS
    })
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write the result")
}

fn run(job: &Job) -> anyhow::Result<Report> {
    let settings = Settings::from_cli(job)?;
    let address = settings.target.resolve()?;
    let host = Host::look().context("cannot find out what this host allows")?;
    let plan = Plan::new(&settings, address, &host)?;
    let driver = Host::choose_driver(&settings)?;
    let files = Files::check(&settings)?;
    if !settings.quiet {
        eprintln!(
            "{} connections to {address}: {plan}, on {} ({})",
            plan.connections, driver.backend, driver.reason
        );
    }
    // The control thread keeps to the load's cores, so that the others are the server's alone.
    if let Some(cpu) = plan.cpu(0) {
        ringmain_rt::cpu::pin(cpu).context("cannot pin the control thread")?;
    }
    let seed = random::run_seed();
    let observer = observer(&settings, address)?;
    let interrupt = Interrupt::listen().context("cannot listen for signals")?;
    let started_at = SystemTime::now();
    let findings = control::run(
        settings.clone(),
        plan.clone(),
        driver.backend,
        seed,
        observer,
        interrupt,
    )?;
    let report = Report::new(&settings, &plan, host.cpus.len(), driver.backend, &findings)?;
    print(&if settings.json {
        serde_json::to_string_pretty(&report)?
    } else {
        report::table::format(&report)
    })?;
    files.write(&report, &findings.timeline, started_at)?;
    Ok(report)
}

/// What is watched of the target, as far as it is to be found.
fn observer(settings: &Settings, address: SocketAddr) -> anyhow::Result<Observer> {
    let process = match settings.server_pid {
        ServerPid::Auto => Process::listening_at(address),
        ServerPid::Of(id) => Some(Process::of(id).with_context(|| {
            format!("cannot watch process {id}: check --server-pid, or leave it out")
        })?),
        ServerPid::None => None,
    };
    if settings.growth_max.is_some() && process.is_none() {
        anyhow::bail!(
            "a soak follows the target's memory, and its process was not found on this host: give --server-pid, or --growth-max none"
        );
    }
    let metrics = settings.metrics_url.as_deref().map(MetricsSource::new);
    Ok(Observer::new(process, metrics)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_is_told_already_is_not_told_again() {
        let inner = || std::io::Error::other("disk full");
        let error = anyhow::Error::from(inner()).context("cannot write x: disk full. Free some");
        assert_eq!(in_words(&error), "cannot write x: disk full. Free some");
        let error = anyhow::Error::from(inner()).context("cannot write x");
        assert_eq!(in_words(&error), "cannot write x: disk full");
    }
}
