//! TLS towards the target.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, NamedGroup, RootCertStore,
    SignatureScheme,
};

/// Why TLS cannot be spoken as asked for.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Whom to trust is not said.
    #[error(
        "wss:// needs --ca FILE, the certificate of the authority that vouches for the server; or --insecure, which trusts anyone"
    )]
    NoTrust,
    /// Nothing of TLS goes with ws://.
    #[error("--ca, --insecure and --resume go with wss:// alone")]
    NotTls,
    /// The file cannot be used.
    #[error("--ca {file}: {problem}")]
    Authority {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The host's name.
    #[error("{0} is no host that a certificate can be for")]
    Host(String),
    /// rustls refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// How a run speaks TLS; all its connections do alike.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.host).finish()
    }
}

impl Tls {
    /// Towards a host, whom the authority in the file vouches for, or nobody. With `resumes` every connection resumes
    /// a session for which there is a ticket.
    ///
    /// # Errors
    /// Says what cannot work.
    pub fn new(host: &str, authority: Option<&Path>, resumes: bool) -> Result<Self, TlsError> {
        let name = host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|_| TlsError::Host(host.to_owned()))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let mut config = match authority {
            Some(file) => builder
                .with_root_certificates(roots(file)?)
                .with_no_client_auth(),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone))
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match resumes {
            true => Resumption::store(Arc::new(Tickets::default())),
            false => Resumption::disabled(),
        };
        Ok(Tls {
            config: Arc::new(config),
            host: name,
        })
    }

    /// One connection's side at its beginning.
    ///
    /// # Errors
    /// rustls refuses.
    pub fn begin(&self) -> Result<Box<ClientConnection>, rustls::Error> {
        let mut connection = ClientConnection::new(self.config.clone(), self.host.clone())?;
        // As without TLS, what the socket does not take waits, however much it is.
        connection.set_buffer_limit(None);
        Ok(Box::new(connection))
    }
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let wrong = |problem: String| TlsError::Authority {
        file: file.display().to_string(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(wrong("there is no certificate in it".to_owned())),
        false => Ok(roots),
    }
}

/// Trusts anyone, as --insecure says.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Tickets that no connection has taken yet. A connection that takes one brings a new one.
#[derive(Debug, Default)]
struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

/// Tickets that are kept: more than handshakes are under way by default.
const TICKETS_MAX: usize = 4096;

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() < TICKETS_MAX {
            tickets.push_back(value);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.pop_front()
    }
}

/// Receives what is there, and says what it says; zero bytes mean the end.
///
/// # Errors
/// `WouldBlock` if there is nothing; `InvalidData` if TLS has failed.
pub fn receive(
    tls: &mut ClientConnection,
    mut stream: &TcpStream,
    buffer: &mut [u8],
) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
        if tls.read_tls(&mut stream)? == 0 {
            return Ok(0);
        }
        let processed = tls.process_new_packets();
        // An alert, or what was to be sent once the handshake is done. A failed send shows in the next receive.
        let _ = flush(tls, stream);
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
}

/// Takes bytes to be sent.
///
/// # Errors
/// So many wait already that no more are taken.
pub fn queue(tls: &mut ClientConnection, bytes: &[u8]) -> io::Result<()> {
    tls.writer().write_all(bytes)
}

/// Sends what the socket takes. Returns whether nothing is left.
///
/// # Errors
/// The socket is gone.
pub fn flush(tls: &mut ClientConnection, mut stream: &TcpStream) -> io::Result<bool> {
    while tls.wants_write() {
        match tls.write_tls(&mut stream) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
