//! Keys, and tokens that they sign.

use ringmain_shard::auth::{Algorithm, Key, SigningKey, TokenVerifier, sign};
use serde_json::{Map, Value, json};

/// The time of all tests, in seconds since 1970.
pub const NOW: u64 = 1_800_000_000;
pub const SECRET: &[u8] = b"a secret of tests, of 32 bytes and more";

pub const RSA: &[u8] = include_bytes!("keys/rsa.pem");
pub const RSA_PUBLIC: &[u8] = include_bytes!("keys/rsa.pub.pem");
pub const EC: &[u8] = include_bytes!("keys/ec.pem");
pub const EC_PUBLIC: &[u8] = include_bytes!("keys/ec.pub.pem");
pub const ED: &[u8] = include_bytes!("keys/ed.pem");
pub const ED_PUBLIC: &[u8] = include_bytes!("keys/ed.pub.pem");

/// The key of an algorithm, called `id`.
pub fn key(id: Option<&str>, algorithm: Algorithm) -> Key {
    let id = id.map(str::to_owned);
    let key = match algorithm {
        Algorithm::Hs256 => Key::secret(id, SECRET),
        Algorithm::Rs256 => Key::public(id, algorithm, RSA_PUBLIC),
        Algorithm::Es256 => Key::public(id, algorithm, EC_PUBLIC),
        Algorithm::EdDsa => Key::public(id, algorithm, ED_PUBLIC),
    };
    key.expect("a key")
}

/// What signs for it.
pub fn signing_key(id: Option<&str>, algorithm: Algorithm) -> SigningKey {
    let private = match algorithm {
        Algorithm::Hs256 => SECRET,
        Algorithm::Rs256 => RSA,
        Algorithm::Es256 => EC,
        Algorithm::EdDsa => ED,
    };
    SigningKey::new(id.map(str::to_owned), algorithm, private).expect("a key")
}

pub fn verifier(keys: Vec<Key>) -> TokenVerifier {
    TokenVerifier::new(keys).expect("keys")
}

/// Takes tokens that are signed with [`SECRET`].
pub fn with_secret() -> TokenVerifier {
    verifier(vec![key(None, Algorithm::Hs256)])
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => panic!("no object"),
    }
}

/// A token with these claims, signed with [`SECRET`].
pub fn token(claims: Value) -> String {
    sign(&signing_key(None, Algorithm::Hs256), &object(claims)).expect("signs")
}

/// Claims that hold at [`NOW`].
pub fn good_claims() -> Value {
    json!({
        "sub": "anna",
        "exp": NOW + 60,
        "rooms": [{"match": "chat:*", "join": true, "publish": true}, {"match": "news", "join": true}],
    })
}
