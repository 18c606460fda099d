//! Who may do what, from the settings and the files that they name.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ringmain_core::{Rights, RoomRule};
use ringmain_shard::auth::{
    API_KEY_BYTES_MIN, Accepted, ApiKey, ApiKeys, Authentication, JwksError, KEYS_MAX, Key,
    KeyError, TokenVerifier, read_jwks,
};

use crate::config::Settings;
use crate::config::sections::{Auth, AuthApiKey, AuthKey};

/// Bytes of a file with a key, or a set of them.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why it cannot be had. Nothing of a key is in here.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}. Let the engine's user read it, or name another file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A key cannot be used.
    #[error("the key number {number} of `[[auth.keys]]` cannot be used: {source}")]
    Key {
        /// Which, from one.
        number: usize,
        /// Why not.
        source: KeyError,
    },
    /// A set of keys cannot be used.
    #[error("the set of keys {} cannot be used: {source}", path.display())]
    Jwks {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: JwksError,
    },
    /// There are more keys than may be.
    #[error("there are {0} keys with those of `jwks_file`; at most {KEYS_MAX} are allowed")]
    TooManyKeys(usize),
    /// An API key cannot be used.
    #[error(
        "the API key of {0:?} cannot be used: `sha256` has 64 hexadecimal digits, and a key at least {API_KEY_BYTES_MIN} \
         characters: make one with `openssl rand -hex 32`"
    )]
    ApiKey(String),
}

/// What settings and the files that they name come to.
///
/// # Errors
/// The file or the key that is wrong, and how.
pub fn load(settings: &Settings) -> Result<Authentication, AuthError> {
    let auth = &settings.sections.auth;
    let api_keys = auth.api_keys.iter().map(api_key);
    let api_keys = ApiKeys::new(api_keys.collect::<Result<_, _>>()?).unwrap_or_default();
    let rules = auth.anonymous.as_ref();
    let rules = rules.map(|rules| rules.iter().map(RoomRule::from).collect());
    let message_wait_ms = auth.message_seconds.milliseconds();
    Ok(Authentication::new(Accepted {
        tokens: verifier(auth)?,
        api_keys,
        anonymous: rules.and_then(Rights::new),
        cookie: auth.cookie.clone(),
        query: auth.query_parameter.clone(),
        message_wait_ms: (message_wait_ms > 0).then_some(message_wait_ms),
    }))
}

fn verifier(auth: &Auth) -> Result<Option<TokenVerifier>, AuthError> {
    let mut keys = Vec::new();
    for (place, entry) in auth.keys.iter().enumerate() {
        keys.push(key(place + 1, entry)?);
    }
    if let Some(path) = auth.jwks_file.path() {
        let set = read_jwks(&read(path)?).map_err(|source| AuthError::Jwks {
            path: path.to_owned(),
            source,
        })?;
        if set.left_out > 0 {
            tracing::info!(file = %path.display(), "{} keys of the set are for something else than tokens here", set.left_out);
        }
        keys.extend(set.keys);
    }
    let count = keys.len();
    if count == 0 {
        return Ok(None);
    }
    let verifier = TokenVerifier::new(keys).ok_or(AuthError::TooManyKeys(count))?;
    Ok(Some(
        verifier
            .issued_by(auth.issuer.clone())
            .meant_for(auth.audience.clone())
            .with_leeway(auth.leeway_seconds.milliseconds() / 1_000),
    ))
}

fn key(number: usize, entry: &AuthKey) -> Result<Key, AuthError> {
    let id = entry.id.clone();
    let key = if entry.algorithm.has_secret() {
        Key::secret(id, &secret(entry)?)
    } else {
        let pem = match (&entry.public_key, entry.public_key_file.path()) {
            (Some(pem), _) => pem.clone().into_bytes(),
            (None, Some(path)) => read(path)?,
            (None, None) => Vec::new(),
        };
        Key::public(id, entry.algorithm, &pem)
    };
    key.map_err(|source| AuthError::Key { number, source })
}

/// The secret of a key.
///
/// # Errors
/// Its file cannot be read.
pub fn secret(entry: &AuthKey) -> Result<Vec<u8>, AuthError> {
    match (&entry.secret, entry.secret_file.path()) {
        (Some(secret), _) => Ok(secret.0.clone().into_bytes()),
        (None, Some(path)) => secret_of_file(path),
        (None, None) => Ok(Vec::new()),
    }
}

/// The secret that is all of a file, without white space behind it: editors put a line break there.
///
/// # Errors
/// The file cannot be read.
pub fn secret_of_file(path: &Path) -> Result<Vec<u8>, AuthError> {
    Ok(read(path)?.trim_ascii_end().to_vec())
}

fn api_key(entry: &AuthApiKey) -> Result<ApiKey, AuthError> {
    let unusable = || AuthError::ApiKey(entry.name.clone());
    if let Some(digest) = &entry.sha256 {
        let digest = hexadecimal(digest).ok_or_else(unusable)?;
        return Ok(ApiKey::of_digest(&entry.name, digest));
    }
    let text = match (&entry.key, entry.key_file.path()) {
        (Some(key), _) => key.0.clone().into_bytes(),
        (None, Some(path)) => secret_of_file(path)?,
        (None, None) => Vec::new(),
    };
    let text = std::str::from_utf8(&text).map_err(|_| unusable())?;
    ApiKey::of_text(&entry.name, text).ok_or_else(unusable)
}

/// 32 bytes from 64 digits.
fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (digits.len() == 64)
        .then(|| bytes.try_into().ok())
        .flatten()
}

/// The contents of a file, at most `FILE_BYTES_MAX`.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read(path: &Path) -> Result<Vec<u8>, AuthError> {
    let unreadable = |source| AuthError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let mut limited = file.take(FILE_BYTES_MAX + 1);
    limited.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(unreadable(io::Error::new(
            io::ErrorKind::FileTooLarge,
            message,
        )));
    }
    Ok(bytes)
}
