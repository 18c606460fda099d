//! `token explain`.

use std::io::Read;

use ringmain_shard::auth::{Authentication, Grant, TOKEN_BYTES_MAX, TokenRefusal, Unverified};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::flags::ExplainFlags;
use super::{TokenError, show};
use crate::auth::load;
use crate::sources::Sources;
use crate::tune::Answer;

/// Exit code: it would be refused.
const EXIT_REFUSED: u8 = 1;

/// All that there is to say of a token.
pub struct Explanation {
    /// What it says, if it is one.
    pub token: Option<Unverified>,
    /// What it grants here.
    pub verdict: Result<Grant, TokenRefusal>,
    /// The keys here, as text.
    pub keys: Vec<String>,
    /// When this was found, in seconds since 1970.
    pub now_s: u64,
}

impl Explanation {
    /// Of a token, where this is who takes it.
    pub fn new(token: &str, authentication: &Authentication, now_s: u64) -> Self {
        let keys = authentication.tokens().map(|tokens| tokens.keys());
        let keys = keys.unwrap_or_default().iter().map(|key| match key.id() {
            Some(id) => format!("{id:?} ({})", key.algorithm()),
            None => format!("one without identifier ({})", key.algorithm()),
        });
        Explanation {
            token: Unverified::read(token).ok(),
            verdict: authentication.verify(token, now_s),
            keys: keys.collect(),
            now_s,
        }
    }
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Report<'e> {
    accepted: bool,
    refusal: Option<Value>,
    grant: Option<Value>,
    header: Option<&'e Map<String, Value>>,
    claims: Option<&'e Map<String, Value>>,
}

impl<'e> Report<'e> {
    fn new(explanation: &'e Explanation) -> Self {
        let (grant, refusal) = match &explanation.verdict {
            Ok(grant) => (Some(granted(grant)), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let token = explanation.token.as_ref();
        Report {
            accepted: refusal.is_none(),
            refusal: refusal.map(|it| json!({"name": it.name(), "text": it.to_string()})),
            grant,
            header: token.map(|token| &token.header),
            claims: token.map(|token| &token.claims),
        }
    }
}

fn granted(grant: &Grant) -> Value {
    let rooms = grant.rights.rules().iter().map(
        |rule| json!({"match": rule.rooms.as_str(), "join": rule.join, "publish": rule.publish}),
    );
    json!({
        "user": grant.user,
        "expires_at": grant.expires_at_s,
        "rooms": rooms.collect::<Vec<_>>(),
    })
}

/// Shows a token, and whether the configuration would take it.
///
/// # Errors
/// The configuration or the token cannot be read.
pub fn explain(flags: &ExplainFlags, now_s: u64) -> Result<Answer, TokenError> {
    let (config, _) = Sources::new(flags.config.clone(), None).read()?;
    let authentication = load(&config.settings)?;
    let token = match flags.token.as_str() {
        "-" => from_input()?,
        token => token.to_owned(),
    };
    let explanation = Explanation::new(token.trim_ascii(), &authentication, now_s);
    let text = if flags.json {
        serde_json::to_string_pretty(&Report::new(&explanation))? + "\n"
    } else {
        show::text(&explanation)
    };
    let is_taken = explanation.verdict.is_ok();
    Ok(Answer {
        text,
        code: if is_taken { 0 } else { EXIT_REFUSED },
    })
}

/// The token on standard input, as far as it is worth reading: white space around it, and one byte more than any has.
fn from_input() -> Result<String, TokenError> {
    let mut bytes = Vec::new();
    let mut limited = std::io::stdin().lock().take(2 * TOKEN_BYTES_MAX as u64);
    limited.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
