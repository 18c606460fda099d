//! Where values come from: each source becomes a layer of texts that know their place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use toml::de::DeTable;

use super::keys::{self, KEYS};
use super::sections::{Places, Sections, Source};
use super::settings::Settings;
use super::{ConfigError, Problems};

/// What all settings in the environment begin with.
const PREFIX: &str = "RINGMAIN_";
/// Names the configuration file, and is no key.
pub const FILE_VARIABLE: &str = "RINGMAIN_CONFIG";

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In a line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from one.
        line: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// By this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Origin::Environment(variable) => {
                write!(f, "environment variable {variable}")
            }
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The values of one source, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    name: &'static str,
    entries: BTreeMap<String, (String, Origin)>,
    /// Of a file alone.
    sections: Option<(Sections, Places)>,
}

impl Layer {
    /// What holds where nothing is set.
    pub fn defaults(settings: &Settings) -> Self {
        let entry =
            |key: &keys::Key| (key.name.to_owned(), ((key.show)(settings), Origin::Default));
        Layer {
            name: "defaults",
            entries: KEYS.iter().map(entry).collect(),
            sections: None,
        }
    }

    /// What a configuration file sets.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML; or some of its keys are unknown or hold something else
    /// than one value.
    pub fn file(path: &Path) -> Result<Self, Problems> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::toml(path, &text)
    }

    /// What the text of a configuration file sets.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn toml(path: &Path, text: &str) -> Result<Self, Problems> {
        // Not the error's own text, which quotes the line: it may hold a secret.
        let syntax = |error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text[..at.min(text.len())].matches('\n').count() + 1;
            ConfigError::Syntax {
                path: path.to_owned(),
                message: format!("line {line}: {}", error.message()),
            }
        };
        let values: toml::Table = toml::from_str(text).map_err(syntax)?;
        let places = DeTable::parse(text).map_err(syntax)?;
        let mut layer = Layer {
            name: "file",
            ..Layer::default()
        };
        let mut problems = Problems::default();
        let source = Source { path, text };
        let (mut sections, mut tables) = (Sections::default(), Places::new());
        for (key, value) in places.get_ref() {
            let name: &str = key.get_ref();
            if sections.take(&source, name, value, &mut tables, &mut problems) {
                continue;
            }
            let origin = source.origin(key.span().start);
            let found = keys::find(name);
            let takes_list = found.is_some_and(|key| matches!(key.allowed, keys::Allowed::List(_)));
            let value = values.get(name).map(|value| match value {
                toml::Value::Array(items) if takes_list => list_text(items),
                value => plain_text(value),
            });
            match (found, value) {
                (None, _) => problems.push(ConfigError::UnknownKey {
                    name: name.to_owned(),
                    origin,
                }),
                (Some(_), Some(Some(value))) => {
                    layer.entries.insert(name.to_owned(), (value, origin));
                }
                (Some(key), _) => problems.push(ConfigError::Value {
                    key: key.name.to_owned(),
                    origin,
                    problem: match key.allowed {
                        keys::Allowed::List(_) => "it has to be a list of strings",
                        _ => "it has to be one string or number",
                    }
                    .to_owned(),
                }),
            }
        }
        layer.sections = Some((sections, tables));
        problems.none_or(layer)
    }

    /// What the environment sets.
    ///
    /// # Errors
    /// Variables that begin with `RINGMAIN_` and name no key, or are not UTF-8.
    pub fn environment(
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Problems> {
        let mut layer = Layer {
            name: "environment",
            ..Layer::default()
        };
        let mut problems = Problems::default();
        for (variable, value) in variables {
            let variable = variable.to_string_lossy().into_owned();
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            if variable == FILE_VARIABLE || is_service_link(rest) {
                continue;
            }
            let origin = Origin::Environment(variable.clone());
            let key = KEYS.iter().find(|key| key.variable() == variable);
            match (key, value.into_string()) {
                (Some(key), Ok(value)) => {
                    layer.entries.insert(key.name.to_owned(), (value, origin));
                }
                (Some(key), Err(_)) => problems.push(ConfigError::Value {
                    key: key.name.to_owned(),
                    origin,
                    problem: "it has to be UTF-8".to_owned(),
                }),
                (None, _) => problems.push(ConfigError::UnknownKey {
                    name: variable,
                    origin,
                }),
            }
        }
        problems.none_or(layer)
    }

    /// What flags set: pairs of key and value.
    pub fn flags(values: impl Iterator<Item = (&'static str, String)>) -> Self {
        let entry = |(key, value): (&'static str, String)| {
            let flag = format!("--{}", key.replace('_', "-"));
            (key.to_owned(), (value, Origin::Flag(flag)))
        };
        Layer {
            name: "flags",
            entries: values.map(entry).collect(),
            sections: None,
        }
    }

    /// Where a key was set, if in this layer.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entries.get(key).map(|(_, origin)| origin)
    }

    /// The sections of a file, and where their tables stand.
    pub fn sections(&self) -> Option<&(Sections, Places)> {
        self.sections.as_ref()
    }

    /// Its name in the merged configuration.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let entry = |(key, (text, _)): (&String, &(String, Origin))| {
            (key.clone(), Value::from(text.as_str()))
        };
        let values: Dict = self.entries.iter().map(entry).collect();
        Ok(Profile::Default.collect(values))
    }
}

/// A single TOML value as text.
fn plain_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A list of strings as text.
fn list_text(items: &[toml::Value]) -> Option<String> {
    let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
    items.map(|items| items.join(","))
}

/// Whether a variable, its prefix cut off, is one of those that Kubernetes sets in every pod for a
/// service named `ringmain` or `ringmain-...`: `RINGMAIN_SERVICE_HOST`, `RINGMAIN_PORT_8000_TCP_ADDR`
/// and so on. They are nobody's mistake and no settings.
fn is_service_link(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let is_number = |word: &str| word.parse::<u16>().is_ok();
    words
        .windows(2)
        .any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]))
        || words.last() == Some(&"PORT")
        || words.windows(3).any(|three| {
            three[0] == "PORT" && is_number(three[1]) && matches!(three[2], "TCP" | "UDP" | "SCTP")
        })
}
