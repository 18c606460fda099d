//! Verifies tokens.

use serde_json::Value;

use super::claims::{Claims, Grant};
use super::key::Key;
use super::refusal::TokenRefusal;
use super::token::{Parts, json};
use super::{Algorithm, provider};

/// Keys that there may be: a token that does not name its own is tried with all of its algorithm.
pub const KEYS_MAX: usize = 16;

/// Whose tokens are taken, and under which conditions.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    keys: Vec<Key>,
    issuers: Vec<String>,
    audience: Vec<String>,
    leeway_s: u64,
}

impl TokenVerifier {
    /// Takes tokens that are signed by one of these keys, whoever issued them; `None` if there are more than
    /// [`KEYS_MAX`], or none.
    pub fn new(keys: Vec<Key>) -> Option<Self> {
        provider::install();
        (1..=KEYS_MAX)
            .contains(&keys.len())
            .then_some(TokenVerifier {
                keys,
                issuers: Vec::new(),
                audience: Vec::new(),
                leeway_s: 0,
            })
    }

    /// Takes only tokens that one of these has issued, if there are any.
    #[must_use]
    pub fn issued_by(mut self, issuers: Vec<String>) -> Self {
        self.issuers = issuers;
        self
    }

    /// Takes only tokens that are meant for one of these; if there are none, those that are meant for nobody in
    /// particular.
    #[must_use]
    pub fn meant_for(mut self, audience: Vec<String>) -> Self {
        self.audience = audience;
        self
    }

    /// Takes tokens so many seconds longer, and earlier: clocks differ.
    #[must_use]
    pub fn with_leeway(mut self, leeway_s: u64) -> Self {
        self.leeway_s = leeway_s;
        self
    }

    /// The keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What a token grants at a time, given in seconds since 1970.
    ///
    /// # Errors
    /// It grants nothing.
    pub fn verify(&self, token: &str, now_unix_s: u64) -> Result<Grant, TokenRefusal> {
        let parts = Parts::of(token)?;
        let header = json(parts.header)?;
        if header.contains_key("crit") {
            return Err(TokenRefusal::Extension);
        }
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm: Algorithm = algorithm
            .ok_or(TokenRefusal::Malformed)?
            .parse()
            .map_err(|_| TokenRefusal::AlgorithmNotAllowed)?;
        let id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.as_str()),
            Some(_) => return Err(TokenRefusal::Malformed),
        };
        self.verify_signature(parts, algorithm, id)?;
        let claims = json(parts.claims)?;
        self.grant(&Claims(&claims), now_unix_s)
    }

    /// Whether one of the keys that come into question has signed it.
    fn verify_signature(
        &self,
        parts: Parts<'_>,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<(), TokenRefusal> {
        let mut refusal = TokenRefusal::UnknownKey;
        for key in self.candidates(id) {
            if key.algorithm() != algorithm {
                if refusal == TokenRefusal::UnknownKey {
                    refusal = TokenRefusal::AlgorithmNotAllowed;
                }
                continue;
            }
            if key.has_signed(parts.signed, parts.signature)? {
                return Ok(());
            }
            refusal = TokenRefusal::BadSignature;
        }
        Err(refusal)
    }

    /// Keys with the identifier that a token names, or those without one if none has it; all if it names none.
    fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let is_named = id.is_some_and(|_| self.keys.iter().any(|key| key.id() == id));
        self.keys.iter().filter(move |key| match id {
            None => true,
            Some(_) if is_named => key.id() == id,
            Some(_) => key.id().is_none(),
        })
    }

    fn grant(&self, claims: &Claims<'_>, now_unix_s: u64) -> Result<Grant, TokenRefusal> {
        let ends_at_s = claims.time("exp")?;
        let expires_at_s = ends_at_s.map(|at| at.saturating_add(self.leeway_s));
        if expires_at_s.is_some_and(|at| at <= now_unix_s) {
            return Err(TokenRefusal::Expired);
        }
        let begins_at_s = claims.time("nbf")?;
        if begins_at_s.is_some_and(|at| at > now_unix_s.saturating_add(self.leeway_s)) {
            return Err(TokenRefusal::NotYetValid);
        }
        if !claims.is_issued_by(&self.issuers) {
            return Err(TokenRefusal::WrongIssuer);
        }
        if !claims.is_meant_for(&self.audience) {
            return Err(TokenRefusal::WrongAudience);
        }
        Ok(Grant {
            user: claims.user()?,
            rights: claims.rights()?,
            expires_at_s,
        })
    }
}
