//! Tokens for development (`token make`), and why a token is taken or not (`token explain`).

mod claims;
mod explain;
pub mod flags;
mod make;
mod show;

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use ringmain_shard::auth::SigningError;

use crate::auth::AuthError;
use crate::sources::SourcesError;
use crate::tune::Answer;

use flags::TokenCommand;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The configuration is wrong.
    #[error(transparent)]
    Sources(#[from] SourcesError),
    /// A key cannot be had.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A key does not sign.
    #[error("the key cannot be used: {0}")]
    Signing(#[from] SigningError),
    /// The configuration verifies tokens, and cannot make any.
    #[error(
        "the configuration has no secret that signs tokens: name one with --secret-file, or the private key with \
         --private-key-file and --algorithm"
    )]
    NoSecret,
    /// What would be made would be refused.
    #[error("the configuration would refuse this token: {0}")]
    Refused(String),
    /// The token cannot be read.
    #[error("cannot read the token from standard input: {0}")]
    Input(#[from] io::Error),
    /// The answer cannot be put into JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Makes a token, or explains one.
///
/// # Errors
/// It cannot, and why.
pub fn token(command: &TokenCommand) -> Result<Answer, TokenError> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = since_1970.unwrap_or_default().as_secs();
    match command {
        TokenCommand::Make(flags) => make::make(flags, now_s),
        TokenCommand::Explain(flags) => explain::explain(flags, now_s),
    }
}
