//! Certificates from their files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ringmain_shard::{CertificateError, Pem, ServerTls, Tickets};

use crate::config::Settings;
use crate::config::tls::CertificateFiles;

/// What of each file tells that it has changed; `None` if it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

impl Stamps {
    /// As the files are now. To be taken before they are read: then a change in between is seen.
    pub fn of(settings: &Settings) -> Self {
        if !settings.has_tls() {
            return Stamps::default();
        }
        let files = settings.certificates();
        let paths = files.into_iter().flat_map(|files| [files.cert, files.key]);
        let stamps = paths.map(|path| {
            let found = std::fs::metadata(&path).ok();
            let stamp = found.and_then(|found| Some((found.modified().ok()?, found.len())));
            (path, stamp)
        });
        Stamps(stamps.collect())
    }
}

/// Why certificates cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// There is none.
    #[error(
        "`tls_listen` is set, and no certificate: set `tls_cert` and `tls_key`, or `[[tls]]`; or `tls_listen = \"off\"`"
    )]
    Nothing,
    /// A file cannot be read.
    #[error("cannot read {}: {source}. Let the engine's user read it, or name another file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error("the certificate {} with the key {} cannot be used: {source}", files.cert.display(), files.key.display())]
    Unusable {
        /// Its files.
        files: CertificateFiles,
        /// Why not.
        source: CertificateError,
    },
}

/// Reads certificates, and checks that they can be used.
///
/// # Errors
/// The file that is wrong, and how.
pub fn load(files: &[CertificateFiles], tickets: &Tickets) -> Result<ServerTls, CertificatesError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| CertificatesError::Unreadable {
            path: path.to_owned(),
            source,
        })
    };
    let texts = files
        .iter()
        .map(|files| Ok((read(&files.cert)?, read(&files.key)?)))
        .collect::<Result<Vec<_>, _>>()?;
    let pairs: Vec<Pem<'_>> = texts
        .iter()
        .map(|(chain, key)| Pem { chain, key })
        .collect();
    ServerTls::new(&pairs, tickets).map_err(|(place, source)| match files.get(place) {
        Some(files) => CertificatesError::Unusable {
            files: files.clone(),
            source,
        },
        None => CertificatesError::Nothing,
    })
}
