//! What the fuzzer of tokens runs, and what the tests replay over its corpus.

use ringmain_core::access::RULES_MAX;
use ringmain_shard::auth::{
    Algorithm, Key, TokenVerifier, USER_BYTES_MAX, Unverified, read_jwks, sign,
};
use serde_json::{Map, Value};

use crate::fixture::{NOW, key, signing_key, verifier};

/// The first byte chooses what the rest is.
pub fn run(data: &[u8]) {
    let [choice, rest @ ..] = data else {
        return;
    };
    match choice % 4 {
        0 => token(rest),
        1 => claims(rest),
        2 => {
            let _ = read_jwks(rest);
        }
        _ => {
            for algorithm in Algorithm::ALL {
                let _ = Key::public(None, algorithm, rest);
            }
            let _ = Key::secret(None, rest);
        }
    }
}

fn all_keys() -> TokenVerifier {
    let keys = Algorithm::ALL.map(|algorithm| key(None, algorithm));
    verifier(keys.to_vec())
}

/// What nobody has signed grants nothing.
fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(all_keys().verify(&text, NOW).is_err(), "{text}");
    let _ = Unverified::read(&text);
}

/// What is claimed is refused, or granted as a naive reader finds it.
fn claims(bytes: &[u8]) {
    let Ok(claims) = serde_json::from_slice::<Map<String, Value>>(bytes) else {
        return;
    };
    let token = sign(&signing_key(None, Algorithm::Hs256), &claims).expect("signs");
    let Ok(grant) = all_keys().verify(&token, NOW) else {
        return;
    };
    let user = claims.get("sub").map(|user| user.as_str().expect("a name"));
    assert_eq!(grant.user.as_deref(), user);
    assert!(user.is_none_or(|user| (1..=USER_BYTES_MAX).contains(&user.len())));
    assert_eq!(grant.expires_at_s.is_some(), claims.contains_key("exp"));
    assert!(grant.expires_at_s.is_none_or(|at| at > NOW));
    let time = |name| claims.get(name).map(|at| at.as_f64().expect("a time"));
    assert!(time("exp").is_none_or(|at| at >= (NOW + 1) as f64));
    assert!(time("nbf").is_none_or(|at| at < (NOW + 1) as f64));
    assert!(!claims.contains_key("aud"), "it is meant for somebody else");
    let rooms = claims
        .get("rooms")
        .map(|rooms| rooms.as_array().expect("a list"));
    let rooms = rooms.map_or(&[][..], Vec::as_slice);
    let rules = grant.rights.rules();
    assert!(rules.len() == rooms.len() && rules.len() <= RULES_MAX);
    for (rule, room) in rules.iter().zip(rooms) {
        let pattern = room.as_str().or(room["match"].as_str());
        assert_eq!(Some(rule.rooms.as_str()), pattern);
        assert_eq!(rule.join, room.is_string() || room["join"] == true);
        assert_eq!(rule.publish, room.is_string() || room["publish"] == true);
    }
}
