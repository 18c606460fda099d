//! Why a token is refused.

use ringmain_core::RefusedToken;
use ringmain_core::access::RULES_MAX;

use super::claims::USER_BYTES_MAX;
use super::token::TOKEN_BYTES_MAX;

/// Why a token grants nothing. Its text is for the client, and never quotes the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// No tokens are taken here.
    #[error("no keys for tokens are configured here")]
    NotConfigured,
    /// Too many bytes.
    #[error("it is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// It is no token at all.
    #[error(
        "it is no JSON Web Token: three parts in base64url with dots between, of which two are JSON objects"
    )]
    Malformed,
    /// Its header asks for what is not known here.
    #[error("its header has `crit`: extensions are not known here")]
    Extension,
    /// No key has its algorithm.
    #[error("its algorithm (`alg`) is none that its key is for")]
    AlgorithmNotAllowed,
    /// No key has its identifier.
    #[error("no key has its identifier (`kid`)")]
    UnknownKey,
    /// No key has signed it.
    #[error("its signature is not right")]
    BadSignature,
    /// It has ended.
    #[error("it has expired (`exp`)")]
    Expired,
    /// It has not begun.
    #[error("it is not valid yet (`nbf`)")]
    NotYetValid,
    /// Somebody else has issued it.
    #[error("its issuer (`iss`) is not one whose tokens are taken here")]
    WrongIssuer,
    /// It is for somebody else.
    #[error("it is not meant for this server (`aud`)")]
    WrongAudience,
    /// What it claims makes no sense.
    #[error("{0}")]
    InvalidClaims(ClaimFault),
}

/// What is wrong with a token's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    /// Of `exp` or `nbf`, whose name this is.
    #[error("its claim `{0}` is no number of seconds since 1970")]
    Time(&'static str),
    /// Of `sub`.
    #[error("its claim `sub` is no text of 1 to {USER_BYTES_MAX} bytes")]
    Subject,
    /// Of `rooms`.
    #[error(
        "its claim `rooms` is no list of patterns, or of objects such as {{\"match\": \"chat:*\", \"join\": true, \
         \"publish\": false}}"
    )]
    Rooms,
    /// Of `rooms`.
    #[error("its claim `rooms` has more than {RULES_MAX} entries")]
    TooManyRooms,
    /// Of `rooms`.
    #[error("in its claim `rooms`, {0}")]
    Pattern(ringmain_core::pattern::PatternError),
}

impl TokenRefusal {
    /// Its name, where refusals are counted too.
    pub fn name(self) -> &'static str {
        self.counted().name()
    }

    /// As what it is counted.
    pub fn counted(self) -> RefusedToken {
        match self {
            TokenRefusal::NotConfigured => RefusedToken::NotConfigured,
            TokenRefusal::TooLong => RefusedToken::TooLong,
            TokenRefusal::Malformed => RefusedToken::Malformed,
            TokenRefusal::Extension => RefusedToken::Extension,
            TokenRefusal::AlgorithmNotAllowed => RefusedToken::Algorithm,
            TokenRefusal::UnknownKey => RefusedToken::UnknownKey,
            TokenRefusal::BadSignature => RefusedToken::Signature,
            TokenRefusal::Expired => RefusedToken::Expired,
            TokenRefusal::NotYetValid => RefusedToken::NotYetValid,
            TokenRefusal::WrongIssuer => RefusedToken::Issuer,
            TokenRefusal::WrongAudience => RefusedToken::Audience,
            TokenRefusal::InvalidClaims(_) => RefusedToken::Claims,
        }
    }
}
