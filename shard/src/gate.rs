//! Who may do what is asked for: from a request's token, or a first message that is one, to what a session may do.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Request, StatusCode};
use ringmain_core::{Access, Expiry, Input, Pass, RefusedToken, Rights, ShardCore, Target, Tick};
use ringmain_router::{RoomName, Subject};

use crate::auth::{Authentication, Grant, TokenRefusal};
use crate::http::Plain;
use crate::http::credentials::{self, Places};
use crate::http::routes::Asked;
use crate::origin::Admission;
use crate::shell::Shell;

/// Tokens that one turn looks at: a signature takes up to a fifth of a millisecond.
pub const TURN_TOKENS_MAX: usize = 8;

/// RFC 6750, section 3: what a refusal for want of a token, or of a good one, says.
const NO_TOKEN: &[(&str, &str)] = &[("www-authenticate", "Bearer")];
const BAD_TOKEN: &[(&str, &str)] = &[("www-authenticate", "Bearer error=\"invalid_token\"")];
const TOO_LITTLE: &[(&str, &str)] = &[("www-authenticate", "Bearer error=\"insufficient_scope\"")];

/// What a request shows of who sends it.
pub enum Shown<'r> {
    /// Nothing, or nothing that matters here.
    Nothing,
    /// A cookie, which counts for nothing: whose page has sent it along is not known.
    StrangersCookie,
    /// What is to be a token or an API key.
    Token(Cow<'r, str>),
}

/// Who asks.
enum Asker {
    /// Somebody with a token.
    Known(Grant),
    /// A back end with an API key.
    BackEnd,
    /// Somebody without either.
    Anonymous,
}

/// What was found of a request that is let through.
#[derive(Debug, Default)]
pub struct Admitted {
    /// What its session may do.
    pub access: Access,
    /// Who it is.
    pub user: Option<String>,
}

/// What a request shows, where that matters. `admission` is how its origin was let in: a browser sends cookies along with
/// every page's requests, so they count only for pages that the configuration names, and for who is no page.
pub fn token<'r, B>(
    shell: &Shell,
    request: &'r Request<B>,
    asked: &Asked,
    admission: Admission,
) -> Shown<'r> {
    let policy = shell.policy();
    let auth = &policy.auth;
    if !auth.is_configured() || matches!(asked, Asked::Root | Asked::Methods(_)) {
        return Shown::Nothing;
    }
    let is_strangers = admission == Admission::Anybody;
    let places = Places {
        cookie: auth.cookie().filter(|_| !is_strangers),
        query: auth.query(),
    };
    let all = Places {
        cookie: auth.cookie(),
        query: None,
    };
    match credentials::token(request, places) {
        Some(token) => Shown::Token(token),
        None if credentials::token(request, all).is_some() => Shown::StrangersCookie,
        None => Shown::Nothing,
    }
}

/// Whether somebody may do what their request asks for, by what it [shows](token).
///
/// # Errors
/// The answer that says why not.
pub fn admit<B>(
    shell: &Shell,
    request: &Request<B>,
    asked: &Asked,
    shown: Shown<'_>,
) -> Result<Admitted, Plain> {
    let policy = shell.policy();
    let (auth, now) = (&policy.auth, shell.now());
    if !auth.is_configured() || matches!(asked, Asked::Root | Asked::Methods(_)) {
        return Ok(Admitted::default());
    }
    let has_strangers_cookie = matches!(shown, Shown::StrangersCookie);
    let asker = asker(auth, &shown).map_err(|refusal| {
        shell.stats().token_refused(refusal.counted());
        bad_token(refusal)
    })?;
    if let (Asker::Anonymous, Asked::Upgrade(..)) = (&asker, asked)
        && credentials::comes_as_message(request)
        && let Some(wait_ms) = auth.message_wait_ms()
    {
        let access = Access::Awaited { wait_ms };
        return Ok(Admitted { access, user: None });
    }
    let rights = match &asker {
        Asker::Known(grant) => &grant.rights,
        Asker::Anonymous => auth.anonymous(),
        Asker::BackEnd => match asked {
            Asked::Publish(_) => return Ok(Admitted::default()),
            _ => return Err(only_publishes()),
        },
    };
    let room = match asked {
        Asked::Upgrade(target, _) => room(target),
        Asked::Events(room) | Asked::EventsHead(room) | Asked::Publish(room) => Some(room),
        Asked::Root | Asked::Methods(_) => None,
    };
    let wants_to_join = !matches!(asked, Asked::Publish(_));
    let publish = allowed(rights, room, wants_to_join).ok_or_else(|| {
        if let Asker::Known(_) = asker {
            shell.stats().token_refused(RefusedToken::Rights);
        }
        match has_strangers_cookie {
            true => strangers_cookie(),
            false => not_allowed(&asker, room, wants_to_join),
        }
    })?;
    let (user, expiry) = match asker {
        Asker::Known(grant) => (grant.user, expiry(now, grant.expires_at_s)),
        Asker::BackEnd | Asker::Anonymous => (None, Expiry::NEVER),
    };
    let access = Access::Granted(Pass { publish, expiry });
    Ok(Admitted { access, user })
}

/// Who sends a request, by its token or API key.
fn asker(auth: &Authentication, shown: &Shown<'_>) -> Result<Asker, TokenRefusal> {
    let Shown::Token(token) = shown else {
        return Ok(Asker::Anonymous);
    };
    if auth.is_api_key(token) {
        return Ok(Asker::BackEnd);
    }
    auth.verify(token, unix_seconds()).map(Asker::Known)
}

fn bad_token(refusal: TokenRefusal) -> Plain {
    let body = format!("the token is refused: {refusal}\n");
    Plain::new(StatusCode::UNAUTHORIZED, body).with(BAD_TOKEN)
}

fn room(target: &Target) -> Option<&RoomName> {
    match target {
        Target::Echo => None,
        Target::Raw { room, .. } | Target::Events { room } => Some(room),
    }
}

/// Whether these rights let in, and then whether they let publish. What leads to no room is for everyone who may do
/// anything.
fn allowed(rights: &Rights, room: Option<&RoomName>, wants_to_join: bool) -> Option<bool> {
    let Some(room) = room else {
        return (!rights.are_none()).then_some(true);
    };
    let rights = rights.in_room(room);
    match wants_to_join {
        true => rights.join.then_some(rights.publish),
        false => rights.publish.then_some(true),
    }
}

fn not_allowed(asker: &Asker, room: Option<&RoomName>, wants_to_join: bool) -> Plain {
    let what = match (room, wants_to_join) {
        (Some(room), true) => format!("joining the room {:?}", room.as_str()),
        (Some(room), false) => format!("publishing in the room {:?}", room.as_str()),
        (None, _) => "this".to_owned(),
    };
    match asker {
        Asker::Known(_) | Asker::BackEnd => Plain::new(
            StatusCode::FORBIDDEN,
            format!("{what} is not allowed by the token's claim `rooms`\n"),
        )
        .with(TOO_LITTLE),
        Asker::Anonymous => Plain::new(
            StatusCode::UNAUTHORIZED,
            format!(
                "{what} is not allowed without a token: send one as Authorization: Bearer, or offer the subprotocols \
                 {} and bearer.TOKEN\n",
                credentials::SUBPROTOCOL
            ),
        )
        .with(NO_TOKEN),
    }
}

fn strangers_cookie() -> Plain {
    let body = "a cookie counts for nothing from a page that only `*` or `null` lets in, since it could be anybody's: \
                name the page's origin in `origins`, or send the token as Authorization: Bearer\n";
    Plain::new(StatusCode::UNAUTHORIZED, body).with(NO_TOKEN)
}

fn only_publishes() -> Plain {
    let body =
        "an API key is for publishing, by POST /rooms/{room}/messages; here a token is needed\n";
    Plain::new(StatusCode::FORBIDDEN, body).with(TOO_LITTLE)
}

/// Seconds since 1970, as tokens count.
fn unix_seconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs()
}

fn expiry(now: Tick, expires_at_s: Option<u64>) -> Expiry {
    expires_at_s.map_or(Expiry::NEVER, |at| {
        let left_s = at.saturating_sub(unix_seconds());
        Expiry::at(Tick(now.0.saturating_add(left_s.saturating_mul(1_000))))
    })
}

/// Looks at tokens that came as first messages.
pub fn answer_tokens(shell: &Shell, core: &mut ShardCore, now: Tick) {
    let counts_users = shell.policy().limits.counts_users();
    for _ in 0..TURN_TOKENS_MAX {
        let Some((conn, token)) = core.poll_token() else {
            return;
        };
        let Some(target) = shell.take_awaiting(conn) else {
            continue;
        };
        let verified = verify_message(&shell.policy().auth, now, &target, &token);
        if let Ok((_, Some(user))) = &verified {
            shell.admitted_by_message(core, now, conn, user);
        }
        let input = match verified {
            Ok((pass, user)) => match user.as_deref().filter(|_| counts_users) {
                Some(user) => {
                    let user = Subject::User(user);
                    core.handle(
                        now,
                        Input::AdmittedAs {
                            conn,
                            target,
                            pass,
                            user,
                        },
                    );
                    continue;
                }
                None => Input::Admitted { conn, target, pass },
            },
            Err((reason, why)) => {
                shell.stats().token_refused(reason);
                Input::TokenRefused { conn, why }
            }
        };
        core.handle(now, input);
    }
}

fn verify_message(
    auth: &Authentication,
    now: Tick,
    target: &Target,
    token: &[u8],
) -> Result<(Pass, Option<String>), (RefusedToken, String)> {
    let grant = std::str::from_utf8(token)
        .map_err(|_| TokenRefusal::Malformed)
        .and_then(|token| auth.verify(token.trim_ascii(), unix_seconds()))
        .map_err(|refusal| {
            let why = format!("the token is refused: {refusal}");
            (refusal.counted(), why)
        })?;
    let publish = allowed(&grant.rights, room(target), true).ok_or_else(|| {
        let why = "joining the room is not allowed by the token's claim `rooms`";
        (RefusedToken::Rights, why.to_owned())
    })?;
    let expiry = expiry(now, grant.expires_at_s);
    Ok((Pass { publish, expiry }, grant.user))
}
