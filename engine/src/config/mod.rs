//! Configuration: defaults, then the file, then the environment, then flags; the later wins.

pub mod cluster;
pub mod cpus;
pub mod keys;
pub mod layer;
pub mod origins;
pub mod render;
pub mod sections;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use figment::Figment;

pub use layer::{Layer, Origin};
pub use settings::Settings;

use keys::KEYS;
use sections::Places;

/// The effective settings, and where each was set.
#[derive(Clone, Debug)]
pub struct Config {
    /// The values.
    pub settings: Settings,
    origins: BTreeMap<&'static str, Origin>,
    places: Places,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not for us.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong where.
        message: String,
    },
    /// No such key.
    #[error("unknown key `{name}` ({origin}); `ringmain config default` prints all there are")]
    UnknownKey {
        /// As it is spelt there.
        name: String,
        /// Where.
        origin: Origin,
    },
    /// The value cannot be read.
    #[error("`{key}` ({origin}): {problem}")]
    Value {
        /// The key.
        key: String,
        /// Where.
        origin: Origin,
        /// What is wrong with it.
        problem: String,
    },
    /// The value is not within its range.
    #[error("`{key}` ({origin}) is {value}; allowed: {allowed}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// Where.
        origin: Origin,
        /// Its value.
        value: String,
        /// The range.
        allowed: String,
    },
}

/// All that is wrong, a line each.
#[derive(Debug, Default)]
pub struct Problems(Vec<ConfigError>);

impl Problems {
    fn push(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl From<ConfigError> for Problems {
    fn from(error: ConfigError) -> Self {
        Problems(vec![error])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Config {
    /// Merges layers, the later over the earlier, over the defaults, and checks the result.
    ///
    /// # Errors
    /// A value that cannot be read, or all that are out of their range.
    pub fn merge(layers: &[Layer]) -> Result<Self, Problems> {
        let defaults = Layer::defaults(&Settings::default());
        let layers: Vec<&Layer> = std::iter::once(&defaults).chain(layers).collect();
        let merged = layers
            .iter()
            .fold(Figment::new(), |merged, layer| merged.merge(layer));
        let origin = |key: &str| {
            let source = merged.find_metadata(key);
            let layer = layers
                .iter()
                .find(|layer| source.is_some_and(|source| source.name == layer.name()));
            let origin = layer.and_then(|layer| layer.origin(key));
            origin.cloned().unwrap_or(Origin::Default)
        };
        let mut settings: Settings = merged.extract().map_err(|error| {
            let key = error.path.join(".");
            ConfigError::Value {
                origin: origin(&key),
                problem: error.kind.to_string(),
                key,
            }
        })?;
        let mut places = Places::new();
        if let Some((sections, at)) = layers.iter().rev().find_map(|layer| layer.sections()) {
            settings.sections = sections.clone();
            places = at.clone();
        }
        let config = Config {
            settings,
            places,
            origins: KEYS
                .iter()
                .map(|key| (key.name, origin(key.name)))
                .collect(),
        };
        config.check_ranges()
    }

    fn check_ranges(self) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        for key in KEYS
            .iter()
            .filter(|key| key.is_out_of_range(&self.settings))
        {
            problems.push(ConfigError::OutOfRange {
                key: key.name,
                origin: self.origin(key.name),
                value: (key.show)(&self.settings),
                allowed: key.allowed.to_string(),
            });
        }
        problems.none_or(self)
    }

    /// Where the tables of sections stand.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Where a key was set.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}
