//! Which CPUs the shards are pinned to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use super::value::{ValueError, deserialize_from_text};

/// CPUs have numbers below this: what an affinity mask holds.
const CPUS_END: usize = 1024;

/// What the operator says of the CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuSelection {
    /// All that the process may use.
    Allowed,
    /// These, in this order.
    List(CpuList),
}

/// CPUs by number, written as `0,2-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

deserialize_from_text!(CpuSelection);

impl FromStr for CpuSelection {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "allowed" {
            return Ok(CpuSelection::Allowed);
        }
        let list = parse(text).filter(|cpus| !cpus.is_empty());
        list.map(|cpus| CpuSelection::List(CpuList(cpus)))
            .ok_or_else(|| {
                ValueError::new(
                    text,
                    "a list of CPUs, each once, such as 0,2-3, nor `allowed`",
                )
            })
    }
}

/// The numbers of a list, or `None` if it is none or names a CPU twice.
fn parse(text: &str) -> Option<Vec<usize>> {
    let number = |text: &str| {
        text.trim()
            .parse()
            .ok()
            .filter(|&cpu: &usize| cpu < CPUS_END)
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || (first..=last).any(|cpu| cpus.contains(&cpu)) {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

impl fmt::Display for CpuSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CpuSelection::Allowed => f.write_str("allowed"),
            CpuSelection::List(list) => list.fmt(f),
        }
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.as_slice();
        let mut separator = "";
        while let Some(&first) = cpus.first() {
            let run = cpus
                .iter()
                .zip(first..)
                .take_while(|&(&cpu, expected)| cpu == expected)
                .count();
            match run {
                1 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{}", first + run - 1)?,
            }
            separator = ",";
            cpus = &cpus[run..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Option<Vec<usize>> {
        match text.parse() {
            Ok(CpuSelection::List(list)) => Some(list.0),
            _ => None,
        }
    }

    #[test]
    fn a_list_has_numbers_and_ranges_in_any_order() {
        assert_eq!(list("0"), Some(vec![0]));
        assert_eq!(list("0,2-3"), Some(vec![0, 2, 3]));
        assert_eq!(list("5, 1 - 2"), Some(vec![5, 1, 2]));
        assert_eq!("allowed".parse(), Ok(CpuSelection::Allowed));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in [
            "", ",", "0,", "3-2", "-1", "1-2-3", "a", "1024", "0,0", "2,1-3",
        ] {
            let error = wrong.parse::<CpuSelection>().unwrap_err().to_string();
            assert!(error.contains("such as 0,2-3"), "{error}");
        }
    }

    #[test]
    fn a_list_is_shown_as_it_is_written() {
        for text in ["0", "0,2-3", "5,1-2", "0-61"] {
            assert_eq!(CpuList(list(text).unwrap()).to_string(), text);
        }
    }
}
