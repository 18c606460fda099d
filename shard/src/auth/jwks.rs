//! Sets of keys in JSON, as identity providers publish them (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use serde_json::Value;

use super::Algorithm;
use super::key::{Key, KeyError};

/// The keys of a set.
#[derive(Clone, Debug, Default)]
pub struct Jwks {
    /// Those that verify tokens.
    pub keys: Vec<Key>,
    /// How many are left out, since they are for something else or for an algorithm that is not taken.
    pub left_out: usize,
}

/// Why something is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// It is no JSON object with a list of keys.
    #[error("it is no JSON Web Key Set: an object such as {{\"keys\": [...]}} in JSON")]
    NotASet,
    /// One of its keys cannot be used.
    #[error("its key {} is wrong: {error}", place + 1)]
    Key {
        /// Which one, from 0.
        place: usize,
        /// What is wrong.
        error: KeyError,
    },
    /// It has none that verify tokens.
    #[error("none of its {0} keys is for HS256, RS256, ES256 or EdDSA")]
    NoneForTokens(usize),
}

/// Reads a set.
///
/// # Errors
/// It is none, or of no use.
pub fn read_jwks(text: &[u8]) -> Result<Jwks, JwksError> {
    let set: Value = serde_json::from_slice(text).map_err(|_| JwksError::NotASet)?;
    let entries = set.get("keys").and_then(Value::as_array);
    let entries = entries.ok_or(JwksError::NotASet)?;
    let mut jwks = Jwks::default();
    for (place, entry) in entries.iter().enumerate() {
        // What the library cannot read is of a kind that it does not know.
        let jwk = serde_json::from_value::<Jwk>(entry.clone()).ok();
        let Some((algorithm, jwk)) = jwk.and_then(|jwk| Some((algorithm(&jwk)?, jwk))) else {
            jwks.left_out += 1;
            continue;
        };
        let key = Key::of_set(algorithm, &jwk);
        let key = key.map_err(|error| JwksError::Key { place, error })?;
        jwks.keys.push(key);
    }
    if jwks.keys.is_empty() {
        return Err(JwksError::NoneForTokens(entries.len()));
    }
    Ok(jwks)
}

/// The algorithm that a key is for, if it is one for tokens.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    if matches!(&jwk.common.public_key_use, Some(usage) if *usage != PublicKeyUse::Signature) {
        return None;
    }
    let of_kind = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::Rs256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::Es256
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDsa
        }
        AlgorithmParameters::OctetKey(_) => Algorithm::Hs256,
        _ => return None,
    };
    let named = match jwk.common.key_algorithm {
        None => return Some(of_kind),
        Some(KeyAlgorithm::HS256) => Algorithm::Hs256,
        Some(KeyAlgorithm::RS256) => Algorithm::Rs256,
        Some(KeyAlgorithm::ES256) => Algorithm::Es256,
        Some(KeyAlgorithm::EdDSA) => Algorithm::EdDsa,
        Some(_) => return None,
    };
    (named == of_kind).then_some(of_kind)
}
