//! How long messages are.

use crate::payload::Stamp;
use crate::random::mix;

/// One size, or several with weights. Which one a message has follows from its publisher and number, so a
/// receiver knows it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Each size with the sum of the weights up to it.
    choices: Vec<(usize, u64)>,
}

/// The heaviest weight.
const WEIGHT_MAX: u64 = 1_000_000;
/// Sizes of one run.
const SIZES_MAX: usize = 64;

impl Sizes {
    /// Every message has this size.
    pub fn one(bytes: usize) -> Self {
        Sizes {
            choices: vec![(bytes, 1)],
        }
    }

    /// Reads `64` or `64:9,4096:1`; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Sizes> {
        let mut choices = Vec::new();
        let mut sum = 0;
        for choice in text.split(',') {
            let (bytes, weight) = choice.split_once(':').unwrap_or((choice, "1"));
            let weight = weight
                .parse()
                .ok()
                .filter(|weight| (1..=WEIGHT_MAX).contains(weight))?;
            sum += weight;
            choices.push((bytes.parse().ok()?, sum));
        }
        (choices.len() <= SIZES_MAX).then_some(Sizes { choices })
    }

    /// The shortest and the longest.
    pub fn bounds(&self) -> (usize, usize) {
        let sizes = || self.choices.iter().map(|(bytes, _)| *bytes);
        (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0))
    }

    /// The size of one message.
    #[inline]
    pub fn of(&self, publisher: u32, sequence: u64) -> usize {
        let [.., (last, sum)] = self.choices[..] else {
            return 0;
        };
        if self.choices.len() == 1 {
            return last;
        }
        let at = mix(sequence ^ u64::from(publisher).rotate_left(40)) % sum;
        let choice = self.choices.iter().find(|(_, sum)| at < *sum);
        choice.map_or(last, |(bytes, _)| *bytes)
    }

    /// Reads the stamp of a message; `None` if anything in it is not as it was written.
    #[inline]
    pub fn read(&self, message: &[u8]) -> Option<Stamp> {
        if let [(bytes, _)] = self.choices[..] {
            return Stamp::read(message, bytes);
        }
        let stamp = Stamp::read(message, message.len())?;
        (self.of(stamp.publisher, stamp.sequence) == message.len()).then_some(stamp)
    }
}

impl std::fmt::Display for Sizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [(bytes, _)] = self.choices[..] {
            return write!(f, "{bytes}");
        }
        let mut before = 0;
        for (index, (bytes, sum)) in self.choices.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{bytes}:{}", sum - before)?;
            before = *sum;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;

    #[test]
    fn sizes_come_as_often_as_they_weigh() {
        let sizes = Sizes::parse("64:9,4096:1").unwrap();
        assert_eq!(sizes.bounds(), (64, 4096));
        assert_eq!(sizes.to_string(), "64:9,4096:1");
        let large = (0..10_000)
            .filter(|&number| sizes.of(7, number) == 4096)
            .count();
        assert!((800..1_200).contains(&large), "{large} of 10,000");
        assert_eq!(Sizes::parse("128").unwrap(), Sizes::one(128));
        for nonsense in ["", "x", "64:0", "64:-1", "64:", "64,,65"] {
            assert_eq!(Sizes::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_message_of_another_size_than_its_number_has_is_changed() {
        let sizes = Sizes::parse("64,128").unwrap();
        let stamp = Stamp {
            run: 1,
            publisher: 2,
            sequence: 3,
            time_ns: 4,
            sent_ns: 5,
        };
        let right = sizes.of(2, 3);
        let mut message = Vec::new();
        stamp.write(right, &mut message);
        assert_eq!(sizes.read(&message), Some(stamp));
        stamp.write(64 + 128 - right, &mut message);
        assert_eq!(sizes.read(&message), None);
    }
}
