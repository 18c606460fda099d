//! What is no key, and how that is said.

use ringmain_shard::auth::{Algorithm, KEYS_MAX, Key, KeyError, SigningKey, TokenVerifier};

use crate::fixture::{EC_PUBLIC, ED_PUBLIC, RSA, RSA_PUBLIC, key};

#[test]
fn a_secret_is_long_and_no_public_key() {
    let error = Key::secret(None, b"secret").expect_err("is refused");
    assert_eq!(error, KeyError::SecretTooShort(6));
    assert!(error.to_string().contains("openssl rand"));
    let error = Key::secret(None, RSA_PUBLIC).expect_err("is refused");
    assert_eq!(error, KeyError::SecretIsPem);
    assert!(Key::secret(None, &[0; 32]).is_ok());
}

#[test]
fn a_public_key_is_for_its_algorithm() {
    let keys = [
        (Algorithm::Rs256, RSA_PUBLIC),
        (Algorithm::Es256, EC_PUBLIC),
        (Algorithm::EdDsa, ED_PUBLIC),
    ];
    for (of_key, pem) in keys {
        for algorithm in Algorithm::ALL {
            let answer = Key::public(None, algorithm, pem);
            assert_eq!(answer.is_ok(), algorithm == of_key, "{of_key} {algorithm}");
            if let Err(error) = answer {
                assert_eq!(error, KeyError::NotPublic(algorithm));
            }
        }
    }
    let pkcs1 = include_bytes!("keys/rsa.pkcs1.pub.pem");
    assert!(Key::public(None, Algorithm::Rs256, pkcs1).is_ok());
}

#[test]
fn weak_and_other_keys_are_refused() {
    let short = include_bytes!("keys/short_rsa.pub.pem");
    let error = Key::public(None, Algorithm::Rs256, short).expect_err("is refused");
    assert_eq!(error, KeyError::RsaBits(1024));
    let longer_curve = include_bytes!("keys/p384.pub.pem");
    let error = Key::public(None, Algorithm::Es256, longer_curve).expect_err("is refused");
    assert_eq!(error, KeyError::NotPublic(Algorithm::Es256));
    for pem in [
        RSA,
        b"",
        b"text",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        let error = Key::public(None, Algorithm::Rs256, pem).expect_err("is refused");
        assert_eq!(error, KeyError::NotPublic(Algorithm::Rs256));
    }
    for algorithm in Algorithm::ALL {
        let error = SigningKey::new(None, algorithm, b"no key").expect_err("is refused");
        assert!(!error.to_string().contains("no key"), "{error}");
    }
}

#[test]
fn there_are_as_many_keys_as_a_token_may_be_tried_with() {
    let keys = |count| vec![key(None, Algorithm::EdDsa); count];
    assert!(TokenVerifier::new(keys(KEYS_MAX)).is_some());
    assert!(TokenVerifier::new(keys(KEYS_MAX + 1)).is_none());
    assert!(TokenVerifier::new(Vec::new()).is_none());
}
