//! `[cluster]`: how the NATS server is reached, and what waits for it.

use ringmain_core::Rate;
use serde::Deserialize;

use super::Section;
use super::limits::{check_number, rate};
use crate::config::tls::FilePath;
use crate::config::value::{ByteSize, Count, Seconds, Switch};

/// The section.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Where clients reach this node, for the others to show; empty for where it listens.
    pub address: String,
    /// The user's name at the NATS server.
    pub user: String,
    /// The file of that user's password.
    pub password_file: FilePath,
    /// The file of a token.
    pub token_file: FilePath,
    /// The file of an nkey's seed.
    pub nkey_file: FilePath,
    /// A credentials file.
    pub credentials_file: FilePath,
    /// Whether a connection without TLS is refused, also where no address says so.
    pub tls: Switch,
    /// Who may have signed the server's certificate, in place of whom the system trusts.
    pub tls_authorities: FilePath,
    /// This node's own certificate.
    pub tls_cert: FilePath,
    /// Its key.
    pub tls_key: FilePath,
    /// What may wait for the server.
    pub queue_bytes_max: ByteSize,
    /// For how long.
    pub queue_seconds: Seconds,
    /// Plain messages of NATS clients that the node takes a second.
    pub message_rate: Count,
    /// As many may come at once.
    pub message_burst: Count,
    /// Whether the node is ready while the server is not there.
    pub ready_alone: Switch,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            address: String::new(),
            user: String::new(),
            password_file: FilePath::default(),
            token_file: FilePath::default(),
            nkey_file: FilePath::default(),
            credentials_file: FilePath::default(),
            tls: Switch(false),
            tls_authorities: FilePath::default(),
            tls_cert: FilePath::default(),
            tls_key: FilePath::default(),
            queue_bytes_max: ByteSize(32 << 20),
            queue_seconds: Seconds(2.0),
            message_rate: Count(0),
            message_burst: Count(0),
            ready_alone: Switch(true),
        }
    }
}

impl Section for Cluster {
    const NAME: &'static str = "cluster";
    const EXAMPLE: &'static str = r#"How the NATS server of `nats` is reached; only a restart changes it. Secrets stand in files, each alone.
[cluster]
address = ""                  # where clients reach this node, for /cluster; if empty, where it listens
user = ""                     # with password_file; or token_file, or nkey_file, or credentials_file
password_file = ""
token_file = ""
nkey_file = ""                # the seed of an nkey
credentials_file = ""         # a .creds file
tls = "off"                   # on: a server without TLS is refused; always so if an address in `nats` begins with tls://
tls_authorities = ""          # PEM: who may have signed its certificate; if empty, whom the system trusts
tls_cert = ""                 # PEM: this node's own certificate, if the server asks for one
tls_key = ""
queue_bytes_max = "32MiB"     # what may wait for the server; beyond it the oldest is dropped and counted
queue_seconds = 2             # for how long, before it is dropped and counted
message_rate = 0              # plain messages a second that the node takes from NATS clients; 0: any number
message_burst = 0             # as many may come at once; 0: as many as in a second
ready_alone = "on"            # off: /health/ready is 503 while the server is not there
"#;

    fn check(&self) -> Result<(), (&'static str, String)> {
        let ways = [
            !self.user.is_empty(),
            self.token_file.path().is_some(),
            self.nkey_file.path().is_some(),
            self.credentials_file.path().is_some(),
        ];
        if ways.iter().filter(|&&way| way).count() > 1 {
            let problem = "only one of user, token_file, nkey_file and credentials_file can be set";
            return Err(("user", problem.to_owned()));
        }
        if self.user.is_empty() != self.password_file.path().is_none() {
            let problem = "user and password_file are set together, or not at all";
            return Err(("password_file", problem.to_owned()));
        }
        if self.tls_cert.path().is_some() != self.tls_key.path().is_some() {
            let problem = "tls_cert and tls_key are set together, or not at all";
            return Err(("tls_key", problem.to_owned()));
        }
        if !(1 << 16..=1 << 34).contains(&self.queue_bytes_max.0) {
            return Err(("queue_bytes_max", "allowed: 64KiB to 16GiB".to_owned()));
        }
        if !(0.1..=60.0).contains(&self.queue_seconds.0) {
            return Err(("queue_seconds", "allowed: 0.1 to 60".to_owned()));
        }
        for (name, number) in [
            ("message_rate", self.message_rate),
            ("message_burst", self.message_burst),
        ] {
            check_number(name, number.0)?;
        }
        if self.message_burst.0 > 0 && self.message_rate.0 == 0 {
            let problem = "without `message_rate` it says nothing: set that too";
            return Err(("message_burst", problem.to_owned()));
        }
        Ok(())
    }

    fn toml(&self) -> String {
        let text = |text: &dyn ToString| toml::Value::String(text.to_string()).to_string();
        let lines = [
            ("address", text(&self.address)),
            ("user", text(&self.user)),
            ("password_file", text(&self.password_file)),
            ("token_file", text(&self.token_file)),
            ("nkey_file", text(&self.nkey_file)),
            ("credentials_file", text(&self.credentials_file)),
            ("tls", text(&self.tls)),
            ("tls_authorities", text(&self.tls_authorities)),
            ("tls_cert", text(&self.tls_cert)),
            ("tls_key", text(&self.tls_key)),
            ("queue_bytes_max", text(&self.queue_bytes_max)),
            ("queue_seconds", self.queue_seconds.to_string()),
            ("message_rate", self.message_rate.to_string()),
            ("message_burst", self.message_burst.to_string()),
            ("ready_alone", text(&self.ready_alone)),
        ];
        lines
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    }
}

impl Cluster {
    /// The rate of plain messages.
    pub fn message_rate(&self) -> Option<Rate> {
        rate(self.message_rate.0, self.message_burst.0)
    }
}
