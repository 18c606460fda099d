//! Sections of the configuration file: tables, and lists of tables, which the flat keys cannot say. They stand in the
//! file alone. Each is a type of its own in a file of its own.
//!
//! A new one is a type that is a [`Section`], a field of [`Sections`], and an arm of `Sections::take`.

mod auth;
mod cluster;
mod commands;
pub mod limits;
mod rooms;
mod tls;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::layer::Origin;
use super::{ConfigError, Problems};

pub use auth::{Auth, AuthApiKey, AuthKey};
pub use cluster::Cluster;
pub use commands::CommandAccess;
pub use limits::Limits;
pub use rooms::Rooms;
pub use tls::Tls;

/// A table of the file, or one of a list of them. Its `Deserialize` refuses unknown keys.
pub trait Section: Sized + for<'de> Deserialize<'de> {
    /// Its name in the file.
    const NAME: &'static str;
    /// What `config default` prints of it, without comment signs: what it is for, and all keys.
    const EXAMPLE: &'static str;
    /// Whether it may hold secrets: then what it holds is not quoted in what is said of it, wherever it stands.
    const HAS_SECRETS: bool = false;

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
    /// `[auth]`.
    pub auth: Auth,
    /// `[limits]`.
    pub limits: Limits,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[commands]`.
    pub commands: CommandAccess,
    /// `[[tls]]`, in their order: the first that is for a host decides.
    pub tls: Vec<Tls>,
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
            Auth::NAME => source.single(value, &mut self.auth, places, problems),
            Limits::NAME => source.single(value, &mut self.limits, places, problems),
            Cluster::NAME => source.single(value, &mut self.cluster, places, problems),
            CommandAccess::NAME => source.single(value, &mut self.commands, places, problems),
            Tls::NAME => self.tls = source.list(value, tls::CERTIFICATES_MAX, places, problems),
            _ => return false,
        }
        true
    }

    /// The sections that are not what they are in `new`: name, and the old and new number of tables; of a single table the
    /// keys, and their values.
    pub fn changes(&self, new: &Sections) -> impl Iterator<Item = (&'static str, String, String)> {
        let count = |tables: usize| match tables {
            1 => "1 table".to_owned(),
            _ => format!("{tables} tables"),
        };
        let rooms = (self.rooms != new.rooms)
            .then(|| ("[[rooms]]", count(self.rooms.len()), count(new.rooms.len())));
        let tls =
            (self.tls != new.tls).then(|| ("[[tls]]", count(self.tls.len()), count(new.tls.len())));
        let lists = rooms.into_iter().chain(tls);
        lists
            .chain(self.auth.change(&new.auth))
            .chain(self.limits.changes(&new.limits))
    }

    /// Each section's example, as comments for a file.
    pub fn examples() -> String {
        let comment = |line: &str| format!("# {line}\n").replace("# \n", "#\n");
        let examples = [
            Auth::EXAMPLE,
            Limits::EXAMPLE,
            Rooms::EXAMPLE,
            Tls::EXAMPLE,
            Cluster::EXAMPLE,
            CommandAccess::EXAMPLE,
        ];
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
        let singles = single_toml(&self.auth, places)
            + &single_toml(&self.limits, places)
            + &single_toml(&self.cluster, places)
            + &single_toml(&self.commands, places);
        singles + &list_toml(&self.rooms, places) + &list_toml(&self.tls, places)
    }
}

/// A single table as TOML, if the file has it.
fn single_toml<T: Section>(table: &T, places: &Places) -> String {
    places.get(T::NAME).map_or_else(String::new, |origin| {
        format!("\n[{}] # {origin}\n{}", T::NAME, table.toml())
    })
}

/// A list's tables as TOML.
fn list_toml<T: Section>(tables: &[T], places: &Places) -> String {
    let tables = tables.iter().enumerate();
    tables
        .map(|(index, entry)| {
            let origin = places.get(&format!("{}[{index}]", T::NAME));
            let origin = origin.map_or_else(String::new, |origin| format!(" # {origin}"));
            format!("\n[[{}]]{origin}\n{}", T::NAME, entry.toml())
        })
        .collect()
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

    /// Reads the only table of its name.
    fn single<T: Section>(
        &self,
        value: &Spanned<DeValue<'_>>,
        into: &mut T,
        places: &mut Places,
        problems: &mut Problems,
    ) {
        places.insert(T::NAME.to_owned(), self.origin(value.span().start));
        match self.table(T::NAME, value) {
            Ok(table) => *into = table,
            Err(problem) => problems.push(problem),
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
            let message = match T::HAS_SECRETS {
                true => without_value(error.message()),
                false => error.message().to_owned(),
            };
            wrong(key, message)
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

/// What a message says of a value, without the value, as in: invalid type: string "secret", expected a list.
fn without_value(message: &str) -> String {
    let quotes = message.starts_with("invalid type: ") || message.starts_with("invalid value: ");
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if quotes => format!("it has to be {expected}"),
        None if quotes => "it cannot be read".to_owned(),
        _ => message.to_owned(),
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
