//! Whatever comes: no panic, and nothing is granted but to who has a key.

use proptest::prelude::*;
use ringmain_core::access::RULES_MAX;
use ringmain_shard::auth::{Algorithm, Key, TokenVerifier, Unverified, read_jwks, sign};
use serde_json::{Map, Value, json};

use crate::fixture::{NOW, key, object, signing_key, verifier};

fn all_keys() -> TokenVerifier {
    verifier(
        Algorithm::ALL
            .map(|algorithm| key(None, algorithm))
            .to_vec(),
    )
}

/// JSON of any form, with the names that tokens use.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|half| Value::from(f64::from(half) / 2.0)),
        "\\PC{0,20}".prop_map(Value::from),
        Just(json!("chat:*")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop_oneof![
            Just("match".to_owned()),
            Just("join".to_owned()),
            Just("publish".to_owned()),
            "[a-z]{1,8}"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_claims() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop::sample::select(vec!["sub", "exp", "nbf", "iss", "aud", "rooms", "other"]);
    prop::collection::btree_map(name, any_json(), 0..7).prop_map(|map| {
        map.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

proptest! {
    #[test]
    fn no_text_panics_nor_is_taken(text in "\\PC{0,200}", now in any::<u64>()) {
        prop_assert!(all_keys().verify(&text, now).is_err());
        let _ = Unverified::read(&text);
    }

    #[test]
    fn nor_what_looks_like_a_token(header in any_json(), claims in any_claims(), signature in "[A-Za-z0-9_-]{0,90}") {
        use base64::Engine;
        let part = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let claims = Value::Object(claims);
        let token = format!("{}.{}.{signature}", part(header.to_string()), part(claims.to_string()));
        prop_assert!(all_keys().verify(&token, NOW).is_err());
        for algorithm in Algorithm::ALL {
            let header = json!({"alg": algorithm.name()});
            let token = format!("{}.{}.{signature}", part(header.to_string()), part(claims.to_string()));
            prop_assert!(all_keys().verify(&token, NOW).is_err());
        }
    }

    #[test]
    fn whatever_is_claimed_is_bounded(claims in any_claims()) {
        let token = sign(&signing_key(None, Algorithm::EdDsa), &claims).expect("signs");
        if let Ok(grant) = all_keys().verify(&token, NOW) {
            prop_assert!(grant.rights.rules().len() <= RULES_MAX);
            prop_assert!(grant.expires_at_s.is_none_or(|at| at > NOW));
            prop_assert_eq!(grant.user.as_deref(), claims.get("sub").and_then(Value::as_str));
        }
        prop_assert_eq!(Unverified::read(&token).map(|token| token.claims), Ok(claims));
    }

    #[test]
    fn one_bit_makes_a_signature_wrong(algorithm in prop::sample::select(Algorithm::ALL.to_vec()), at in any::<prop::sample::Index>(), bit in 0..6_u8) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let good = sign(&signing_key(None, algorithm), &object(json!({"sub": "anna"}))).expect("signs");
        prop_assert!(all_keys().verify(&good, NOW).is_ok());
        let mut changed = good.into_bytes();
        let at = at.index(changed.len());
        let Some(place) = ALPHABET.iter().position(|byte| *byte == changed[at]) else {
            return Ok(()); // a dot
        };
        changed[at] = ALPHABET[place ^ (1 << bit)];
        let changed = String::from_utf8(changed).expect("ASCII");
        prop_assert!(all_keys().verify(&changed, NOW).is_err());
    }

    #[test]
    fn no_bytes_panic_as_keys(bytes in prop::collection::vec(any::<u8>(), 0..200), set in any_json()) {
        for algorithm in Algorithm::ALL {
            let _ = Key::public(None, algorithm, &bytes);
        }
        let _ = Key::secret(None, &bytes);
        let _ = read_jwks(&bytes);
        let _ = read_jwks(json!({"keys": [set]}).to_string().as_bytes());
    }
}
