//! Sets of keys.

use ringmain_shard::auth::{Algorithm, JwksError, KeyError, read_jwks};
use serde_json::{Value, json};

const N_BYTES: usize = 256;

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa() -> Value {
    json!({"kty": "RSA", "n": base64(&[0xff; N_BYTES]), "e": "AQAB"})
}

fn with(mut key: Value, name: &str, value: Value) -> Value {
    key[name] = value;
    key
}

fn read(keys: Value) -> Result<ringmain_shard::auth::Jwks, JwksError> {
    read_jwks(json!({"keys": keys}).to_string().as_bytes())
}

#[test]
fn keys_for_tokens_are_taken_and_others_left_out() {
    let ec = json!({"kty": "EC", "crv": "P-256", "x": base64(&[1; 32]), "y": base64(&[2; 32])});
    let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": base64(&[1; 32])});
    let secret = json!({"kty": "oct", "k": base64(&[1; 32]), "kid": "secret"});
    let set = read(json!([
        with(rsa(), "kid", json!("first")),
        with(rsa(), "use", json!("enc")),
        with(with(rsa(), "use", json!("sig")), "alg", json!("RS256")),
        with(rsa(), "alg", json!("RSA-OAEP")),
        with(rsa(), "alg", json!("PS256")),
        with(rsa(), "alg", json!("ES256")),
        ec,
        with(ec.clone(), "crv", json!("P-384")),
        with(ec.clone(), "crv", json!("secp256k1")),
        ed,
        with(ed.clone(), "crv", json!("X25519")),
        secret,
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        "text",
    ]))
    .expect("a set");
    let seen: Vec<_> = set
        .keys
        .iter()
        .map(|key| (key.id(), key.algorithm()))
        .collect();
    let expected = [
        (Some("first"), Algorithm::Rs256),
        (None, Algorithm::Rs256),
        (None, Algorithm::Es256),
        (None, Algorithm::EdDsa),
        (Some("secret"), Algorithm::Hs256),
    ];
    assert_eq!(seen, expected);
    assert_eq!(set.left_out, 9);
}

#[test]
fn what_is_no_set_says_what_is_wrong() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys": {}}"#,
        "-----BEGIN PUBLIC KEY-----",
    ] {
        let error = read_jwks(text.as_bytes()).expect_err("is refused");
        assert_eq!(error, JwksError::NotASet, "{text}");
    }
    let error = read(json!([])).expect_err("is refused");
    assert_eq!(error, JwksError::NoneForTokens(0));
    let error = read(json!([with(rsa(), "use", json!("enc"))])).expect_err("is refused");
    assert_eq!(error, JwksError::NoneForTokens(1));
    for (key, error) in [
        (
            with(rsa(), "n", json!(base64(&[0xff; 128]))),
            KeyError::RsaBits(1024),
        ),
        (
            with(rsa(), "n", json!("=")),
            KeyError::NotForAlgorithm(Algorithm::Rs256),
        ),
        (
            json!({"kty": "oct", "k": base64(b"short")}),
            KeyError::SecretTooShort(5),
        ),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": base64(&[1; 31])}),
            KeyError::NotForAlgorithm(Algorithm::EdDsa),
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": base64(&[1; 31]), "y": base64(&[2; 32])}),
            KeyError::NotForAlgorithm(Algorithm::Es256),
        ),
    ] {
        let seen = read(json!([rsa(), key])).expect_err("is refused");
        assert_eq!(seen, JwksError::Key { place: 1, error });
    }
}
