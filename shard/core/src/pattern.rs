//! Patterns for the names of rooms.

use ringmain_router::room::ROOM_NAME_BYTES_MAX;

/// A pattern in which `*` stands for any characters, none included; all else stands for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It would match the empty name, which no room has.
    #[error("a pattern is not empty; `*` matches every room")]
    Empty,
    /// No room has a name of that length.
    #[error("a pattern has at most {ROOM_NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
}

impl Pattern {
    /// Takes a text as a pattern.
    ///
    /// # Errors
    /// It is empty, or longer than any name.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        match text.len() {
            0 => Err(PatternError::Empty),
            bytes if bytes > ROOM_NAME_BYTES_MAX => Err(PatternError::TooLong(bytes)),
            _ => Ok(Pattern(text.to_owned())),
        }
    }

    /// What matches every name.
    pub fn any() -> Self {
        Pattern("*".to_owned())
    }

    /// The text that it was made of.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches all of a name. Takes at most the product of both lengths in steps.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where to go on if what follows the last star does not fit: the star takes one byte more. An earlier
        // star never needs to take more than it has.
        let mut star = None;
        while seen < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, seen));
                    at += 1;
                }
                Some(byte) if *byte == name[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => match &mut star {
                    Some((place, taken)) => {
                        *taken += 1;
                        at = *place + 1;
                        seen = *taken;
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
    }

    /// What the words above say, and slow.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| naive(rest, &name[taken..])),
            Some((byte, rest)) => name.first() == Some(byte) && naive(rest, &name[1..]),
        }
    }

    #[test]
    fn a_star_stands_for_anything_and_all_else_for_itself() {
        for (pattern, name) in [
            ("chat:*", "chat:lobby"),
            ("chat:*", "chat:"),
            ("*", "x"),
            ("*:news", "de:news"),
            ("a*b*c", "a-b-b-c"),
            ("lobby", "lobby"),
            ("räume/*", "räume/größe"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("chat:*", "chat"),
            ("chat:*", "a-chat:b"),
            ("lobby", "lobby2"),
            ("Lobby", "lobby"),
            ("a?c", "abc"),
            ("a*b*c", "a-c"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_matches_nothing_is_refused() {
        assert_eq!(Pattern::new(""), Err(PatternError::Empty));
        assert_eq!(
            Pattern::new(&"x".repeat(256)),
            Err(PatternError::TooLong(256))
        );
        assert!(Pattern::new(&"x".repeat(255)).is_ok());
    }

    proptest! {
        #[test]
        fn it_matches_what_the_definition_matches(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
