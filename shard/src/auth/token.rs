//! A token's parts, before anybody has verified them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::refusal::TokenRefusal;

/// Bytes that a token has at most.
pub use ringmain_core::limits::TOKEN_BYTES_MAX;

/// What a token says, which is nothing to go by before its signature has been verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Unverified {
    /// How it is signed.
    pub header: Map<String, Value>,
    /// What it is about.
    pub claims: Map<String, Value>,
}

impl Unverified {
    /// Reads a token without verifying anything: to show it to people.
    ///
    /// # Errors
    /// It is no token.
    pub fn read(token: &str) -> Result<Self, TokenRefusal> {
        let parts = Parts::of(token)?;
        Ok(Unverified {
            header: json(parts.header)?,
            claims: json(parts.claims)?,
        })
    }
}

/// The parts of a token in its compact form (RFC 7515, section 3.1), encoded.
#[derive(Clone, Copy)]
pub(super) struct Parts<'t> {
    pub header: &'t str,
    pub claims: &'t str,
    pub signature: &'t str,
    /// What is signed: the first two, with the dot between.
    pub signed: &'t str,
}

impl<'t> Parts<'t> {
    pub fn of(token: &'t str) -> Result<Self, TokenRefusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefusal::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenRefusal::Malformed)?;
        if claims.contains('.') {
            return Err(TokenRefusal::Malformed);
        }
        Ok(Parts {
            header,
            claims,
            signature,
            signed,
        })
    }
}

/// Reads a part that is a JSON object.
pub(super) fn json(part: &str) -> Result<Map<String, Value>, TokenRefusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    let bytes = bytes.map_err(|_| TokenRefusal::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenRefusal::Malformed)
}
