//! Where the configuration comes from: read at the start, and in the same way at each reload.

use std::path::PathBuf;

use crate::config::layer::FILE_VARIABLE;
use crate::config::{Config, Layer, Problems};
use crate::host::{Host, HostError};
use crate::plan::{Plan, PlanError};

/// File, environment and flags.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    flags: Option<Layer>,
}

/// Why the engine would not start with what the sources say.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The configuration itself is wrong.
    #[error(transparent)]
    Config(#[from] Problems),
    /// The host does not say what it has.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The configuration does not fit the host.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl Sources {
    /// These flags, and the file that they or else the environment name.
    pub fn new(file: Option<PathBuf>, flags: Option<Layer>) -> Self {
        let file = file.or_else(|| std::env::var_os(FILE_VARIABLE).map(PathBuf::from));
        Sources { file, flags }
    }

    /// The configuration as it stands there now, and what it comes to on this host.
    ///
    /// # Errors
    /// Why the engine would not start with it.
    pub fn read(&self) -> Result<(Config, Plan), SourcesError> {
        let file = self.file.as_deref().map(Layer::file).transpose()?;
        let environment = Layer::environment(std::env::vars_os())?;
        let layers: Vec<Layer> = file
            .into_iter()
            .chain([environment])
            .chain(self.flags.clone())
            .collect();
        let config = Config::merge(&layers)?;
        let plan = Plan::new(&config.settings, &Host::ask()?)?;
        Ok((config, plan))
    }
}
