//! Whether files can be used. The client library reads them at each attempt to connect, and says of one that is wrong only that
//! there was an error.

use std::path::Path;

use async_nats::ConnectOptions;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore};
use nkeys::KeyPair;

/// Whether this file of who may have signed the broker's certificate can be used.
///
/// # Errors
/// Why not.
pub fn check_authorities(path: &Path) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added
            .map_err(|problem| format!("it holds a certificate that cannot be used: {problem}"))?;
    }
    Ok(())
}

/// Whether these files of a certificate and its key can be used.
///
/// # Errors
/// Whether it is the key, and why not.
pub fn check_own(certificate: &Path, key: &Path) -> Result<(), (bool, String)> {
    let chain = certificates(certificate).map_err(|problem| (false, problem))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|problem| (true, format!("it holds no key in PEM: {problem}")))?;
    ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .map(drop)
        .map_err(|problem| (false, format!("it cannot be used with its key: {problem}")))
}

/// Whether this text is the seed of an nkey.
///
/// # Errors
/// Why not.
pub fn check_nkey(seed: &str) -> Result<(), String> {
    let read = KeyPair::from_seed(seed).map(drop);
    read.map_err(|problem| format!("it holds no seed of an nkey: {problem}"))
}

/// Whether this text is that of a credentials file.
///
/// # Errors
/// Why not.
pub fn check_credentials(text: &str) -> Result<(), String> {
    let read = ConnectOptions::new().credentials(text).map(drop);
    read.map_err(|problem| format!("it holds no credentials: {problem}"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err("it holds no certificate in PEM".to_owned()),
        Ok(found) => Ok(found),
        Err(problem) => Err(format!("it holds no certificates in PEM: {problem}")),
    }
}
