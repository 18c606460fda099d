//! `token make`.

use ringmain_shard::auth::{Algorithm, SigningKey, sign};

use super::TokenError;
use super::claims::claims;
use super::flags::MakeFlags;
use crate::auth::{self, load};
use crate::config::Settings;
use crate::config::sections::Auth;
use crate::sources::Sources;
use crate::tune::Answer;

/// Makes a token, and checks that the configuration would take it, if that has anything to say.
///
/// # Errors
/// It cannot be made, or would be refused.
pub fn make(flags: &MakeFlags, now_s: u64) -> Result<Answer, TokenError> {
    let (config, _) = Sources::new(flags.config.clone(), None).read()?;
    let settings: Settings = config.settings;
    let auth = &settings.sections.auth;
    let key = key(flags, auth)?;
    let token = sign(&key, &claims(flags, &auth.issuer, &auth.audience, now_s))?;
    let authentication = load(&settings)?;
    if authentication.tokens().is_some()
        && let Err(refusal) = authentication.verify(&token, now_s)
    {
        return Err(TokenError::Refused(refusal.to_string()));
    }
    Ok(Answer {
        text: token + "\n",
        code: 0,
    })
}

/// The key that the flags name, or else the first secret of the configuration.
fn key(flags: &MakeFlags, auth: &Auth) -> Result<SigningKey, TokenError> {
    let named = |algorithm| {
        let mut keys = auth.keys.iter();
        flags
            .id
            .clone()
            .or_else(|| keys.find(|key| key.algorithm == algorithm)?.id.clone())
    };
    if let Some(path) = &flags.secret_file {
        let secret = auth::secret_of_file(path)?;
        let algorithm = Algorithm::Hs256;
        return Ok(SigningKey::new(named(algorithm), algorithm, &secret)?);
    }
    if let (Some(path), Some(algorithm)) = (&flags.private_key_file, flags.algorithm) {
        let pem = auth::read(path)?;
        return Ok(SigningKey::new(named(algorithm), algorithm, &pem)?);
    }
    let mut keys = auth.keys.iter().filter(|key| key.algorithm.has_secret());
    let key = match &flags.id {
        None => keys.next(),
        Some(_) => keys.find(|key| key.id == flags.id),
    };
    let key = key.ok_or(TokenError::NoSecret)?;
    let secret = auth::secret(key)?;
    Ok(SigningKey::new(key.id.clone(), key.algorithm, &secret)?)
}
