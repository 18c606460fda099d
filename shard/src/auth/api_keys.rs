//! Keys of back ends that publish.

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::{Choice, ConstantTimeEq};

/// API keys that there may be.
pub const API_KEYS_MAX: usize = 64;
/// Bytes that an API key has at least: its digest is no defence for one that can be guessed.
pub const API_KEY_BYTES_MIN: usize = 16;

/// One key: only its SHA-256 digest is kept.
#[derive(Clone)]
pub struct ApiKey {
    name: String,
    digest: [u8; SHA256_OUTPUT_LEN],
}

impl ApiKey {
    /// The key with this text; `None` if it is too short.
    pub fn of_text(name: &str, key: &str) -> Option<Self> {
        (key.len() >= API_KEY_BYTES_MIN).then(|| ApiKey {
            name: name.to_owned(),
            digest: sha256(key),
        })
    }

    /// The key whose text has this SHA-256 digest.
    pub fn of_digest(name: &str, digest: [u8; SHA256_OUTPUT_LEN]) -> Self {
        ApiKey {
            name: name.to_owned(),
            digest,
        }
    }

    /// What it is called, such as after the back end that has it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("ApiKey");
        fields.field("name", &self.name).finish_non_exhaustive()
    }
}

fn sha256(key: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    bytes.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    bytes
}

/// All keys.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// These keys; `None` if they are more than [`API_KEYS_MAX`].
    pub fn new(keys: Vec<ApiKey>) -> Option<Self> {
        (keys.len() <= API_KEYS_MAX).then_some(ApiKeys(keys))
    }

    /// Whether there is none.
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what somebody shows is one of them. How long it takes says neither which, nor how much of it is right.
    pub fn matches(&self, presented: &str) -> bool {
        if self.are_none() {
            return false;
        }
        let presented = sha256(presented);
        let keys = self.0.iter();
        let any = keys.fold(Choice::from(0), |any, key| {
            any | key.digest.ct_eq(&presented)
        });
        any.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_text_of_a_key_matches() {
        let digest = sha256("the key of another one");
        let keys = ApiKeys::new(vec![
            ApiKey::of_text("one", "the key of the one").expect("a key"),
            ApiKey::of_digest("other", digest),
        ]);
        let keys = keys.expect("few");
        assert!(keys.matches("the key of the one"));
        assert!(keys.matches("the key of another one"));
        for wrong in ["", "the key of the on", "the key of the one ", "one"] {
            assert!(!keys.matches(wrong), "{wrong}");
        }
        assert!(!ApiKeys::default().matches(""));
    }

    #[test]
    fn what_is_too_short_or_too_many_is_refused() {
        assert!(ApiKey::of_text("x", &"k".repeat(API_KEY_BYTES_MIN - 1)).is_none());
        let key = ApiKey::of_digest("x", [0; 32]);
        assert!(ApiKeys::new(vec![key.clone(); API_KEYS_MAX]).is_some());
        assert!(ApiKeys::new(vec![key; API_KEYS_MAX + 1]).is_none());
    }
}
