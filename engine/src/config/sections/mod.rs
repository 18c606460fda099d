//! Sections of the configuration file: tables, and lists of tables, which the flat keys cannot say. They stand in the
//! file alone. Each is a type of its own in a file of its own.
//!
//! A new one is a type that is a [`Section`], a field of [`Sections`], and an arm of `Sections::take`.

mod rooms;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::layer::Origin;
use super::{ConfigError, Problems};

pub use rooms::Rooms;

/// A table of the file, or one of a list of them. Its `Deserialize` refuses unknown keys.
pub trait Section: Sized + for<'de> Deserialize<'de> {
    /// Its name in the file.
    const NAME: &'static str;
    /// What `config default` prints of it, without comment signs: what it is for, and all keys.
    const EXAMPLE: &'static str;

    /// What is wrong with its values, and with which key.
    ///
    /// # Errors
    /// The key, and what is wrong with it.
    fn check(&self) -> Result<(), (&'static str, String)>;

    /// Its keys and values as TOML, a line each.
    fn toml(&self) -> String;
}

/// All sections of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sections {
    /// `[[rooms]]`, in their order: the first that matches decides.
    pub rooms: Vec<Rooms>,
}

/// Where tables stand, by their path such as `rooms[0]`.
pub type Places = BTreeMap<String, Origin>;

impl Sections {
    /// Takes a value of the file if its key names a section. Returns whether it does.
    pub(super) fn take(
        &mut self,
        source: &Source<'_>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        places: &mut Places,
        problems: &mut Problems,
    ) -> bool {
        match name {
            Rooms::NAME => {
                let max = ringmain_core::room_settings::ROOM_PATTERNS_MAX;
                self.rooms = source.list(value, max, places, problems);
            }
            _ => return false,
        }
        true
    }

    /// The sections that are not what they are in `new`: name, and the old and new number of tables.
    pub fn changes(&self, new: &Sections) -> impl Iterator<Item = (&'static str, String, String)> {
        let count = |tables: usize| match tables {
            1 => "1 table".to_owned(),
            _ => format!("{tables} tables"),
        };
        let rooms = (self.rooms != new.rooms)
            .then(|| ("[[rooms]]", count(self.rooms.len()), count(new.rooms.len())));
        rooms.into_iter()
    }

    /// Each section's example, as comments for a file.
    pub fn examples() -> String {
        let comment = |line: &str| format!("# {line}\n").replace("# \n", "#\n");
        let examples = [Rooms::EXAMPLE];
        examples
            .iter()
            .map(|example| {
                let lines: String = example.lines().map(comment).collect();
                format!("\n{lines}")
            })
            .collect()
    }

    /// All tables as TOML, each with the place where it stands.
    pub fn toml(&self, places: &Places) -> String {
        let rooms = self.rooms.iter().enumerate();
        rooms
            .map(|(index, entry)| {
                let origin = places.get(&format!("{}[{index}]", Rooms::NAME));
                let origin = origin.map_or_else(String::new, |origin| format!(" # {origin}"));
                format!("\n[[{}]]{origin}\n{}", Rooms::NAME, entry.toml())
            })
            .collect()
    }
}

/// A configuration file, to say where in it something stands.
pub(super) struct Source<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Source<'_> {
    /// Where in the file this is.
    pub fn origin(&self, at: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: self.text[..at].matches('\n').count() + 1,
        }
    }

    /// Reads a list of tables, at most `max`.
    fn list<T: Section>(
        &self,
        value: &Spanned<DeValue<'_>>,
        max: usize,
        places: &mut Places,
        problems: &mut Problems,
    ) -> Vec<T> {
        let name = T::NAME;
        let wrong = |problem: String| ConfigError::Value {
            key: name.to_owned(),
            origin: self.origin(value.span().start),
            problem,
        };
        let Some(tables) = value.get_ref().as_array() else {
            problems.push(wrong(format!(
                "it is a list of tables: each begins with a line `[[{name}]]`"
            )));
            return Vec::new();
        };
        if tables.len() > max {
            problems.push(wrong(format!(
                "there are {} of them; at most {max} are allowed",
                tables.len()
            )));
            return Vec::new();
        }
        let mut read = Vec::with_capacity(tables.len());
        for (index, table) in tables.iter().enumerate() {
            let path = format!("{name}[{index}]");
            places.insert(path.clone(), self.origin(table.span().start));
            match self.table(&path, table) {
                Ok(section) => read.push(section),
                Err(problem) => problems.push(problem),
            }
        }
        read
    }

    /// Reads one table.
    ///
    /// # Errors
    /// The path of the key that is wrong, its line, and what is wrong with it.
    pub fn table<T: Section>(
        &self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<T, ConfigError> {
        let span = value.span();
        let table = value.get_ref().as_table();
        let wrong = |key: Option<(&str, usize)>, problem: String| ConfigError::Value {
            key: key.map_or_else(|| path.to_owned(), |(key, _)| format!("{path}.{key}")),
            origin: self.origin(key.map_or(span.start, |(_, at)| at)),
            problem,
        };
        let section = T::deserialize(ValueDeserializer::from(value.clone())).map_err(|error| {
            let key = key_at(table, error.span());
            wrong(key, error.message().to_owned())
        })?;
        section.check().map_err(|(name, problem)| {
            let key = table.and_then(|table| {
                let (key, _) = table.iter().find(|(key, _)| key.get_ref() == name)?;
                Some((name, key.span().start))
            });
            wrong(key, problem)
        })?;
        Ok(section)
    }
}

/// The key of a table in which an error lies, and where it begins.
fn key_at<'a>(
    table: Option<&'a DeTable<'_>>,
    span: Option<Range<usize>>,
) -> Option<(&'a str, usize)> {
    let at = span?.start;
    let (key, _) = table?.iter().find(|(key, value)| {
        key.span().contains(&at) || value.span().contains(&at) || value.span().start == at
    })?;
    Some((key.get_ref(), key.span().start))
}
