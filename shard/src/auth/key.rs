//! Keys that tokens are verified by.

use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::DecodingKeyKind;
use jsonwebtoken::crypto;
use jsonwebtoken::jwk::Jwk;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use super::Algorithm;
use super::refusal::TokenRefusal;

/// Bytes of a secret at least (RFC 7518, section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// Bits of the modulus of an RSA key at least (RFC 7518, section 3.3), and at most.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bytes of a point of the curve P-256: its kind, and two coordinates.
const P256_POINT_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;

/// A key, which is for one algorithm.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// Why something is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It can be guessed.
    #[error(
        "a secret has at least {SECRET_BYTES_MIN} bytes, this one has {0}: make one with `openssl rand -base64 32`"
    )]
    SecretTooShort(usize),
    /// Whoever has the public key could sign tokens.
    #[error("a secret is no key in PEM: a public key is for RS256, ES256 or EdDSA")]
    SecretIsPem,
    /// It cannot be read as one.
    #[error("it is no public key in PEM (`-----BEGIN PUBLIC KEY-----`) for {0}")]
    NotPublic(Algorithm),
    /// A key of a set that cannot be read.
    #[error("it is no key for {0}")]
    NotForAlgorithm(Algorithm),
    /// RSA keys of other lengths.
    #[error("an RSA key has {min} to {max} bits, this one has {0}", min = RSA_BITS.start(), max = RSA_BITS.end())]
    RsaBits(usize),
}

impl Key {
    /// A secret for HS256.
    ///
    /// # Errors
    /// It is too short, or no secret.
    pub fn secret(id: Option<String>, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(KeyError::SecretIsPem);
        }
        let too_short = KeyError::SecretTooShort(secret.len());
        if secret.len() < SECRET_BYTES_MIN {
            return Err(too_short);
        }
        Ok(Key {
            id,
            algorithm: Algorithm::Hs256,
            decoding: DecodingKey::from_secret(secret).map_err(|_| too_short)?,
        })
    }

    /// A public key in PEM.
    ///
    /// # Errors
    /// It is none for this algorithm.
    pub fn public(id: Option<String>, algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let not_public = KeyError::NotPublic(algorithm);
        let decoding = match algorithm {
            Algorithm::Hs256 => return Err(not_public),
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        };
        let decoding = decoding.map_err(|_| not_public)?;
        check(algorithm, &decoding).map_err(|error| error.unwrap_or(not_public))?;
        Ok(Key {
            id,
            algorithm,
            decoding,
        })
    }

    /// A key of a set.
    pub(super) fn of_set(algorithm: Algorithm, jwk: &Jwk) -> Result<Self, KeyError> {
        let no_key = KeyError::NotForAlgorithm(algorithm);
        let decoding = DecodingKey::from_jwk(jwk).map_err(|_| no_key)?;
        check(algorithm, &decoding).map_err(|error| error.unwrap_or(no_key))?;
        Ok(Key {
            id: jwk.common.key_id.clone(),
            algorithm,
            decoding,
        })
    }

    /// What tokens call it, in `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn has_signed(&self, text: &str, signature: &str) -> Result<bool, TokenRefusal> {
        let algorithm = self.algorithm.library();
        crypto::verify(signature, text.as_bytes(), &self.decoding, algorithm)
            .map_err(|_| TokenRefusal::Malformed)
    }
}

/// Whether a key is what it is said to be for; the error is there if more can be said than that it is not.
fn check(algorithm: Algorithm, key: &DecodingKey) -> Result<(), Option<KeyError>> {
    let bytes = key.try_get_as_bytes().unwrap_or_default();
    let is_right = match algorithm {
        Algorithm::Hs256 if bytes.len() < SECRET_BYTES_MIN => {
            return Err(Some(KeyError::SecretTooShort(bytes.len())));
        }
        Algorithm::Hs256 => true,
        Algorithm::Rs256 => {
            let bits = rsa_bits(key).ok_or(None)?;
            if !RSA_BITS.contains(&bits) {
                return Err(Some(KeyError::RsaBits(bits)));
            }
            true
        }
        Algorithm::Es256 => bytes.len() == P256_POINT_BYTES && bytes[0] == 4,
        Algorithm::EdDsa => bytes.len() == ED25519_BYTES,
    };
    is_right.then_some(()).ok_or(None)
}

/// Bits of an RSA key's modulus.
fn rsa_bits(key: &DecodingKey) -> Option<usize> {
    match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => {
            let (rest, key) = RSAPublicKey::from_der(der).ok()?;
            // Of a private key, the version, which is 0, would be taken for the modulus.
            Some(bits(key.modulus)).filter(|bits| rest.is_empty() && *bits > 0)
        }
        DecodingKeyKind::RsaModulusExponent { n, .. } => Some(bits(n)),
    }
}

/// Bits of a number, without the zeros that it begins with.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    match number.get(zeros) {
        Some(first) => (number.len() - zeros) * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Key");
        fields.field("id", &self.id);
        fields.field("algorithm", &self.algorithm);
        fields.finish_non_exhaustive()
    }
}
