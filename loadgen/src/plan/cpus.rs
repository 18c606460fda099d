//! Lists of cores.

/// Reads a list such as `0,2-3`, in rising order and each core once; `None` if it is none.
pub fn parse_cpus(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last {
            return None;
        }
        cpus.extend((first..=last).map(usize::from));
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// Writes a list as [`parse_cpus`] reads it.
pub fn format_cpus(cpus: &[usize]) -> String {
    let words: Vec<_> = cpus
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            run => run.iter().map(usize::to_string).collect(),
        })
        .collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        assert_eq!(parse_cpus("3,0-1, 1"), Some(vec![0, 1, 3]));
        assert_eq!(format_cpus(&[0, 1, 3]), "0-1,3");
        for wrong in ["", "a", "2-1", "1-", "-1", "1,,2"] {
            assert_eq!(parse_cpus(wrong), None, "{wrong}");
        }
    }
}
