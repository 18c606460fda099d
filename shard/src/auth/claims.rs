//! What a verified token claims.

use ringmain_core::access::RULES_MAX;
use ringmain_core::{Pattern, Rights, RoomRule};
use serde_json::{Map, Value};

use super::refusal::{ClaimFault, TokenRefusal};

/// Bytes of a user's name at most.
pub const USER_BYTES_MAX: usize = 255;

/// What a token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who it is, if it says.
    pub user: Option<String>,
    /// What they may do.
    pub rights: Rights,
    /// When it ends, in seconds since 1970 and with the leeway, if it does.
    pub expires_at_s: Option<u64>,
}

/// The claims of a token (RFC 7519, section 4).
pub(super) struct Claims<'c>(pub &'c Map<String, Value>);

impl Claims<'_> {
    /// The user, `sub`.
    pub fn user(&self) -> Result<Option<String>, ClaimFault> {
        match self.0.get("sub") {
            None => Ok(None),
            Some(Value::String(user)) if (1..=USER_BYTES_MAX).contains(&user.len()) => {
                Ok(Some(user.clone()))
            }
            Some(_) => Err(ClaimFault::Subject),
        }
    }

    /// A time, which may have a fraction (RFC 7519, section 2: `NumericDate`); that is left out.
    pub fn time(&self, name: &'static str) -> Result<Option<u64>, ClaimFault> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let whole = value.as_u64();
        let fraction = || value.as_f64().filter(|time| (0.0..1e15).contains(time));
        whole
            .or_else(|| fraction().map(|time| time as u64))
            .map(Some)
            .ok_or(ClaimFault::Time(name))
    }

    /// Whether its issuer is one of these; any is, if these are none.
    pub fn is_issued_by(&self, issuers: &[String]) -> bool {
        let issuer = self.0.get("iss").and_then(Value::as_str);
        issuers.is_empty() || issuer.is_some_and(|issuer| is_one(issuer, issuers))
    }

    /// Whether one of these is whom it is meant for. Where it is meant for somebody, it is refused by all else
    /// (RFC 7519, section 4.1.3).
    pub fn is_meant_for(&self, audience: &[String]) -> bool {
        match self.0.get("aud") {
            None => audience.is_empty(),
            Some(Value::String(one)) => is_one(one, audience),
            Some(Value::Array(several)) => {
                let mut texts = several.iter().filter_map(Value::as_str);
                texts.any(|text| is_one(text, audience))
            }
            Some(_) => false,
        }
    }

    /// What may be done in rooms, `rooms`.
    pub fn rights(&self) -> Result<Rights, ClaimFault> {
        let Some(rooms) = self.0.get("rooms") else {
            return Ok(Rights::default());
        };
        let rooms = rooms.as_array().ok_or(ClaimFault::Rooms)?;
        if rooms.len() > RULES_MAX {
            return Err(ClaimFault::TooManyRooms);
        }
        let rules: Vec<RoomRule> = rooms.iter().map(rule).collect::<Result<_, _>>()?;
        Rights::new(rules).ok_or(ClaimFault::TooManyRooms)
    }
}

impl From<ClaimFault> for TokenRefusal {
    fn from(fault: ClaimFault) -> Self {
        TokenRefusal::InvalidClaims(fault)
    }
}

fn is_one(text: &str, of: &[String]) -> bool {
    of.iter().any(|one| one == text)
}

/// A pattern alone allows both; an object what it says.
fn rule(entry: &Value) -> Result<RoomRule, ClaimFault> {
    let (rooms, join, publish) = match entry {
        Value::String(rooms) => (rooms.as_str(), true, true),
        Value::Object(fields) => {
            let rooms = fields.get("match").and_then(Value::as_str);
            let flag = |name| match fields.get(name) {
                None => Ok(false),
                Some(Value::Bool(flag)) => Ok(*flag),
                Some(_) => Err(ClaimFault::Rooms),
            };
            let rooms = rooms.ok_or(ClaimFault::Rooms)?;
            (rooms, flag("join")?, flag("publish")?)
        }
        _ => return Err(ClaimFault::Rooms),
    };
    let rooms = Pattern::new(rooms).map_err(ClaimFault::Pattern)?;
    Ok(RoomRule {
        rooms,
        join,
        publish,
    })
}
