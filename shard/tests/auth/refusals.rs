//! What is taken, and every reason for which a token is not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringmain_core::access::RULES_MAX;
use ringmain_router::RoomName;
use ringmain_shard::auth::{
    Algorithm, ClaimFault, Grant, SigningKey, TOKEN_BYTES_MAX, TokenRefusal, TokenVerifier,
    USER_BYTES_MAX, sign,
};
use serde_json::{Value, json};

use crate::fixture::{
    EC, NOW, RSA_PUBLIC, SECRET, good_claims, key, object, signing_key, token, verifier,
    with_secret,
};

fn may(grant: &Grant, room: &str) -> (bool, bool) {
    let room = RoomName::new(room.as_bytes()).expect("a name");
    let rights = grant.rights.in_room(&room);
    (rights.join, rights.publish)
}

fn refusal(verifier: &TokenVerifier, token: &str) -> TokenRefusal {
    verifier.verify(token, NOW).expect_err("is refused")
}

/// A token of these parts, signed with the secret of tests whatever its header says.
fn signed_with_secret(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
    let signature = ring::hmac::sign(&secret, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The same token with another claim, its signature left as it is.
fn tampered(token: &str) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims = good_claims();
    claims["sub"] = json!("eve");
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    format!("{}.{claims}.{}", parts[0], parts[2])
}

#[test]
fn each_algorithm_grants_what_the_token_claims() {
    for algorithm in Algorithm::ALL {
        for id in [None, Some("current")] {
            let token = sign(&signing_key(id, algorithm), &object(good_claims())).expect("signs");
            let verifier = verifier(vec![key(Some("current"), algorithm)]);
            let grant = verifier.verify(&token, NOW);
            let grant = grant.unwrap_or_else(|refusal| panic!("{algorithm} {id:?}: {refusal}"));
            assert_eq!(grant.user.as_deref(), Some("anna"));
            assert_eq!(grant.expires_at_s, Some(NOW + 60));
            assert_eq!(may(&grant, "chat:lobby"), (true, true));
            assert_eq!(may(&grant, "news"), (true, false));
            assert_eq!(may(&grant, "other"), (false, false));
            let refused = refusal(&verifier, &tampered(&token));
            assert_eq!(refused, TokenRefusal::BadSignature, "{algorithm}");
        }
    }
}

#[test]
fn each_key_takes_only_its_own_algorithm() {
    for of_token in Algorithm::ALL {
        for of_key in Algorithm::ALL {
            let token = sign(&signing_key(None, of_token), &object(good_claims())).expect("signs");
            let answer = verifier(vec![key(None, of_key)]).verify(&token, NOW);
            if of_token == of_key {
                assert!(answer.is_ok(), "{of_token}");
            } else {
                let refusal = answer.expect_err("is refused");
                assert_eq!(
                    refusal,
                    TokenRefusal::AlgorithmNotAllowed,
                    "{of_token} {of_key}"
                );
            }
        }
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    // Who knows the public key signs with it as if it were a secret.
    let attack =
        SigningKey::new(None, Algorithm::Hs256, RSA_PUBLIC).expect("any bytes are a secret");
    let token = sign(&attack, &object(good_claims())).expect("signs");
    let rsa = verifier(vec![key(None, Algorithm::Rs256)]);
    assert_eq!(refusal(&rsa, &token), TokenRefusal::AlgorithmNotAllowed);
    let both = verifier(vec![
        key(None, Algorithm::Rs256),
        key(None, Algorithm::Hs256),
    ]);
    assert_eq!(refusal(&both, &token), TokenRefusal::BadSignature);
}

#[test]
fn nobody_signs_for_themselves() {
    let verifier = with_secret();
    for algorithm in [
        "none", "None", "NONE", "", "HS512", "hs256", "ES384", "PS256",
    ] {
        let signed = signed_with_secret(&json!({"alg": algorithm}), &good_claims());
        let unsigned = format!("{}.", signed.rsplit_once('.').expect("a dot").0);
        for token in [signed, unsigned] {
            let refused = refusal(&verifier, &token);
            assert_eq!(refused, TokenRefusal::AlgorithmNotAllowed, "{algorithm}");
        }
    }
    let token = signed_with_secret(&json!({"alg": "HS256"}), &good_claims());
    assert!(verifier.verify(&token, NOW).is_ok());
    let unsigned = format!("{}.", token.rsplit_once('.').expect("a dot").0);
    assert_eq!(refusal(&verifier, &unsigned), TokenRefusal::BadSignature);
    let cut = &token[..token.len() - 3];
    assert_eq!(refusal(&verifier, cut), TokenRefusal::BadSignature);
}

#[test]
fn a_token_is_verified_by_the_key_that_it_names() {
    let other = SigningKey::new(None, Algorithm::Hs256, &[9; 40]).expect("a secret");
    let others_token = sign(&other, &object(good_claims())).expect("signs");
    let old = ringmain_shard::auth::Key::secret(Some("old".into()), &[9; 40]).expect("a key");
    let named = |id| {
        let claims = object(good_claims());
        sign(&signing_key(Some(id), Algorithm::Hs256), &claims).expect("signs")
    };
    let two = verifier(vec![old.clone(), key(Some("new"), Algorithm::Hs256)]);
    assert!(two.verify(&named("new"), NOW).is_ok());
    assert_eq!(refusal(&two, &named("old")), TokenRefusal::BadSignature);
    assert_eq!(refusal(&two, &named("older")), TokenRefusal::UnknownKey);
    // A token that names none is tried with all.
    assert!(two.verify(&others_token, NOW).is_ok());
    assert!(two.verify(&token(good_claims()), NOW).is_ok());
    // A key without a name is for tokens that name no other.
    let unnamed = verifier(vec![old, key(None, Algorithm::Hs256)]);
    assert!(unnamed.verify(&named("whatever"), NOW).is_ok());
    assert_eq!(refusal(&unnamed, &named("old")), TokenRefusal::BadSignature);
    let of_another = verifier(vec![key(Some("new"), Algorithm::EdDsa)]);
    let refused = refusal(&of_another, &named("new"));
    assert_eq!(refused, TokenRefusal::AlgorithmNotAllowed);
}

#[test]
fn a_header_is_what_it_should_be() {
    let refused =
        |header: &Value| refusal(&with_secret(), &signed_with_secret(header, &good_claims()));
    assert_eq!(refused(&json!({})), TokenRefusal::Malformed);
    assert_eq!(refused(&json!({"alg": 256})), TokenRefusal::Malformed);
    assert_eq!(refused(&json!(["HS256"])), TokenRefusal::Malformed);
    let id = json!({"alg": "HS256", "kid": 7});
    assert_eq!(refused(&id), TokenRefusal::Malformed);
    let critical = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    assert_eq!(refused(&critical), TokenRefusal::Extension);
}

#[test]
fn what_is_no_token_is_malformed() {
    let good = token(good_claims());
    let parts: Vec<&str> = good.split('.').collect();
    let padded = format!("{}.{}.{}=", parts[0], parts[1], parts[2]);
    let four = format!("{good}.{}", parts[2]);
    let no_json = format!("e30.{}", parts[1]);
    for text in [
        "", ".", "..", "...", "a.b.c", "ä.ö.ü", &padded, &four, &no_json, parts[0],
    ] {
        let refused = refusal(&with_secret(), text);
        assert_eq!(refused, TokenRefusal::Malformed, "{text}");
    }
    // Signed, but not about anything.
    for claims in [json!("text"), json!([1]), Value::Null] {
        let token = signed_with_secret(&json!({"alg": "HS256"}), &claims);
        assert_eq!(refusal(&with_secret(), &token), TokenRefusal::Malformed);
    }
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(refusal(&with_secret(), &long), TokenRefusal::TooLong);
    let refused = refusal(&with_secret(), &long[1..]);
    assert_eq!(refused, TokenRefusal::Malformed);
}

#[test]
fn a_token_ends_and_begins_when_it_says_give_or_take_the_leeway() {
    let verifier = with_secret().with_leeway(30);
    for (ends, is_taken) in [
        (NOW + 1, true),
        (NOW, true),
        (NOW - 29, true),
        (NOW - 30, false),
    ] {
        let answer = verifier.verify(&token(json!({"exp": ends})), NOW);
        match &answer {
            Ok(grant) => assert_eq!(grant.expires_at_s, Some(ends + 30)),
            Err(refusal) => assert_eq!(*refusal, TokenRefusal::Expired),
        }
        assert_eq!(answer.is_ok(), is_taken, "{ends}");
    }
    for (begins, is_taken) in [(0, true), (NOW + 30, true), (NOW + 31, false)] {
        let answer = verifier.verify(&token(json!({"nbf": begins})), NOW);
        assert_eq!(answer.is_ok(), is_taken, "{begins}");
        if let Err(refusal) = answer {
            assert_eq!(refusal, TokenRefusal::NotYetValid);
        }
    }
    let without = with_secret().verify(&token(json!({"exp": NOW})), NOW);
    assert_eq!(without.expect_err("is refused"), TokenRefusal::Expired);
    let endless = with_secret()
        .verify(&token(json!({})), NOW)
        .expect("is taken");
    assert_eq!(endless.expires_at_s, None);
    let fraction = token(json!({"exp": NOW as f64 + 1.9, "nbf": NOW as f64 - 0.5}));
    let fraction = with_secret().verify(&fraction, NOW).expect("is taken");
    assert_eq!(fraction.expires_at_s, Some(NOW + 1));
}

#[test]
fn times_that_are_none_never_mean_for_ever() {
    for time in [
        json!(null),
        json!("1800000060"),
        json!(-1),
        json!(1e300),
        json!([NOW]),
        json!(true),
    ] {
        for (claim, name) in [("exp", "exp"), ("nbf", "nbf")] {
            let refused = refusal(&with_secret(), &token(json!({claim: time})));
            let expected = TokenRefusal::InvalidClaims(ClaimFault::Time(name));
            assert_eq!(refused, expected, "{time}");
        }
    }
    let far = token(json!({"exp": u64::MAX}));
    let far = with_secret()
        .with_leeway(30)
        .verify(&far, NOW)
        .expect("is taken");
    assert_eq!(far.expires_at_s, Some(u64::MAX));
}

#[test]
fn issuer_and_audience_are_those_that_are_set() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let strict = with_secret()
        .issued_by(names(&["https://id.example", "https://old.example"]))
        .meant_for(names(&["ringmain", "chat"]));
    let refused = |claims: Value| strict.verify(&token(claims), NOW).err();
    let good = "https://old.example";
    assert_eq!(refused(json!({"iss": good, "aud": "chat"})), None);
    assert_eq!(refused(json!({"iss": good, "aud": ["mail", "chat"]})), None);
    for issuer in [
        json!(null),
        json!("https://id.example/"),
        json!([good]),
        json!(""),
    ] {
        let refusal = refused(json!({"iss": issuer, "aud": "chat"}));
        assert_eq!(refusal, Some(TokenRefusal::WrongIssuer), "{issuer}");
    }
    assert_eq!(
        refused(json!({"aud": "chat"})),
        Some(TokenRefusal::WrongIssuer)
    );
    for audience in [
        json!(null),
        json!("mail"),
        json!([]),
        json!([["chat"]]),
        json!({"chat": 1}),
    ] {
        let refusal = refused(json!({"iss": good, "aud": audience}));
        assert_eq!(refusal, Some(TokenRefusal::WrongAudience), "{audience}");
    }
    assert_eq!(
        refused(json!({"iss": good})),
        Some(TokenRefusal::WrongAudience)
    );
    // Where no audience is set, what is meant for somebody is meant for somebody else.
    let lax = with_secret();
    assert!(lax.verify(&token(json!({"iss": "anybody"})), NOW).is_ok());
    let refused = refusal(&lax, &token(json!({"aud": "chat"})));
    assert_eq!(refused, TokenRefusal::WrongAudience);
}

#[test]
fn rooms_are_patterns_with_what_may_be_done() {
    let grant = |rooms: Value| with_secret().verify(&token(json!({"rooms": rooms})), NOW);
    let short = grant(json!(["chat:*", {"match": "news"}])).expect("is taken");
    assert_eq!(may(&short, "chat:a"), (true, true));
    assert_eq!(may(&short, "news"), (false, false));
    assert!(grant(json!([])).expect("is taken").rights.are_none());
    let none = with_secret().verify(&token(json!({"sub": "anna"})), NOW);
    assert!(none.expect("is taken").rights.are_none());

    let wrong = |rooms: Value| match grant(rooms).expect_err("is refused") {
        TokenRefusal::InvalidClaims(fault) => fault,
        other => panic!("{other}"),
    };
    for rooms in [
        json!("chat:*"),
        json!(null),
        json!({"match": "chat:*"}),
        json!([1]),
        json!([{"join": true}]),
        json!([{"match": "chat:*", "join": "yes"}]),
        json!([{"match": ["chat:*"]}]),
    ] {
        assert_eq!(wrong(rooms.clone()), ClaimFault::Rooms, "{rooms}");
    }
    assert!(matches!(wrong(json!([""])), ClaimFault::Pattern(_)));
    assert!(matches!(
        wrong(json!(["x".repeat(256)])),
        ClaimFault::Pattern(_)
    ));
    assert!(grant(json!(vec!["*"; RULES_MAX])).is_ok());
    let many = json!(vec!["*"; RULES_MAX + 1]);
    assert_eq!(wrong(many), ClaimFault::TooManyRooms);
}

#[test]
fn a_user_has_a_name_of_bounded_length() {
    let user = |user: Value| with_secret().verify(&token(json!({"sub": user})), NOW);
    let longest = "ü".repeat(USER_BYTES_MAX / 2);
    let grant = user(json!(longest)).expect("is taken");
    assert_eq!(grant.user, Some(longest));
    for wrong in [
        json!(""),
        json!("x".repeat(USER_BYTES_MAX + 1)),
        json!(7),
        json!(null),
    ] {
        let refusal = user(wrong.clone()).expect_err("is refused");
        assert_eq!(
            refusal,
            TokenRefusal::InvalidClaims(ClaimFault::Subject),
            "{wrong}"
        );
    }
}

#[test]
fn what_a_refusal_says_never_quotes_the_token() {
    let marked = "marked-in-the-token";
    let header = json!({"alg": "HS256", "kid": marked});
    let named = verifier(vec![key(Some("other"), Algorithm::Hs256)]);
    let claims = json!({"sub": marked, "iss": marked, "aud": marked, "rooms": [{"match": marked, "join": marked}]});
    let strict = with_secret().issued_by(vec!["another".into()]);
    let pattern = json!({"rooms": [marked.repeat(20)]});
    for refusal in [
        refusal(&named, &signed_with_secret(&header, &claims)),
        refusal(
            &with_secret(),
            &signed_with_secret(&json!({"alg": marked}), &claims),
        ),
        refusal(&with_secret(), &token(claims.clone())),
        refusal(&strict, &token(claims.clone())),
        refusal(
            &with_secret(),
            &token(json!({"rooms": [{"match": marked, "join": marked}]})),
        ),
        refusal(&with_secret(), &token(pattern)),
        refusal(&with_secret(), marked),
    ] {
        let shown = format!("{refusal} {refusal:?} {}", refusal.name());
        assert!(!shown.contains(marked), "{shown}");
    }
}

#[test]
fn a_signature_in_another_form_is_not_one() {
    // ECDSA in DER, as most tools have it, instead of two numbers of 32 bytes (RFC 7518, section 3.4).
    let token = sign(&signing_key(None, Algorithm::Es256), &object(good_claims())).expect("signs");
    let (signed, _) = token.rsplit_once('.').expect("a dot");
    let pem = pem_contents(EC);
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let pair = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, &pem, &random).expect("a key");
    let der = pair.sign(&random, signed.as_bytes()).expect("signs");
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(der));
    let verifier = verifier(vec![key(None, Algorithm::Es256)]);
    assert_eq!(refusal(&verifier, &token), TokenRefusal::BadSignature);
}

fn pem_contents(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).expect("text");
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("base64")
}
