//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::compare::Percent;

/// Loads a WebSocket server and proves what it delivers.
///
/// Every message carries its publisher, its number, the time and a filling that is checked: what is
/// lost, doubled, out of order or changed is counted. Exit code: 0 if nothing is amiss, 1 if a message
/// or a connection was lost, 2 if the command cannot work, 3 if the figures are not the target's, since
/// the load generator was what held them down, 130 if Ctrl-C ended the run early: what it had found by then is the
/// result.
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
  ringmain-load chat --url ws://127.0.0.1:8000/raw/chat --connections 10000 --members 10
  ringmain-load idle --url ws://127.0.0.1:8000 --connections 100000 --duration 60 --probe
  ringmain-load storm --url ws://127.0.0.1:8000 --connections 20000 --policy backoff:0.5:30
  ringmain-load slow --url ws://127.0.0.1:8000/raw/load --connections 1000 --slow-share 1%
  ringmain-load echo --url ws://127.0.0.1:8000/echo --json --html run.html --hlog run.hlog > b.json
  ringmain-load compare a.json b.json --max-regress 5%
  ringmain-load connect --url wss://127.0.0.1:8443/echo --insecure --resume --connections 10000

{room} in the URL's path stands for the number of the connection's room.";

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Loads a target.
    #[command(flatten)]
    Load(Box<Job>),
    /// Compares two results that --json wrote of the same scenario.
    Compare(Compare),
}

/// The scenarios.
#[derive(Debug, Subcommand)]
pub enum Job {
    /// Opens connections, at a rate or as fast as it goes, and closes them.
    Connect(Connect),
    /// Opens connections to many rooms and holds them, answering pings.
    Idle(Idle),
    /// Every connection sends messages and expects each of them back.
    Echo(Echo),
    /// Some connections of a room publish, and every other one in it must receive each message.
    Fanout(Fanout),
    /// Many small rooms in which everyone talks.
    Chat(Chat),
    /// Visitors come and go while the members of their rooms talk.
    Churn(Churn),
    /// Everyone drops at once, and comes back by a policy.
    Storm(Storm),
    /// Some members read slowly or not at all; what the others notice is measured.
    Slow(Slow),
    /// Small rooms, talk and visitors for a long time; the target's memory must not grow.
    Soak(Soak),
}

/// `connect`.
#[derive(Debug, Args)]
pub struct Connect {
    #[command(flatten)]
    pub common: Common,
    /// Begins all handshakes at once, whatever the server has answered.
    #[arg(long, conflicts_with_all = ["rate", "handshakes_max"])]
    pub storm: bool,
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
    #[command(flatten)]
    pub rooms: Rooms,
    /// Publishers receive their own messages too, as in raw rooms with ?self=1.
    #[arg(long)]
    pub own: bool,
}

/// Rooms, and who publishes there.
#[derive(Debug, Args)]
pub struct Rooms {
    /// Rooms over which the connections are spread; with more than one, -0, -1 ... is appended to the
    /// URL's path unless it has {room} in it.
    #[arg(long, value_name = "R", default_value_t = 1)]
    pub rooms: u32,
    /// Connections that publish; the others only receive. One a room if it is not given.
    #[arg(long, value_name = "P")]
    pub publishers: Option<u32>,
}

/// `chat`.
#[derive(Debug, Args)]
pub struct Chat {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub messages: Messages,
    /// Members of each room.
    #[arg(long, value_name = "M", default_value_t = 10)]
    pub members: u32,
}

/// `idle`.
#[derive(Debug, Args)]
pub struct Idle {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub members: Members,
    /// At the end, sends one message to every room; all the others in it must get it once.
    #[arg(long)]
    pub probe: bool,
}

/// How idle connections are spread over rooms.
#[derive(Debug, Args)]
pub struct Members {
    /// Members of each room. A URL without a path stands for /raw/idle-0, /raw/idle-1 ...; one with a path
    /// but no {room} in it is opened as it is.
    #[arg(long, value_name = "M", default_value_t = 100)]
    pub members_per_room: u32,
}

/// `churn`.
#[derive(Debug, Args)]
pub struct Churn {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub messages: Messages,
    #[command(flatten)]
    pub rooms: Rooms,
    #[command(flatten)]
    pub visits: Visits,
}

/// Visitors: connections beside those of --connections.
#[derive(Debug, Args)]
pub struct Visits {
    /// Visitors that come each second.
    #[arg(long, value_name = "V", default_value_t = 50.0)]
    pub visits: f64,
    /// Seconds that a visitor stays.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub stay: f64,
}

/// `storm`.
#[derive(Debug, Args)]
pub struct Storm {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub members: Members,
    /// When a dropped connection comes back: at-once; fixed:SECONDS; or backoff:FIRST:MOST, a random time
    /// of up to FIRST seconds that doubles with each failure, up to MOST (full jitter).
    #[arg(long, value_name = "POLICY", default_value = "backoff:1:30")]
    pub policy: String,
}

/// `slow`.
#[derive(Debug, Args)]
pub struct Slow {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub messages: Messages,
    #[command(flatten)]
    pub rooms: Rooms,
    /// The share of the members that are slow, as in 0.01 or 1%; 0 for comparison.
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    pub slow_share: String,
    /// Bytes a second that each of them reads; 0: none at all.
    #[arg(long, value_name = "B", default_value_t = 0)]
    pub slow_bytes_per_second: u32,
}

/// `soak`.
#[derive(Debug, Args)]
pub struct Soak {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub messages: Messages,
    /// Members of each room.
    #[arg(long, value_name = "M", default_value_t = 10)]
    pub members: u32,
    #[command(flatten)]
    pub visits: Visits,
    /// The most by which the target's memory may be larger in the last quarter than in the second; none where
    /// its process is not on this host.
    #[arg(long, value_name = "SHARE", default_value = "10%")]
    pub growth_max: String,
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
    /// Payload of each message in bytes, 40 or more; or several sizes with their weights, as in
    /// 64:9,4096:1.
    #[arg(long, value_name = "B", default_value = "64")]
    pub bytes: String,
    /// Closed loop: messages of each sender that are under way at once. Echo and fanout run like that, with
    /// one, unless told otherwise.
    #[arg(long, value_name = "K", conflicts_with = "rate_messages")]
    pub in_flight: Option<u32>,
    /// Open loop: messages a second of all senders together. Latency counts from the time at which a
    /// message was due. Chat, churn, slow and soak run like that, by default with one message a second for
    /// every ten senders, but at least 10.
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
    /// The server: ws://HOST:PORT/PATH, or wss://HOST:PORT/PATH for TLS.
    #[arg(long)]
    pub url: String,
    /// With wss://: the certificate, in PEM, of the authority that vouches for the server.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// With wss://: trusts any server.
    #[arg(long)]
    pub insecure: bool,
    /// With wss://: resumes the sessions of earlier connections; the first ones make full handshakes, as all do
    /// otherwise.
    #[arg(long)]
    pub resume: bool,
    /// Connections to open.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub connections: u32,
    /// Seconds of measurement; of holding the connections in connect (0) and idle; in which everyone may come
    /// back in storm (60). Soak takes 3600, all others 10 unless told otherwise.
    #[arg(long, value_name = "S")]
    pub duration: Option<f64>,
    /// Handshakes begun a second; as many as possible if it is not given.
    #[arg(long, value_name = "R")]
    pub rate: Option<f64>,
    /// Handshakes under way at once, a thread. 256 unless told otherwise, and as many as there are in storms.
    #[arg(long, value_name = "H")]
    pub handshakes_max: Option<u32>,
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
    /// at the URL's address, if that is on this host; if several share its listener, all together) or none.
    #[arg(long, value_name = "PID", default_value = "auto")]
    pub server_pid: String,
    /// The target's metrics in Prometheus' text format, such as http://127.0.0.1:8001/metrics: what grew
    /// while measuring is reported.
    #[arg(long, value_name = "URL")]
    pub metrics: Option<String>,
    /// From this share of its time on, a core that the load generator keeps busy makes the run invalid; above 1:
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
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
pub fn job(words: &str) -> Job {
    let words = std::iter::once("ringmain-load").chain(words.split_whitespace());
    match Cli::try_parse_from(words).unwrap().verb {
        Verb::Load(job) => *job,
        Verb::Compare(compare) => panic!("{compare:?} is no load"),
    }
}
