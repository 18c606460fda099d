//! Where certificates and their keys are, as configured.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use super::Settings;
use super::value::{AdminAddress, deserialize_from_text};

deserialize_from_text!(FilePath);

/// The path of a file; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePath(pub String);

impl FilePath {
    /// The path, if there is one.
    pub fn path(&self) -> Option<&Path> {
        (!self.0.is_empty()).then(|| Path::new(&self.0))
    }
}

impl FromStr for FilePath {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(FilePath(text.to_owned()))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate with its chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// A key that stands nowhere else stands behind the certificate.
    fn new(cert: &Path, key: &FilePath) -> Self {
        CertificateFiles {
            cert: cert.to_owned(),
            key: key.path().unwrap_or(cert).to_owned(),
        }
    }
}

impl Settings {
    /// Whether the shards speak TLS.
    pub fn has_tls(&self) -> bool {
        self.tls_listen != AdminAddress::Off
    }

    /// The certificates, the first of which is for hosts that none is for.
    pub fn certificates(&self) -> Vec<CertificateFiles> {
        let first = self.tls_cert.path();
        let first = first.map(|cert| CertificateFiles::new(cert, &self.tls_key));
        let others = self.sections.tls.iter();
        let others =
            others.filter_map(|entry| Some(CertificateFiles::new(entry.cert.path()?, &entry.key)));
        first.into_iter().chain(others).collect()
    }
}
