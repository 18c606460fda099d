//! Makes tokens, for development and tests: a node itself only verifies them.

use std::fmt;

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};

use super::key::{KeyError, SECRET_BYTES_MIN};
use super::{Algorithm, provider};

/// A key that signs tokens.
pub struct SigningKey {
    id: Option<String>,
    algorithm: Algorithm,
    encoding: EncodingKey,
}

/// Why no token can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// It can be guessed.
    #[error(transparent)]
    Secret(#[from] KeyError),
    /// It cannot be read as one, or does not sign.
    #[error(
        "it is no private key in PEM (`-----BEGIN PRIVATE KEY-----`, PKCS #8) for {0}, of at least 2048 bits for RS256"
    )]
    NotPrivate(Algorithm),
}

impl SigningKey {
    /// A secret for HS256, or a private key in PEM.
    ///
    /// # Errors
    /// It is none for this algorithm.
    pub fn new(id: Option<String>, algorithm: Algorithm, key: &[u8]) -> Result<Self, SigningError> {
        provider::install();
        let encoding = match algorithm {
            Algorithm::Hs256 if key.len() < SECRET_BYTES_MIN => {
                return Err(KeyError::SecretTooShort(key.len()).into());
            }
            Algorithm::Hs256 => EncodingKey::from_secret(key),
            Algorithm::Rs256 => EncodingKey::from_rsa_pem(key),
            Algorithm::Es256 => EncodingKey::from_ec_pem(key),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(key),
        };
        let encoding = encoding.map_err(|_| SigningError::NotPrivate(algorithm))?;
        Ok(SigningKey {
            id,
            algorithm,
            encoding,
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("SigningKey");
        fields.field("id", &self.id);
        fields.field("algorithm", &self.algorithm);
        fields.finish_non_exhaustive()
    }
}

/// A token with these claims.
///
/// # Errors
/// The key does not sign.
pub fn sign(key: &SigningKey, claims: &Map<String, Value>) -> Result<String, SigningError> {
    let mut header = Header::new(key.algorithm.library());
    header.kid.clone_from(&key.id);
    jsonwebtoken::encode(&header, claims, &key.encoding)
        .map_err(|_| SigningError::NotPrivate(key.algorithm))
}
