//! Who somebody is and what they may do, from what they show: a JSON Web Token, or an API key.
//!
//! [`Authentication`] is what a node goes by; it holds no socket and no clock.

mod algorithm;
mod api_keys;
mod claims;
mod jwks;
mod key;
mod provider;
mod refusal;
mod signing;
mod token;
mod verifier;

use ringmain_core::Rights;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use api_keys::{API_KEY_BYTES_MIN, API_KEYS_MAX, ApiKey, ApiKeys};
pub use claims::{Grant, USER_BYTES_MAX};
pub use jwks::{Jwks, JwksError, read_jwks};
pub use key::{Key, KeyError, SECRET_BYTES_MIN};
pub use refusal::{ClaimFault, TokenRefusal};
pub use signing::{SigningError, SigningKey, sign};
pub use token::{TOKEN_BYTES_MAX, Unverified};
pub use verifier::{KEYS_MAX, TokenVerifier};

/// How long a client with `?auth=message` has for its token, if nothing else is set.
pub const MESSAGE_WAIT_MS: u64 = 10_000;

/// What is accepted as a sign of who somebody is.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// Tokens.
    pub tokens: Option<TokenVerifier>,
    /// Keys of back ends.
    pub api_keys: ApiKeys,
    /// What those may do who show nothing; if not set, nothing once there is a key, and everything before.
    pub anonymous: Option<Rights>,
    /// The cookie that may hold a token.
    pub cookie: Option<String>,
    /// The query parameter that may hold a token.
    pub query: Option<String>,
    /// How long a client with `?auth=message` has for its token, in milliseconds; if not set, it is not let in.
    pub message_wait_ms: Option<u64>,
}

/// Who may do what. Without anything set, everybody everything.
#[derive(Clone, Debug)]
pub struct Authentication {
    accepted: Accepted,
    is_configured: bool,
    anonymous: Rights,
}

impl Default for Authentication {
    fn default() -> Self {
        Authentication::new(Accepted::default())
    }
}

impl Authentication {
    /// What comes of what is accepted.
    pub fn new(accepted: Accepted) -> Self {
        let has_keys = accepted.tokens.is_some() || !accepted.api_keys.are_none();
        let is_configured = has_keys || accepted.anonymous.is_some();
        let anonymous = match &accepted.anonymous {
            Some(rights) => rights.clone(),
            None if has_keys => Rights::default(),
            None => Rights::all(),
        };
        Authentication {
            accepted,
            is_configured,
            anonymous,
        }
    }

    /// Whether not everybody may do everything: there is a key, or what the anonymous may do is set.
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// What those may do who show neither token nor API key.
    pub fn anonymous(&self) -> &Rights {
        &self.anonymous
    }

    /// Whether this is the API key of a back end. Takes the same time for every key of one length.
    pub fn is_api_key(&self, presented: &str) -> bool {
        self.accepted.api_keys.matches(presented)
    }

    /// What verifies tokens, if they are accepted.
    pub fn tokens(&self) -> Option<&TokenVerifier> {
        self.accepted.tokens.as_ref()
    }

    /// The name of the cookie that may hold a token.
    pub fn cookie(&self) -> Option<&str> {
        self.accepted.cookie.as_deref()
    }

    /// The name of the query parameter that may hold a token.
    pub fn query(&self) -> Option<&str> {
        self.accepted.query.as_deref()
    }

    /// How long a client has to send its token as the first message, if it may.
    pub fn message_wait_ms(&self) -> Option<u64> {
        let takes_tokens = self.accepted.tokens.is_some();
        self.accepted.message_wait_ms.filter(|_| takes_tokens)
    }

    /// What a token grants at a time, given in seconds since 1970.
    ///
    /// # Errors
    /// It grants nothing.
    pub fn verify(&self, token: &str, now_unix_s: u64) -> Result<Grant, TokenRefusal> {
        let tokens = self.accepted.tokens.as_ref();
        tokens
            .ok_or(TokenRefusal::NotConfigured)?
            .verify(token, now_unix_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(tokens: bool, anonymous: Option<Rights>) -> Authentication {
        let tokens = tokens.then(|| {
            let key = Key::secret(None, &[7; SECRET_BYTES_MIN]).expect("a key");
            TokenVerifier::new(vec![key]).expect("a verifier")
        });
        Authentication::new(Accepted {
            tokens,
            anonymous,
            message_wait_ms: Some(MESSAGE_WAIT_MS),
            ..Accepted::default()
        })
    }

    #[test]
    fn once_there_is_a_key_the_anonymous_may_do_nothing_unless_it_is_set() {
        let open = Authentication::default();
        assert!(!open.is_configured());
        assert_eq!(open.anonymous(), &Rights::all());
        let closed = with(true, None);
        assert!(closed.is_configured() && closed.anonymous().are_none());
        let set = with(true, Some(Rights::all()));
        assert!(set.is_configured());
        assert_eq!(set.anonymous(), &Rights::all());
        let only_anonymous = with(false, Some(Rights::default()));
        assert!(only_anonymous.is_configured() && only_anonymous.anonymous().are_none());
    }

    #[test]
    fn without_a_key_no_token_is_taken_nor_waited_for() {
        let open = with(false, None);
        assert_eq!(
            open.verify("a.b.c", 0).unwrap_err(),
            TokenRefusal::NotConfigured
        );
        assert_eq!(open.message_wait_ms(), None);
        assert_eq!(with(true, None).message_wait_ms(), Some(MESSAGE_WAIT_MS));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret = "s3cret-s3cret-s3cret-s3cret-s3cret";
        let key = Key::secret(Some("first".into()), secret.as_bytes()).expect("a key");
        let api_key = ApiKey::of_text("billing", "api-key-of-billing").expect("a key");
        let all = Authentication::new(Accepted {
            tokens: Some(TokenVerifier::new(vec![key]).expect("a verifier")),
            api_keys: ApiKeys::new(vec![api_key]).expect("few"),
            ..Accepted::default()
        });
        let shown = format!("{all:?}");
        assert!(
            shown.contains("first") && shown.contains("billing"),
            "{shown}"
        );
        let bytes = format!("{:?}", secret.as_bytes());
        for hidden in [secret, &bytes[1..20], "api-key-of-billing"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(!shown.contains("digest"), "{shown}");
    }
}
