//! The claims of a token that is made.

use serde_json::{Map, Value, json};

use super::flags::MakeFlags;

/// What the flags say, where they do not say it what the configuration takes.
pub fn claims(
    flags: &MakeFlags,
    issuers: &[String],
    audience: &[String],
    now_s: u64,
) -> Map<String, Value> {
    let rooms = flags.rooms.iter().map(|room| {
        json!({
            "match": room.pattern.as_str(),
            "join": room.join,
            "publish": room.publish,
        })
    });
    let mut claims = Map::new();
    let texts = [
        ("iss", flags.issuer.as_ref().or(issuers.first())),
        ("sub", flags.sub.as_ref()),
        ("aud", flags.audience.as_ref().or(audience.first())),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            claims.insert(name.to_owned(), json!(text));
        }
    }
    claims.insert("iat".to_owned(), json!(now_s));
    claims.insert("exp".to_owned(), json!(now_s + flags.ttl.0));
    claims.insert("rooms".to_owned(), rooms.collect());
    claims
}
