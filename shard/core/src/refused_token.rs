//! Why tokens are refused, as it is counted.

/// Why a token has got somebody nothing. The names are the metrics' labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusedToken {
    /// No tokens are taken here.
    NotConfigured,
    /// Too many bytes.
    TooLong,
    /// It is no token at all.
    Malformed,
    /// Its header asks for what is not known here.
    Extension,
    /// No key has its algorithm.
    Algorithm,
    /// No key has its identifier.
    UnknownKey,
    /// No key has signed it.
    Signature,
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// Somebody else has issued it.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// What it claims makes no sense.
    Claims,
    /// It is good, and does not allow what was asked for.
    Rights,
}

impl RefusedToken {
    /// All names, in the order of their numbers.
    pub const NAMES: [(&'static str, RefusedToken); 13] = [
        ("not_configured", RefusedToken::NotConfigured),
        ("too_long", RefusedToken::TooLong),
        ("malformed", RefusedToken::Malformed),
        ("extension", RefusedToken::Extension),
        ("algorithm", RefusedToken::Algorithm),
        ("unknown_key", RefusedToken::UnknownKey),
        ("signature", RefusedToken::Signature),
        ("expired", RefusedToken::Expired),
        ("not_yet_valid", RefusedToken::NotYetValid),
        ("issuer", RefusedToken::Issuer),
        ("audience", RefusedToken::Audience),
        ("claims", RefusedToken::Claims),
        ("rights", RefusedToken::Rights),
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_stand_in_the_order_of_the_numbers() {
        for (place, (name, reason)) in RefusedToken::NAMES.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{name}");
            assert_eq!(reason.name(), name);
        }
    }
}
