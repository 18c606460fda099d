//! Values of settings, and which of two is the better one.

use std::fmt;

use serde::{Serialize, Serializer};

/// What "unlimited" is as a number.
pub const UNLIMITED: u64 = u64::MAX;

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One or several numbers, as sysctls and limits have them.
    Numbers(Vec<u64>),
    /// A choice.
    Word(String),
}

impl Value {
    /// Reads what the kernel shows: numbers apart by white space, `unlimited`, a word, or a list of
    /// choices with the one in force in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let numbers: Option<Vec<u64>> = words.iter().map(|word| number(word)).collect();
        match (numbers, words.as_slice()) {
            (_, []) => None,
            (Some(numbers), _) => Some(Value::Numbers(numbers)),
            (None, [word]) => Some(Value::Word(unbracketed(word).to_owned())),
            (None, words) => {
                let chosen = words.iter().find(|word| word.starts_with('['))?;
                Some(Value::Word(unbracketed(chosen).to_owned()))
            }
        }
    }

    /// The first number.
    pub fn first(&self) -> Option<u64> {
        self.numbers().first().copied()
    }

    /// The last number.
    pub fn last(&self) -> Option<u64> {
        self.numbers().last().copied()
    }

    /// The numbers; none of a word.
    pub fn numbers(&self) -> &[u64] {
        match self {
            Value::Numbers(numbers) => numbers,
            Value::Word(_) => &[],
        }
    }
}

fn number(word: &str) -> Option<u64> {
    match word {
        "unlimited" => Some(UNLIMITED),
        word => word.parse().ok(),
    }
}

fn unbracketed(word: &str) -> &str {
    word.trim_start_matches('[').trim_end_matches(']')
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Numbers(vec![number])
    }
}

impl<const COUNT: usize> From<[u64; COUNT]> for Value {
    fn from(numbers: [u64; COUNT]) -> Self {
        Value::Numbers(numbers.to_vec())
    }
}

impl From<&str> for Value {
    fn from(word: &str) -> Self {
        Value::Word(word.to_owned())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Word(word) => f.write_str(word),
            Value::Numbers(numbers) => {
                let words = numbers.iter().map(|&number| match number {
                    UNLIMITED => "unlimited".to_owned(),
                    number => number.to_string(),
                });
                f.write_str(&words.collect::<Vec<_>>().join(" "))
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which values are as good as the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Every number may be larger.
    AtLeast,
    /// Every number may be smaller.
    AtMost,
    /// No other.
    Exactly,
    /// A range: it may begin earlier and end later.
    Covers,
}

impl Direction {
    /// The word in the script's table and in the documentation.
    pub const fn word(self) -> &'static str {
        match self {
            Direction::AtLeast => "at-least",
            Direction::AtMost => "at-most",
            Direction::Exactly => "exactly",
            Direction::Covers => "covers",
        }
    }

    /// What to set: the wanted value, but in no part worse than the current one.
    pub fn better(self, current: &Value, wanted: &Value) -> Value {
        let (Value::Numbers(have), Value::Numbers(want)) = (current, wanted) else {
            return wanted.clone();
        };
        if have.len() != want.len() {
            return wanted.clone();
        }
        let pick = |(index, (&have, &want)): (usize, (&u64, &u64))| match self {
            Direction::AtLeast => have.max(want),
            Direction::AtMost => have.min(want),
            Direction::Exactly => want,
            Direction::Covers if index == 0 => have.min(want),
            Direction::Covers => have.max(want),
        };
        Value::Numbers(have.iter().zip(want).enumerate().map(pick).collect())
    }

    /// Whether the current value will do.
    pub fn is_met(self, current: &Value, wanted: &Value) -> bool {
        self.better(current, wanted) == *current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_kernel_shows_is_read() {
        let value = |text| Value::parse(text).unwrap();
        assert_eq!(
            value("4096\t131072\t33554432\n"),
            [4096, 131_072, 33_554_432].into()
        );
        assert_eq!(value("always [madvise] never"), "madvise".into());
        assert_eq!(value("unlimited").to_string(), "unlimited");
        assert_eq!(value("madvise"), "madvise".into());
        assert_eq!(Value::parse(" \n"), None);
        assert_eq!(Value::parse("two words"), None);
    }

    #[test]
    fn a_range_is_only_widened() {
        let range = |first: u64, last: u64| Value::from([first, last]);
        let better = |have, want| Direction::Covers.better(&have, &want);
        assert_eq!(
            better(range(32_768, 60_999), range(10_240, 65_535)),
            range(10_240, 65_535)
        );
        assert_eq!(
            better(range(1024, 60_999), range(10_240, 65_535)),
            range(1024, 65_535)
        );
    }

    #[test]
    fn a_word_and_another_number_of_numbers_are_replaced() {
        assert_eq!(
            Direction::AtLeast.better(&5.into(), &[1, 2].into()),
            [1, 2].into()
        );
        assert_eq!(
            Direction::Exactly.better(&"always".into(), &"madvise".into()),
            "madvise".into()
        );
    }

    fn direction() -> impl Strategy<Value = Direction> {
        prop::sample::select(vec![
            Direction::AtLeast,
            Direction::AtMost,
            Direction::Exactly,
            Direction::Covers,
        ])
    }

    proptest! {
        #[test]
        fn what_is_set_meets_what_is_wanted_and_setting_it_again_changes_nothing(
            direction in direction(),
            pairs in prop::collection::vec((any::<u64>(), any::<u64>()), 1..4),
        ) {
            let (have, want): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
            let (have, want) = (Value::Numbers(have), Value::Numbers(want));
            let set = direction.better(&have, &want);
            prop_assert!(direction.is_met(&set, &want));
            prop_assert_eq!(direction.better(&set, &have) == set, direction != Direction::Exactly || set == have);
        }

        #[test]
        fn text_and_value_agree(numbers in prop::collection::vec(any::<u64>(), 1..4)) {
            let value = Value::Numbers(numbers);
            prop_assert_eq!(Value::parse(&value.to_string()), Some(value));
        }
    }
}
