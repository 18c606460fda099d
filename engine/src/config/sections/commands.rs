//! `[commands]`: who may send commands to the admin address.

use serde::Deserialize;

use super::Section;
use crate::config::tls::FilePath;

/// The section.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandAccess {
    /// The file of the token that commands have to show; without one they are taken from this host alone.
    pub token_file: FilePath,
}

impl Section for CommandAccess {
    const NAME: &'static str = "commands";
    const EXAMPLE: &'static str = r#"Commands on the admin address, which close connections. Only a restart changes it.
[commands]
token_file = ""               # commands show its text as Authorization: Bearer; if empty, this host alone sends them
"#;

    fn check(&self) -> Result<(), (&'static str, String)> {
        Ok(())
    }

    fn toml(&self) -> String {
        let path = toml::Value::String(self.token_file.to_string());
        format!("token_file = {path}\n")
    }
}
