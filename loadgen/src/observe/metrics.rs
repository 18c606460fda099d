//! The target's own numbers, in Prometheus' text format.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a reading may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is read, in bytes.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// Where the metrics are.
#[derive(Clone, Debug)]
pub struct MetricsSource {
    url: String,
    agent: ureq::Agent,
}

/// The metrics could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the metrics at {url}: {cause}. Check --metrics, or leave it out")]
pub struct MetricsError {
    url: String,
    cause: Box<ureq::Error>,
}

impl MetricsSource {
    /// Of an `http://` URL.
    pub fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(READ_TIMEOUT));
        MetricsSource {
            url: url.to_owned(),
            agent: config.build().into(),
        }
    }

    /// The values now, each summed over its labels.
    ///
    /// # Errors
    /// Nothing answers there, or not with 200.
    pub fn read(&self) -> Result<BTreeMap<String, f64>, MetricsError> {
        let read = || -> Result<String, ureq::Error> {
            let mut response = self.agent.get(&self.url).call()?;
            let body = response.body_mut().with_config().limit(BODY_BYTES_MAX);
            body.read_to_string()
        };
        let text = read().map_err(|cause| MetricsError {
            url: self.url.clone(),
            cause: Box::new(cause),
        })?;
        Ok(parse(&text))
    }
}

/// Adds up the samples of each name.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name_end = line.find(['{', ' ']).unwrap_or(line.len());
        let (name, rest) = line.split_at(name_end);
        // A label's value may hold anything but a bare quote: the last brace ends the labels.
        let value = rest.rsplit_once('}').map_or(rest, |(_, value)| value);
        if let Some(Ok(value)) = value.split_whitespace().next().map(str::parse::<f64>)
            && value.is_finite()
        {
            *sums.entry(name.to_owned()).or_insert(0.0) += value;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_are_added_up() {
        let text = "# HELP a b\n# TYPE a counter\na_total{shard=\"0\"} 3\na_total{shard=\"1 } 9\"} 4.5 1700000000\n\
                    b 2\nc{x=\"y\"} NaN\nnonsense\n";
        let sums = parse(text);
        assert_eq!(sums.get("a_total"), Some(&7.5));
        assert_eq!(sums.get("b"), Some(&2.0));
        assert_eq!(sums.len(), 2);
    }
}
