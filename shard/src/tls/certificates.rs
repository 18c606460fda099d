//! From PEM to what the shards present.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::signing::CountedKey;

/// A certificate with its chain, and its key, as text.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// The certificate, then those that vouch for it.
    pub chain: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is none.
    #[error(
        "there is no certificate in it: it has to hold `-----BEGIN CERTIFICATE-----`, the server's own first"
    )]
    NoCertificate,
    /// It is not PEM.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// It is not X.509.
    #[error("its first certificate cannot be read: {0}")]
    Certificate(String),
    /// There is no key.
    #[error(
        "there is no private key: it has to hold `-----BEGIN PRIVATE KEY-----`, and not be encrypted"
    )]
    NoKey,
    /// Of a kind that is not known.
    #[error("its private key cannot be used: {0}")]
    Key(String),
    /// They are not a pair.
    #[error("certificate and private key do not belong together")]
    Mismatch,
    /// There is nothing to present.
    #[error("there is no certificate at all")]
    Nothing,
    /// rustls refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// What is known of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Hosts that it is for; one may begin with `*.`.
    pub names: Vec<String>,
    /// When it expires, in seconds since 1970.
    pub expires_at_seconds: i64,
    /// Its serial number, by which two for the same hosts differ.
    pub serial: String,
}

/// The secret under which sessions are resumed: shared by all shards, renewed every six hours, and kept when certificates
/// change.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// A new secret.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new() -> Result<Self, CertificateError> {
        ring::Ticketer::new().map(Tickets).map_err(setup)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// How the shards speak TLS.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    facts: Vec<CertificateFacts>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.facts).finish()
    }
}

impl ServerTls {
    /// Presents, to each client, the first of these that is for the host that it names; the first of all if none is.
    ///
    /// # Errors
    /// The place of the one that cannot be used, and why.
    pub fn new(pairs: &[Pem<'_>], tickets: &Tickets) -> Result<Self, (usize, CertificateError)> {
        let mut certificates = Certificates::default();
        let mut facts = Vec::with_capacity(pairs.len());
        for (index, pair) in pairs.iter().enumerate() {
            let wrong = |error| (index, error);
            let (key, known) = read(pair).map_err(wrong)?;
            certificates.add(&known.names, Arc::new(key));
            facts.push(known);
        }
        if pairs.is_empty() {
            return Err((0, CertificateError::Nothing));
        }
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| (0, setup(error)))?;
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = tickets.0.clone();
        // The tickets carry all: nothing is kept here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Who comes back gets a new one.
        config.send_tls13_tickets = 1;
        Ok(ServerTls {
            config: Arc::new(config),
            facts,
        })
    }

    /// What is known of the certificates, in their order.
    pub fn certificates(&self) -> &[CertificateFacts] {
        &self.facts
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

fn setup(error: rustls::Error) -> CertificateError {
    CertificateError::Setup(error.to_string())
}

fn read(pair: &Pem<'_>) -> Result<(CertifiedKey, CertificateFacts), CertificateError> {
    let chain = CertificateDer::pem_slice_iter(pair.chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::Pem(error.to_string()))?;
    let first = chain.first().ok_or(CertificateError::NoCertificate)?;
    let facts = facts(first)?;
    let key = PrivateKeyDer::from_pem_slice(pair.key).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey,
        error => CertificateError::Pem(error.to_string()),
    })?;
    let key = ring::sign::any_supported_type(&key)
        .map_err(|error| CertificateError::Key(error.to_string()))?;
    let certified = CertifiedKey::new(chain, Arc::new(CountedKey(key)));
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok((certified, facts))
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
        Err(error) => Err(CertificateError::Certificate(error.to_string())),
    }
}

fn facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, CertificateError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| CertificateError::Certificate(error.to_string()))?;
    let alternative = parsed
        .subject_alternative_name()
        .map_err(|error| CertificateError::Certificate(error.to_string()))?;
    let names = alternative.map_or_else(Vec::new, |extension| {
        let names = extension.value.general_names.iter();
        names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect()
    });
    Ok(CertificateFacts {
        names,
        expires_at_seconds: parsed.validity().not_after.timestamp(),
        serial: parsed.raw_serial_as_string(),
    })
}

/// Certificates by the host that they are for.
#[derive(Debug, Default)]
struct Certificates {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Adds one. Those before it keep their names.
    fn add(&mut self, names: &[String], key: Arc<CertifiedKey>) {
        self.first.get_or_insert_with(|| key.clone());
        for name in names {
            self.by_name
                .entry(name.clone())
                .or_insert_with(|| key.clone());
        }
    }

    fn find(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        let host = host.to_ascii_lowercase();
        self.by_name.get(&host).or_else(|| {
            // A star stands for one label (RFC 6125, section 6.4.3).
            let (_, rest) = host.split_once('.')?;
            self.by_name.get(&format!("*.{rest}"))
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|host| self.find(host));
        named.or(self.first.as_ref()).cloned()
    }
}
