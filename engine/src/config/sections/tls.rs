//! `[[tls]]`: further certificates, for further hosts.

use serde::Deserialize;

use super::Section;
use crate::config::tls::FilePath;

/// Entries that there may be.
pub const CERTIFICATES_MAX: usize = 1_000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate with its chain.
    pub cert: FilePath,
    /// Its key, if it stands elsewhere.
    #[serde(default)]
    pub key: FilePath,
}

impl Section for Tls {
    const NAME: &'static str = "tls";
    const EXAMPLE: &'static str = r#"Certificates beside `tls_cert`. A client is presented with the first that is for the host that it names (SNI), by the
names in the certificates themselves; the first of all is for all other hosts.
[[tls]]
cert = "/etc/ringmain/example.org.pem"
key = "/etc/ringmain/example.org.key.pem"
"#;

    fn check(&self) -> Result<(), (&'static str, String)> {
        match self.cert.path() {
            Some(_) => Ok(()),
            None => Err(("cert", "it has to be the path of a file".to_owned())),
        }
    }

    fn toml(&self) -> String {
        let text = |text: &FilePath| toml::Value::String(text.to_string()).to_string();
        let mut lines = format!("cert = {}\n", text(&self.cert));
        if self.key.path().is_some() {
            lines += &format!("key = {}\n", text(&self.key));
        }
        lines
    }
}
