//! What the command line asks for, checked and in the units of the run.

mod scenario;

use std::path::PathBuf;

use ringmain_rt::IoChoice;

use crate::cli::{self, Common, Job, Mask, Messages};
use crate::clock::to_ns;
use crate::payload::HEADER_BYTES;
use crate::plan::cpus::parse_cpus;
use crate::policy::Policy;
use crate::sizes::Sizes;
use crate::target::{Target, TargetError};
use crate::tls::{Tls, TlsError};

/// The largest payload that may be asked for, in bytes.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Payload of the messages with which idle rooms are probed.
const PROBE_BYTES: usize = 64;
/// The longest time that may be asked for: thirty days.
const SECONDS_MAX: f64 = 30.0 * 86_400.0;
/// Seconds of measurement, unless told otherwise.
const DURATION_SECONDS: f64 = 10.0;
/// Handshakes under way at once at one thread, unless told otherwise.
const HANDSHAKES_MAX: u32 = 256;
/// Seconds to wait for the members of a probed room.
const PROBE_DRAIN_SECONDS: f64 = 10.0;

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A sender sends the next message when one of its `in_flight` has arrived everywhere.
    Closed {
        /// Messages of one sender under way at once.
        in_flight: u32,
    },
    /// Messages are sent by the clock, whatever has arrived.
    Open {
        /// Messages a second of all senders together.
        rate: f64,
    },
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Every connection gets its own messages back.
    Echo {
        /// When they are sent.
        pace: Pace,
    },
    /// Publishers, and rooms of receivers.
    Fanout {
        /// Rooms; connection `i` is in room `i` modulo this.
        rooms: u32,
        /// The first connections publish.
        publishers: u32,
        /// When they do.
        pace: Pace,
        /// Publishers receive their own.
        own: bool,
    },
    /// Connections that are held.
    Idle {
        /// Rooms; connection `i` is in room `i` modulo this.
        rooms: u32,
        /// One message to every room at the end.
        probe: bool,
    },
}

/// Connections that come and go beside those that stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visits {
    /// Connections that take turns in visiting.
    pub visitors: u32,
    /// Visits that begin each second.
    pub rate: f64,
    /// How long each lasts.
    pub stay_ns: u64,
}

/// Members that read slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowReaders {
    /// How many: the last ones of those that stay.
    pub count: u32,
    /// What each reads; 0: nothing.
    pub bytes_per_second: u32,
}

/// Where connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChoice {
    /// As many addresses as are needed.
    Auto,
    /// So many.
    Count(u32),
}

/// Which process is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPid {
    /// The one that listens at the target's address, if that is on this host; all that share its listener.
    Auto,
    /// This one.
    Of(u32),
    /// None.
    None,
}

/// What a run shall do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The server.
    pub target: Target,
    /// How TLS is spoken to it, if it is.
    pub tls: Option<Tls>,
    /// What is sent.
    pub work: Work,
    /// Connections that are opened at the beginning.
    pub connections: u32,
    /// Connections that come and go.
    pub visits: Option<Visits>,
    /// Connections that read slowly.
    pub slow: Option<SlowReaders>,
    /// All connections are dropped when the measurement begins, and come back by this policy.
    pub storm: Option<Policy>,
    /// The share by which the target's memory may grow.
    pub growth_max: Option<f64>,
    /// Sending before the measurement.
    pub warmup_ns: u64,
    /// The measurement.
    pub duration_ns: u64,
    /// Silence after which what is missing is lost.
    pub drain_ns: u64,
    /// Payload of each message.
    pub sizes: Sizes,
    /// Masking keys.
    pub mask: Mask,
    /// Handshakes begun a second; `None` is without limit.
    pub handshake_rate: Option<f64>,
    /// Handshakes under way at once, a thread.
    pub handshakes_max: u32,
    /// The same while everyone comes back from a storm.
    pub storm_handshakes_max: u32,
    /// The time that a handshake may take.
    pub handshake_timeout_ns: u64,
    /// Cores; `None` is all that are allowed.
    pub cpus: Option<Vec<usize>>,
    /// Threads; `None` is as many as are needed.
    pub threads: Option<usize>,
    /// The driver.
    pub io: IoChoice,
    /// Source addresses.
    pub sources: SourceChoice,
    /// The target's process.
    pub server_pid: ServerPid,
    /// Where the target's metrics are.
    pub metrics_url: Option<String>,
    /// The share of its time from which on a thread is the bottleneck.
    pub busy_max: f64,
    /// How late one message in a hundred of an open loop may be sent.
    pub lag_max_ns: u64,
    /// The result is wanted as JSON.
    pub json: bool,
    /// Where the result is wanted as a page.
    pub html: Option<PathBuf>,
    /// Where the latencies are wanted as an HDR interval log.
    pub hlog: Option<PathBuf>,
    /// Nothing but the result is wanted.
    pub quiet: bool,
}

/// Why a command cannot work, and what would.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The URL.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A number out of its bounds.
    #[error("{option} {value}: give {wanted}")]
    Bounds {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What would work.
        wanted: String,
    },
}

fn bounds(option: &'static str, value: impl ToString, wanted: impl ToString) -> SettingsError {
    SettingsError::Bounds {
        option,
        value: value.to_string(),
        wanted: wanted.to_string(),
    }
}

impl Settings {
    /// Checks a command line.
    ///
    /// # Errors
    /// Something in it cannot work; the error says what would.
    pub fn from_cli(job: &Job) -> Result<Settings, SettingsError> {
        scenario::settings(job)
    }

    fn with(
        scenario: &'static str,
        common: &Common,
        work: Work,
    ) -> Result<Settings, SettingsError> {
        let cpus = common.cpus.as_deref().map(|list| {
            parse_cpus(list).ok_or_else(|| bounds("--cpus", list, "core numbers, as in 0,2-3"))
        });
        let handshakes_max = common.handshakes_max.unwrap_or(HANDSHAKES_MAX);
        let target = Target::parse(&common.url)?;
        Ok(Settings {
            scenario,
            tls: tls(&target, common)?,
            target,
            work,
            connections: at_least("--connections", common.connections, 1)?,
            visits: None,
            slow: None,
            storm: None,
            growth_max: None,
            warmup_ns: 0,
            duration_ns: duration(common, DURATION_SECONDS)?,
            drain_ns: to_ns(PROBE_DRAIN_SECONDS),
            sizes: Sizes::one(PROBE_BYTES),
            mask: Mask::Random,
            handshake_rate: common
                .rate
                .map(|rate| positive("--rate", rate))
                .transpose()?,
            handshakes_max: at_least("--handshakes-max", handshakes_max, 1)?,
            storm_handshakes_max: handshakes_max,
            handshake_timeout_ns: seconds("--handshake-timeout", common.handshake_timeout, 0.001)?,
            cpus: cpus.transpose()?,
            threads: common
                .threads
                .map(|threads| at_least("--threads", threads, 1).map(|threads| threads as usize))
                .transpose()?,
            io: match common.io {
                cli::Io::Auto => IoChoice::Auto,
                cli::Io::Uring => IoChoice::Uring,
                cli::Io::Epoll => IoChoice::Epoll,
            },
            sources: source_choice(&common.source_addresses)?,
            server_pid: server_pid(&common.server_pid)?,
            metrics_url: common.metrics.clone(),
            busy_max: positive("--busy-max", common.busy_max)?,
            lag_max_ns: to_ns(positive("--lag-max", common.lag_max)? / 1e3),
            json: common.json,
            html: common.html.clone(),
            hlog: common.hlog.clone(),
            quiet: common.quiet,
        })
    }

    fn with_messages(mut self, messages: &Messages) -> Result<Settings, SettingsError> {
        let sizes = Sizes::parse(&messages.bytes).filter(|sizes| {
            let (shortest, longest) = sizes.bounds();
            shortest >= HEADER_BYTES && longest <= BYTES_MAX
        });
        let Some(sizes) = sizes else {
            let wanted = format!(
                "{HEADER_BYTES} to {BYTES_MAX} bytes, or several sizes with their weights as in 64:9,4096:1; the \
                 first {HEADER_BYTES} carry publisher, number and times"
            );
            return Err(bounds("--bytes", &messages.bytes, wanted));
        };
        self.sizes = sizes;
        self.mask = messages.mask;
        self.warmup_ns = seconds("--warmup", messages.warmup, 0.0)?;
        self.drain_ns = seconds("--drain", messages.drain, 0.0)?;
        Ok(self)
    }

    /// All connections of the run, visitors among them.
    pub fn connections_and_visitors(&self) -> u32 {
        self.connections + self.visits.map_or(0, |visits| visits.visitors)
    }

    /// Connections that stay and read as fast as they can: the ones that must get every message.
    pub fn steady(&self) -> u32 {
        self.connections - self.slow.map_or(0, |slow| slow.count)
    }

    /// When messages are sent, if any are.
    pub fn pace(&self) -> Option<Pace> {
        match self.work {
            Work::Echo { pace } | Work::Fanout { pace, .. } => Some(pace),
            Work::Idle { .. } => None,
        }
    }

    /// Whether the handshakes are what is measured: in `connect` all, in a storm those of whoever comes back.
    pub fn measures_handshakes(&self) -> bool {
        self.scenario == "connect" || self.storm.is_some()
    }

    /// The path of one connection, with its query.
    pub fn path(&self, room: u32) -> String {
        if self.target.has_room() {
            return self.target.path_in_room(room);
        }
        match self.work {
            Work::Fanout { rooms: 2.., .. } => self.target.path_with(&format!("-{room}")),
            Work::Idle { .. } if self.target.has_no_path() => {
                self.target.path_below(&format!("raw/idle-{room}"))
            }
            Work::Echo { .. } | Work::Fanout { .. } | Work::Idle { .. } => {
                self.target.path_with("")
            }
        }
    }
}

fn tls(target: &Target, common: &Common) -> Result<Option<Tls>, SettingsError> {
    let is_asked = common.ca.is_some() || common.insecure || common.resume;
    match (target.is_tls, &common.ca) {
        (false, _) if is_asked => Err(TlsError::NotTls.into()),
        (false, _) => Ok(None),
        (true, None) if !common.insecure => Err(TlsError::NoTrust.into()),
        (true, ca) => Ok(Some(Tls::new(target.host(), ca.as_deref(), common.resume)?)),
    }
}

fn source_choice(given: &str) -> Result<SourceChoice, SettingsError> {
    if given == "auto" {
        return Ok(SourceChoice::Auto);
    }
    match given.parse() {
        Ok(count @ 1..=65_000) => Ok(SourceChoice::Count(count)),
        _ => Err(bounds(
            "--source-addresses",
            given,
            "a number from 1 to 65000, or auto",
        )),
    }
}

fn server_pid(given: &str) -> Result<ServerPid, SettingsError> {
    match (given, given.parse()) {
        ("auto", _) => Ok(ServerPid::Auto),
        ("none", _) => Ok(ServerPid::None),
        (_, Ok(id @ 1..)) => Ok(ServerPid::Of(id)),
        _ => Err(bounds(
            "--server-pid",
            given,
            "a process id of this host, auto or none",
        )),
    }
}

fn at_least(option: &'static str, value: u32, min: u32) -> Result<u32, SettingsError> {
    if value < min {
        return Err(bounds(option, value, format!("{min} or more")));
    }
    Ok(value)
}

fn positive(option: &'static str, value: f64) -> Result<f64, SettingsError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(bounds(option, value, "a number above 0"))
}

fn seconds(option: &'static str, value: f64, min: f64) -> Result<u64, SettingsError> {
    if (min..=SECONDS_MAX).contains(&value) {
        return Ok(to_ns(value));
    }
    let wanted = format!("seconds from {min} to {SECONDS_MAX}");
    Err(bounds(option, value, wanted))
}

/// A share such as `0.01` or `1%`.
fn share(option: &'static str, given: &str) -> Result<f64, SettingsError> {
    let value = match given.strip_suffix('%') {
        Some(percent) => percent.parse().map(|percent: f64| percent / 100.0),
        None => given.parse(),
    };
    value
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| bounds(option, given, "a share from 0 to 1, or from 0% to 100%"))
}

fn duration(common: &Common, default: f64) -> Result<u64, SettingsError> {
    seconds("--duration", common.duration.unwrap_or(default), 0.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use crate::cli::{Cli, job};
    use clap::{CommandFactory, Parser};

    fn settings(words: &str) -> Result<Settings, SettingsError> {
        Settings::from_cli(&job(words))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn rooms_are_named_behind_the_path() {
        let one = settings("fanout --url ws://h/raw/x --connections 9").unwrap();
        assert_eq!(one.path(0), "/raw/x");
        let many = settings("fanout --url ws://h/raw/x?self=1 --connections 9 --rooms 2").unwrap();
        assert_eq!(many.path(1), "/raw/x-1?self=1");
        let idle = settings("idle --url ws://h/ --connections 201").unwrap();
        assert_eq!(idle.path(2), "/raw/idle-2");
        let rooms = Work::Idle {
            rooms: 3,
            probe: false,
        };
        assert_eq!(idle.work, rooms);
    }

    #[test]
    fn what_cannot_work_is_refused_and_the_error_says_what_would() {
        for (words, wanted) in [
            ("echo --url ws://h/ --bytes 39", "40 to"),
            ("echo --url ws://h/ --in-flight 0", "1 to"),
            ("echo --url ws://h/ --connections 0", "1 or more"),
            ("echo --url ws://h/ --rate-messages 0", "above 0"),
            ("echo --url ws://h/ --rate-messages NaN", "above 0"),
            ("echo --url ws://h/ --duration -1", "seconds from"),
            ("echo --url ws://h/ --duration inf", "seconds from"),
            ("echo --url ws://h/ --cpus 0-x", "core numbers"),
            ("echo --url ws://h/ --source-addresses 0", "or auto"),
            ("echo --url wss://h/", "--insecure"),
            ("echo --url ws://h/ --resume", "wss://"),
            (
                "echo --url wss://h/ --ca /nowhere/ca.pem",
                "/nowhere/ca.pem",
            ),
            (
                "fanout --url ws://h/ --connections 3 --rooms 2",
                "at least 4",
            ),
            (
                "fanout --url ws://h/ --connections 3 --publishers 4",
                "1 to 3",
            ),
            ("idle --url ws://h/ --members-per-room 0", "1 or more"),
            ("echo --url ws://h/ --bytes 64:0", "weights"),
            ("echo --url ws://h/ --duration 0", "more than 0"),
            ("storm --url ws://h/ --policy soon", "at-once"),
            ("storm --url ws://h/ --policy backoff:2:1", "no more than"),
            ("storm --url ws://h/ --policy fixed:60", "below --duration"),
            ("slow --url ws://h/ --slow-share 101%", "from 0"),
            ("slow --url ws://h/ --connections 2", "--slow-share"),
            (
                "slow --url ws://h/ --slow-bytes-per-second 1000001",
                "or less",
            ),
            ("churn --url ws://h/ --visits 1e-60", "a second or more"),
            ("churn --url ws://h/ --visits 1e9", "less"),
            ("churn --url ws://h/ --connections 4294967295", "less"),
            ("soak --url ws://h/ --growth-max 2", "from 0"),
        ] {
            // A value that begins with a minus must be joined to its option.
            let words = words.replace("--duration -", "--duration=-");
            let error = settings(&words).unwrap_err().to_string();
            assert!(error.contains(wanted), "{words}: {error}");
        }
    }

    #[test]
    fn the_loops_exclude_each_other() {
        let words = "ringmain-load echo --url ws://h/ --in-flight 2 --rate-messages 5";
        assert!(Cli::try_parse_from(words.split_whitespace()).is_err());
    }
}
