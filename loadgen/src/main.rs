//! `ringmain-load`: loads a WebSocket server and proves what it delivers.
//!
//! The control thread ([`control`]) starts one worker a core ([`worker`]), each pinned, with its own
//! ring and its own descriptor table, and leads them through the stages ([`stage`]): connect, run,
//! close. A worker knows nothing of what it sends: that is a [`load::Load`]. Threads share atomics only.

mod bells;
mod cli;
mod clock;
mod control;
mod delivery;
mod failure;
mod flights;
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
mod worker;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::cli::Cli;
use crate::observe::Observer;
use crate::observe::metrics::MetricsSource;
use crate::observe::process::Process;
use crate::plan::Plan;
use crate::plan::host::Host;
use crate::report::Report;
use crate::settings::{ServerPid, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A message or a connection was lost.
const EXIT_FAULTS: u8 = 1;
/// The command cannot work.
const EXIT_IMPOSSIBLE: u8 = 2;
/// The figures are not the target's.
const EXIT_INVALID: u8 = 3;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(report) if !report.faults().is_empty() => EXIT_FAULTS.into(),
        Ok(report) if !report.valid => EXIT_INVALID.into(),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            EXIT_IMPOSSIBLE.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Report> {
    let settings = Settings::from_cli(cli)?;
    let address = settings.target.resolve()?;
    let host = Host::look().context("cannot find out what this host allows")?;
    let plan = Plan::new(&settings, address, &host)?;
    let driver = Host::choose_driver(&settings)?;
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
    let findings = control::run(
        settings.clone(),
        plan.clone(),
        driver.backend,
        seed,
        observer,
    )?;
    let report = Report::new(&settings, &plan, driver.backend, &findings)?;
    let text = if settings.json {
        serde_json::to_string_pretty(&report)?
    } else {
        report::table::format(&report)
    };
    writeln!(std::io::stdout(), "{text}").context("cannot write the result")?;
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
    let metrics = settings.metrics_url.as_deref().map(MetricsSource::new);
    Ok(Observer::new(process, metrics)?)
}
