//! How the broker is reached.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use ringmain_router::cluster::Backoff;
use tokio::sync::Notify;

/// A broker that does not answer for so long is given up, and another tried.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// How often the broker is asked for a sign of life. Two may be missing.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Commands that wait inside the client library, beyond the link's own queue and its bounds: what is there when a
/// connection ends goes out on the next, however late. Their bytes are bounded by [`Gate`](crate::gate::Gate).
const CLIENT_COMMANDS_MAX: usize = 64;
/// Messages of one subscription that wait to be read. In one go the client library reads at most 128 times 64 KiB, and
/// then the driver, on the same thread, takes all that has come: this is more than so many bytes are messages.
const SUBSCRIPTION_MESSAGES_MAX: usize = 131_072;

/// Where the broker is, and as whom to connect.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// Addresses such as `nats://127.0.0.1:4222` or `tls://nats.example:4222`.
    pub servers: Vec<String>,
    /// The name under which the broker shows the connection.
    pub name: String,
    /// As whom.
    pub auth: Auth,
    /// How the connection is secured.
    pub tls: Tls,
    /// How long to wait before each attempt.
    pub backoff: Backoff,
    /// What the waits are drawn from.
    pub seed: u64,
}

/// As whom to connect. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub enum Auth {
    /// As nobody.
    #[default]
    None,
    /// With a name and a password.
    UserPassword(String, String),
    /// With a token.
    Token(String),
    /// With the seed of an nkey.
    Nkey(String),
    /// With the text of a credentials file.
    Credentials(String),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Auth::None => "None",
            Auth::UserPassword(..) => "UserPassword(secret)",
            Auth::Token(_) => "Token(secret)",
            Auth::Nkey(_) => "Nkey(secret)",
            Auth::Credentials(_) => "Credentials(secret)",
        })
    }
}

/// How the connection is secured.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whether a connection without TLS is refused.
    pub is_required: bool,
    /// Who may have signed the broker's certificate, in place of whom the system trusts: a file in PEM.
    pub authorities: Option<PathBuf>,
    /// This node's own certificate and key, in PEM.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// An address cannot be read.
    #[error("`{address}` is no address of a NATS server: {problem}")]
    Address {
        /// The address, without a password.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// The credentials cannot be read.
    #[error("the credentials for NATS cannot be read: {0}")]
    Credentials(std::io::Error),
    /// The client library refuses something else, such as a certificate's file.
    #[error("the client for NATS cannot be made: {0}")]
    Client(String),
}

/// What the client library tells of its connection.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    pub disconnects: AtomicU64,
    pub slow: AtomicU64,
    pub for_driver: Notify,
    pub for_drainer: Notify,
}

/// Makes a client, which connects behind the scenes, now and whenever the connection is lost.
pub(crate) async fn client(config: NatsConfig, signs: Arc<Signs>) -> Result<Client, NatsError> {
    let servers = addresses(&config.servers)?;
    let (backoff, seed) = (config.backoff, config.seed);
    let mut options = ConnectOptions::new()
        .name(config.name)
        .no_echo()
        .retry_on_initial_connect()
        .connection_timeout(CONNECT_TIME)
        .ping_interval(PING_INTERVAL)
        .client_capacity(CLIENT_COMMANDS_MAX)
        .subscription_capacity(SUBSCRIPTION_MESSAGES_MAX)
        .require_tls(config.tls.is_required)
        .reconnect_delay_callback(move |attempts| {
            let random = mixed(seed, attempts as u64);
            Duration::from_millis(backoff.wait_ms(attempts.saturating_sub(1), random))
        })
        .event_callback(move |event| {
            match &event {
                Event::Disconnected => {
                    signs.disconnects.fetch_add(1, Ordering::Relaxed);
                }
                Event::SlowConsumer(_) => {
                    signs.slow.fetch_add(1, Ordering::Relaxed);
                }
                Event::ServerError(error) => tracing::warn!(%error, "the NATS server complains"),
                Event::ClientError(error) => {
                    tracing::warn!(%error, "the client for NATS complains")
                }
                _ => {}
            }
            signs.for_driver.notify_one();
            signs.for_drainer.notify_one();
            async {}
        });
    if let Some(authorities) = config.tls.authorities {
        options = options.add_root_certificates(authorities);
    }
    if let Some((certificate, key)) = config.tls.own {
        options = options.add_client_certificate(certificate, key);
    }
    options = match config.auth {
        Auth::None => options,
        Auth::UserPassword(user, password) => options.user_and_password(user, password),
        Auth::Token(token) => options.token(token),
        Auth::Nkey(seed) => options.nkey(seed),
        Auth::Credentials(text) => options.credentials(&text).map_err(NatsError::Credentials)?,
    };
    options
        .connect(servers)
        .await
        .map_err(|error| NatsError::Client(error.to_string()))
}

fn addresses(servers: &[String]) -> Result<Vec<ServerAddr>, NatsError> {
    let read = |address: &String| {
        address.parse().map_err(|problem: std::io::Error| {
            let shown = address.rsplit('@').next().unwrap_or_default();
            NatsError::Address {
                address: shown.to_owned(),
                problem: problem.to_string(),
            }
        })
    };
    servers.iter().map(read).collect()
}

/// SplitMix64: a number for each attempt, another for each node.
fn mixed(seed: u64, attempt: u64) -> u64 {
    let mut mixed = seed.wrapping_add(attempt.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_read_is_told_without_its_password() {
        let error = addresses(&["nats://me:secret@host:port".to_owned()]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("host:port") && !text.contains("secret"),
            "{text}"
        );
        assert!(addresses(&["nats://127.0.0.1:4222".to_owned(), "tls://a:1".to_owned()]).is_ok());
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = [
            Auth::UserPassword("me".into(), "hush".into()),
            Auth::Token("hush".into()),
            Auth::Nkey("hush".into()),
            Auth::Credentials("hush".into()),
        ]
        .map(|auth| format!("{auth:?}"));
        assert!(
            shown.iter().all(|text| text.ends_with("(secret)")),
            "{shown:?}"
        );
    }

    #[test]
    fn nodes_draw_different_waits() {
        let draws = |seed| {
            (0..8)
                .map(|attempt| mixed(seed, attempt))
                .collect::<Vec<_>>()
        };
        assert_ne!(draws(1), draws(2));
        assert_eq!(draws(1), draws(1));
    }
}
