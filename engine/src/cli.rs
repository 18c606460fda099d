//! The command line.

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand};
use ringmain_router::SHARDS_MAX;
use ringmain_tuning::Root;
use ringmain_tuning::settings::{CONNECTIONS_DEFAULT, CONNECTIONS_MAX};

use crate::config::Layer;
use crate::config::cluster::{Cluster, Node, ServerList};
use crate::config::cpus::CpuSelection;
use crate::config::origins::OriginList;
use crate::config::tls::FilePath;
use crate::config::value::{
    Address, AdminAddress, ByteSize, Count, Io, LogFilter, LogFormat, Seconds, SlowConsumer, Switch,
};
use crate::token::flags::TokenCommand;

const EXAMPLES: &str = "\
Examples:
  ringmain                                      serve on 127.0.0.1:8000, one shard a core
  ringmain --listen 0.0.0.0:8000 --admin off    serve everyone, without metrics
  ringmain --config ringmain.toml --shards 4    file < environment < flags
  RINGMAIN_HEARTBEAT_SECONDS=60 ringmain        every key can be set in the environment
  ringmain --tls-listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem    wss:// and https:// too
  ringmain --compression                        compress messages for clients that offer it
  ringmain --nats nats://10.0.0.9:4222 --node a share rooms with the other nodes there
  ringmain config default > ringmain.toml       a file with all keys, explained
  ringmain config check --config ringmain.toml  what is wrong with it, or what it comes to
  ringmain doctor --connections 100000          whether this host can hold them, and what to change
  ringmain tune plan --connections 100000       the settings that would change, and why
  ringmain token make --config ringmain.toml    a token for development; token explain: why one is refused

Signals: SIGTERM and SIGINT (Ctrl-C) drain: /health/ready turns 503, new connections end, and
         all are closed with 1012 over --drain-seconds; then the process ends. A second one,
         after half a second or more, ends it at once.
         SIGHUP reads the configuration again; the log tells what changed, and what needs a restart.

Exit codes:
  0   stopped by a signal, in order
  1   could not start, failed, or was ended by a second signal or in the middle of a drain
  2   wrong command line or configuration
  70  internal error";

/// A thread-per-core real-time connection engine.
#[derive(Debug, Parser)]
#[command(name = "ringmain", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without a command, serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeFlags,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Accept connections until a signal ends it; the same as no command
    Serve(Box<ServeFlags>),
    /// Print or check a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say how many connections this host can hold, what limits it and what to change
    Doctor(DoctorFlags),
    /// Show, apply or take back the host's settings for many connections
    #[command(subcommand)]
    Tune(TuneCommand),
    /// Make a token for development, or say why one is taken or not
    #[command(subcommand)]
    Token(TokenCommand),
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  ringmain doctor                                    for 100,000 connections
  ringmain doctor --connections 1000000 --shards 8   for a million on eight shards
  ringmain doctor --json | jq '.holds, .limited_by'  for machines

Exit codes:
  0   the connections fit
  1   they do not
  2   wrong command line";

/// What to examine the host for.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct DoctorFlags {
    /// Connections that the host is to hold
    #[arg(long, value_name = "NUMBER", default_value_t = CONNECTIONS_DEFAULT, value_parser = connections())]
    pub connections: u64,
    /// Shards that Ringmain would have, at most 62 [default: one a core]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=SHARDS_MAX as u64))]
    pub shards: Option<u64>,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
    /// The tree to look at.
    #[command(flatten)]
    pub root: RootFlag,
}

const TUNE_EXAMPLES: &str = "\
Examples:
  ringmain tune plan --connections 1000000           what would change, why, and what it may harm
  sudo ringmain tune apply --connections 1000000     now and at each boot
  sudo ringmain tune apply --connections 100000 --skip net.ipv4.ip_local_port_range
  sudo ringmain tune revert                          everything as it was before the first apply

What was there is kept in /var/lib/ringmain/tune. Applying again keeps that record. Values
that are better already are left alone: to go down to fewer connections, revert first.
Connection tracking and huge pages are only changed with --conntrack and --huge-pages.

Exit codes:
  0   done
  1   the system refused something, named in the output, or this is not root
  2   wrong command line";

/// What to do with the host's settings.
#[derive(Debug, Subcommand)]
#[command(after_help = TUNE_EXAMPLES)]
pub enum TuneCommand {
    /// Show what would change, why, and what it may harm
    #[command(after_help = TUNE_EXAMPLES)]
    Plan {
        /// What to tune for.
        #[command(flatten)]
        target: TargetFlags,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// Set the values, now and for each boot, and keep what was there; needs root
    #[command(after_help = TUNE_EXAMPLES)]
    Apply {
        /// What to tune for.
        #[command(flatten)]
        target: TargetFlags,
    },
    /// Restore values and files as they were before the first apply; needs root
    #[command(after_help = TUNE_EXAMPLES)]
    Revert {
        /// The tree to change.
        #[command(flatten)]
        root: RootFlag,
    },
}

/// What to tune for, and what to leave alone.
#[derive(Debug, Args)]
pub struct TargetFlags {
    /// Connections that the host is to hold
    #[arg(long, value_name = "NUMBER", value_parser = connections())]
    pub connections: u64,
    /// Raise the table of connection tracking too
    #[arg(long)]
    pub conntrack: bool,
    /// Give huge pages only to programs that ask for them
    #[arg(long)]
    pub huge_pages: bool,
    /// Leave this setting alone; may be given several times
    #[arg(long, value_name = "SETTING")]
    pub skip: Vec<String>,
    /// The tree to change.
    #[command(flatten)]
    pub root: RootFlag,
}

/// Another tree than the host's: an image, or a test's.
#[derive(Debug, Args)]
pub struct RootFlag {
    /// The directory that takes the place of /
    #[arg(long = "root", value_name = "DIRECTORY", hide = true)]
    directory: Option<PathBuf>,
}

impl RootFlag {
    /// The tree.
    pub fn root(&self) -> Root {
        self.directory.clone().map_or_else(Root::default, Root::new)
    }
}

fn connections() -> impl TypedValueParser<Value = u64> {
    clap::value_parser!(u64).range(1..=CONNECTIONS_MAX)
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a configuration file with all keys, their meaning and their defaults
    Default,
    /// Say what is wrong with file and environment, or print what they come to
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// How to serve. The help of each flag is short; `config default` explains.
#[derive(Debug, Default, Args)]
pub struct ServeFlags {
    /// Where clients connect; port 0 for any that is free [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<Address>,
    /// Where clients connect by TLS, or `off` [default: off]
    #[arg(long, value_name = "ADDRESS")]
    pub tls_listen: Option<AdminAddress>,
    /// The certificate in PEM, with its chain
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<FilePath>,
    /// Its private key in PEM, unless that is in the same file
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<FilePath>,
    /// Where health and metrics are, or `off` [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<AdminAddress>,
    /// Shards, at most 62 [default: one a core]
    #[arg(long, value_name = "NUMBER")]
    pub shards: Option<Count>,
    /// CPUs that the shards are pinned to, in turn, such as 0,2-3 [default: all allowed]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<CpuSelection>,
    /// How the shards do input and output: auto, uring or epoll [default: auto]
    #[arg(long, value_name = "BACK END")]
    pub io: Option<Io>,
    /// The largest message, such as 65536 or 64KiB [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    pub message_bytes_max: Option<ByteSize>,
    /// Connections that the node accepts [default: 1000000]
    #[arg(long, value_name = "NUMBER")]
    pub connections_max: Option<Count>,
    /// Memory for messages, such as 8GiB [default: 3/4 of the control group's or the host's]
    #[arg(long, value_name = "SIZE", visible_alias = "memory-max")]
    pub memory_bytes_max: Option<ByteSize>,
    /// Connections of a shard that may wait to be accepted [default: 4096]
    #[arg(long, value_name = "NUMBER")]
    pub backlog: Option<Count>,
    /// Whose pages may connect, such as https://*.example.com,same-host [default: same-host]
    #[arg(long, value_name = "LIST")]
    pub origins: Option<OriginList>,
    /// Silence after which a client is pinged [default: 25]
    #[arg(long, value_name = "SECONDS")]
    pub heartbeat_seconds: Option<Seconds>,
    /// Time between readiness turning 503 and the drain [default: 0]
    #[arg(long, value_name = "SECONDS", visible_alias = "ready-delay")]
    pub ready_delay_seconds: Option<Seconds>,
    /// Time over which a drain closes the connections; 0 for at once [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub drain_seconds: Option<Seconds>,
    /// What becomes of a member that reads too slowly: disconnect, drop_oldest or keep_latest [default: disconnect]
    #[arg(long, value_name = "POLICY")]
    pub slow_consumer: Option<SlowConsumer>,
    /// Time after which a client is told to connect again, less up to a tenth; 0 for never [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub lifetime_seconds: Option<Seconds>,
    /// Compress messages for clients that offer it [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    pub compression: Option<Switch>,
    /// Shorter messages are sent as they are, such as 1KiB [default: 256]
    #[arg(long, value_name = "SIZE")]
    pub compression_bytes_min: Option<ByteSize>,
    /// From 1, fast, to 9, small [default: 4]
    #[arg(long, value_name = "NUMBER")]
    pub compression_level: Option<Count>,
    /// Messages refer to those before them; up to 64KiB a connection, compressed for each by itself [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on")]
    pub compression_takeover: Option<Switch>,
    /// NATS servers over which rooms are shared with other nodes, such as nats://127.0.0.1:4222 [default: none]
    #[arg(long, value_name = "LIST")]
    pub nats: Option<ServerList>,
    /// The cluster's name [default: main]
    #[arg(long, value_name = "NAME", visible_alias = "cluster")]
    pub cluster_name: Option<Cluster>,
    /// This node's name in it [default: made up at each start]
    #[arg(long, value_name = "NAME", visible_alias = "node")]
    pub node_name: Option<Node>,
    /// What is logged: a level, or levels by target [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<LogFilter>,
    /// How a line of the log looks: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// The configuration file, in TOML; also RINGMAIN_CONFIG
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ServeFlags {
    /// What the flags set, as a layer of the configuration.
    pub fn layer(&self) -> Layer {
        macro_rules! values {
            ($($key:ident),*) => {
                [$((stringify!($key), self.$key.as_ref().map(ToString::to_string))),*]
            };
        }
        let values = values!(
            listen,
            tls_listen,
            tls_cert,
            tls_key,
            admin,
            shards,
            cpus,
            io,
            message_bytes_max,
            connections_max,
            memory_bytes_max,
            backlog,
            origins,
            heartbeat_seconds,
            ready_delay_seconds,
            drain_seconds,
            slow_consumer,
            lifetime_seconds,
            compression,
            compression_bytes_min,
            compression_level,
            compression_takeover,
            nats,
            cluster_name,
            node_name,
            log,
            log_format
        );
        let set = values
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Layer::flags(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_needs_no_command_and_takes_the_same_flags_with_it() {
        let bare = Cli::try_parse_from(["ringmain", "--shards", "3"]).unwrap();
        assert!(bare.command.is_none());
        let Some(Command::Serve(serve)) =
            Cli::try_parse_from(["ringmain", "serve", "--shards", "3"])
                .unwrap()
                .command
        else {
            panic!("no serve");
        };
        assert_eq!(bare.serve.layer(), serve.layer());
    }

    #[test]
    fn the_defaults_in_the_help_are_the_defaults() {
        let help = Cli::command().render_long_help().to_string();
        let help: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for key in &crate::config::keys::KEYS {
            let flag = format!("--{} <", key.name.replace('_', "-"));
            let default = format!("[default: {}]", (key.show)(&Settings::default()));
            let words = [
                "shards",
                "cpus",
                "memory_bytes_max",
                "tls_cert",
                "tls_key",
                "nats",
                "node_name",
            ];
            if help.contains(&flag) && !words.contains(&key.name) {
                assert!(help.contains(&default), "{flag} {default}");
            }
        }
    }

    #[test]
    fn every_flag_sets_its_key() {
        let arguments = "ringmain --listen [::1]:1 --tls-listen [::1]:2 --tls-cert c.pem --tls-key k.pem --admin off --shards 2 --cpus 0-1 --io epoll \
            --message-bytes-max 1MiB --connections-max 5 --memory-max 1GiB --backlog 6 \
            --origins https://a.example --heartbeat-seconds 0.5 --ready-delay 3 --drain-seconds 4 \
            --slow-consumer drop_oldest --lifetime-seconds 60 --log warn --log-format json \
            --nats nats://a:1 --cluster other --node a --compression --compression-bytes-min 1KiB --compression-level 9 --compression-takeover=on";
        let cli = Cli::try_parse_from(arguments.split_whitespace()).unwrap();
        let config = Config::merge(&[cli.serve.layer()]).unwrap();
        let default = Settings::default();
        let changed = crate::config::keys::KEYS
            .iter()
            .filter(|key| (key.show)(&config.settings) != (key.show)(&default));
        assert_eq!(changed.count(), 27);
        assert_eq!(
            config.origin("memory_bytes_max").to_string(),
            "--memory-bytes-max"
        );
    }
}
