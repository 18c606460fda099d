//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::compare::Percent;

/// Loads a WebSocket server and proves what it delivers.
///
/// Every message carries its publisher, its number, the time and a filling that is checked: what is
/// lost, doubled, out of order or changed is counted. Exit code: 0 if nothing is amiss, 1 if a message
/// or a connection was lost, 2 if the command cannot work, 3 if the figures are not the target's, since
/// the load generator was what held them down.
#[derive(Debug, Parser)]
#[command(name = "ringmain-load", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  ringmain-load echo --url ws://127.0.0.1:8000/echo --connections 200 --duration 10
  ringmain-load echo --url ws://127.0.0.1:8000/echo --connections 200 --rate-messages 5000
  ringmain-load fanout --url ws://127.0.0.1:8000/raw/load --connections 1000 --bytes 128
  ringmain-load idle --url ws://127.0.0.1:8000 --connections 100000 --duration 60 --probe
  ringmain-load echo --url ws://127.0.0.1:8000/echo --json --html run.html --hlog run.hlog > b.json
  ringmain-load compare a.json b.json --max-regress 5%";

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Loads a target.
    #[command(flatten)]
    Load(Box<Job>),
    /// Compares two results that --json wrote of the same scenario.
    Compare(Compare),
}

/// The kinds of load.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Every connection sends messages and expects each of them back.
    Echo(Echo),
    /// Some connections of a room publish, and every other one in it must receive each message.
    Fanout(Fanout),
    /// Opens connections to many rooms and holds them, answering pings.
    Idle(Idle),
}

/// `echo`.
#[derive(Debug, Args)]
pub struct Echo {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub messages: Messages,
}

/// `fanout`.
#[derive(Debug, Args)]
pub struct Fanout {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub messages: Messages,
    /// Rooms over which the connections are spread; with more than one, -0, -1 ... is appended to the
    /// URL's path.
    #[arg(long, value_name = "R", default_value_t = 1)]
    pub rooms: u32,
    /// Connections that publish; the others only receive.
    #[arg(long, value_name = "P", default_value_t = 1)]
    pub publishers: u32,
    /// Publishers receive their own messages too, as in raw rooms with ?self=1.
    #[arg(long)]
    pub own: bool,
}

/// `idle`.
#[derive(Debug, Args)]
pub struct Idle {
    #[command(flatten)]
    pub common: Common,
    /// Members of each room; /raw/idle-0, /raw/idle-1 ... is appended to the URL's path.
    #[arg(long, value_name = "M", default_value_t = 100)]
    pub members_per_room: u32,
    /// At the end, sends one message to every room; all the others in it must get it once.
    #[arg(long)]
    pub probe: bool,
}

/// `compare`.
///
/// Exit code: 0 if B is not worse, 1 if it is: a figure that counts by more than --max-regress, or it has
/// faults or is invalid where A is not. 2 if the two cannot be compared.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXAMPLES)]
pub struct Compare {
    /// The result to compare with.
    #[arg(value_name = "A.json")]
    pub before: PathBuf,
    /// The result that must not be worse.
    #[arg(value_name = "B.json")]
    pub after: PathBuf,
    /// By how much of A's value a figure may be worse.
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub max_regress: Percent,
    /// Writes the comparison to standard output as JSON.
    #[arg(long)]
    pub json: bool,
}

const COMPARE_EXAMPLES: &str = "\
What counts: in a closed loop the rate, in an open loop the latency; the target's CPU time a message; its bytes
a connection from 1,000 connections on; handshakes as docs/benchmarking.md says. The rest is shown beside it.

Examples:
  ringmain-load compare before.json after.json
  ringmain-load compare before.json after.json --max-regress 2.5%
  ringmain-load compare before.json after.json --json";

/// How messages are sent.
#[derive(Debug, Args)]
pub struct Messages {
    /// Payload of each message in bytes, 40 or more.
    #[arg(long, value_name = "B", default_value_t = 64)]
    pub bytes: usize,
    /// Closed loop: messages of each sender that are under way at once.
    #[arg(
        long,
        value_name = "K",
        default_value_t = 1,
        conflicts_with = "rate_messages"
    )]
    pub in_flight: u32,
    /// Open loop: messages a second of all senders together. Latency counts from the time at which a
    /// message was due.
    #[arg(long, value_name = "R")]
    pub rate_messages: Option<f64>,
    /// Seconds of sending before the measurement begins.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub warmup: f64,
    /// Seconds without an arrival after which what is still missing counts as lost.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub drain: f64,
    /// Masking keys of the frames sent.
    #[arg(long, value_name = "KEY", value_enum, default_value_t = Mask::Random)]
    pub mask: Mask,
}

/// Masking keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mask {
    /// Another key for each frame.
    Random,
    /// Zero: the payload goes out as it is.
    Zero,
}

/// Drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Io {
    /// io_uring where it is to be had, else epoll.
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

/// What all kinds of load have.
#[derive(Debug, Args)]
pub struct Common {
    /// The server: ws://HOST:PORT/PATH.
    #[arg(long)]
    pub url: String,
    /// Connections to open.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub connections: u32,
    /// Seconds of measurement; of holding the connections in `idle`.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub duration: f64,
    /// Handshakes begun a second; as many as possible if it is not given.
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,
    /// Handshakes under way at once, a thread.
    #[arg(long, value_name = "H", default_value_t = 256)]
    pub handshakes_max: u32,
    /// Seconds that a handshake may take.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub handshake_timeout: f64,
    /// Loopback targets only: addresses 127.0.0.2, 127.0.0.3 ... to connect from, since each has no more
    /// than some 28,000 ports. A number, or auto: as many as are needed.
    #[arg(long, value_name = "A", default_value = "auto")]
    pub source_addresses: String,
    /// Cores to run on, as in 0,2-3; all that the process may use if it is not given.
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// Threads; one a core, or as many as the descriptor limit demands, if it is not given.
    #[arg(long, value_name = "T")]
    pub threads: Option<u32>,
    /// What a thread sleeps in until a socket, the clock or another thread wakes it.
    #[arg(long, value_enum, default_value_t = Io::Auto)]
    pub io: Io,
    /// The target's process, whose CPU time and memory are read: a process id, auto (the one that listens
    /// at the URL's address, if that is on this host) or none.
    #[arg(long, value_name = "PID", default_value = "auto")]
    pub server_pid: String,
    /// The target's metrics in Prometheus' text format, such as http://127.0.0.1:8001/metrics: what grew
    /// while measuring is reported.
    #[arg(long, value_name = "URL")]
    pub metrics: Option<String>,
    /// From this share of its time on, a busy thread of the load generator makes the run invalid; above 1:
    /// never.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    pub busy_max: f64,
    /// Open loop: if one message in a hundred is sent so many milliseconds late, the run is invalid.
    #[arg(long, value_name = "MS", default_value_t = 10.0)]
    pub lag_max: f64,
    /// Writes the result to standard output as JSON.
    #[arg(long)]
    pub json: bool,
    /// Writes the result as one page with plots, which needs nothing else, to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Writes the latencies of each stretch of the run as an HDR interval log to this file.
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
    /// Says nothing but the result.
    #[arg(long)]
    pub quiet: bool,
}

/// The load that a command line asks for, without the program's name.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub fn job(words: &str) -> Job {
    let words = std::iter::once("ringmain-load").chain(words.split_whitespace());
    match Cli::try_parse_from(words).unwrap().verb {
        Verb::Load(job) => *job,
        Verb::Compare(compare) => panic!("{compare:?} is no load"),
    }
}
