//! A load source for the floors, single-threaded on epoll, with the command line of `ringmain-load` as far as it goes.

mod client;
mod epoll;
mod measure;
mod scenario;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ringmain_benches::process;

/// A small closed-loop load source.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  floor-load echo --url ws://127.0.0.1:9001/echo --connections 200 --in-flight 16\n  \
    floor-load fanout --url ws://127.0.0.1:9001/raw/bench --connections 1001 --bytes 128 --server-pid 1234"
)]
struct Arguments {
    /// What to do.
    scenario: Scenario,
    /// Where to connect: ws://ADDRESS:PORT/PATH.
    #[arg(long)]
    url: String,
    /// Connections; in a fan-out one of them publishes.
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// Messages under way at once: for each connection of an echo, for the publisher of a fan-out.
    #[arg(long)]
    in_flight: Option<usize>,
    /// Bytes of each message.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// Seconds of measurement, after one of warming up.
    #[arg(long, default_value_t = 5.0)]
    duration: f64,
    /// The core to run on.
    #[arg(long, alias = "cpus")]
    cpu: Option<usize>,
    /// A process whose CPU time is to be divided by the messages.
    #[arg(long)]
    server_pid: Option<u32>,
    /// Accepted for likeness: there is always one publisher.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=1))]
    publishers: u8,
    /// Accepted for likeness: the output is always JSON.
    #[arg(long)]
    json: bool,
}

/// What the connections do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scenario {
    /// Each sends and waits for its own message.
    Echo,
    /// One more publishes, these receive.
    Fanout,
}

fn main() -> ExitCode {
    let outcome =
        run(&Arguments::parse()).and_then(|report| writeln!(std::io::stdout(), "{report}"));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> std::io::Result<String> {
    process::raise_descriptor_limit()?;
    if let Some(cpu) = arguments.cpu {
        process::pin(cpu)?;
    }
    let fanout = matches!(arguments.scenario, Scenario::Fanout);
    let plan = scenario::Plan {
        fanout,
        url: arguments.url.clone(),
        receivers: arguments
            .connections
            .saturating_sub(usize::from(fanout))
            .max(1),
        in_flight: arguments.in_flight.unwrap_or(match arguments.scenario {
            Scenario::Echo => 1,
            Scenario::Fanout => 4,
        }),
        bytes: arguments.bytes.max(8),
        duration: Duration::from_secs_f64(arguments.duration),
        server_pid: arguments.server_pid,
    };
    scenario::run(&plan)
}
