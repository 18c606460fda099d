//! Certificates made for the test, and a foreign client: rustls over blocking sockets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringmain_core::{CloseReason, Limits, TlsHandshake};
use ringmain_rt::Backend;
use ringmain_shard::{Node, NodeConfig, Pem, Policy, ServerTls, Tickets};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::common::{Client, config, dial, request};

/// An authority of the test's own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Pair {
    pub chain: String,
    pub key: String,
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority for tests");
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn issue(&self, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }

    /// A client that trusts it.
    pub fn client(&self) -> ClientConfig {
        self.client_of(rustls::ALL_VERSIONS)
    }

    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }
}

pub fn server_tls(pairs: &[&Pair], tickets: &Tickets) -> ServerTls {
    let pairs: Vec<Pem<'_>> = pairs
        .iter()
        .map(|pair| Pem {
            chain: pair.chain.as_bytes(),
            key: pair.key.as_bytes(),
        })
        .collect();
    ServerTls::new(&pairs, tickets).unwrap()
}

pub fn tls_policy(tls: ServerTls, limits: Limits) -> Policy {
    Policy {
        limits,
        connections_max: 100_000,
        tls: Some(tls),
        tls_handshakes_max: 1_000,
        ..Policy::default()
    }
}

pub fn start_with(backend: Backend, shards: usize, policy: Policy) -> Node {
    let descriptors_max = ringmain_rt::descriptors::raise_limit().unwrap();
    ringmain_shard::start(NodeConfig {
        tls_listen: Some("127.0.0.1:0".parse().unwrap()),
        policy: Arc::new(policy),
        descriptors_max,
        ..config(backend, shards)
    })
    .unwrap()
}

/// A node with a certificate for `localhost`, and a client that trusts it.
pub fn start(backend: Backend, shards: usize, limits: Limits) -> (Node, Arc<ClientConfig>) {
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let tls = server_tls(&[&pair], &Tickets::new().unwrap());
    let node = start_with(backend, shards, tls_policy(tls, limits));
    (node, Arc::new(authority.client()))
}

/// A socket that hands over so many bytes in a call.
pub struct Dribble {
    pub stream: TcpStream,
    pub bytes_max: usize,
    /// Bytes written so far.
    pub written: usize,
}

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = buffer.len().min(self.bytes_max);
        self.stream.read(&mut buffer[..bytes])
    }
}

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = self
            .stream
            .write(&bytes[..bytes.len().min(self.bytes_max)])?;
        self.written += bytes;
        Ok(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

pub type TlsStream = StreamOwned<ClientConnection, Dribble>;

pub fn tls_on(stream: TcpStream, client: &Arc<ClientConfig>, name: &str) -> TlsStream {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = Dribble {
        stream,
        bytes_max: usize::MAX,
        written: 0,
    };
    StreamOwned::new(ClientConnection::new(client.clone(), name).unwrap(), stream)
}

pub fn address(node: &Node) -> SocketAddr {
    node.tls_address().unwrap()
}

pub fn tls(node: &Node, client: &Arc<ClientConfig>) -> TlsStream {
    tls_on(dial(address(node)), client, "localhost")
}

/// A WebSocket over TLS.
pub fn connect(node: &Node, client: &Arc<ClientConfig>, path: &str) -> Client<TlsStream> {
    upgrade(tls(node, client), path)
}

pub fn upgrade(mut stream: TlsStream, path: &str) -> Client<TlsStream> {
    stream.write_all(&request(path)).unwrap();
    Client::upgraded(stream)
}

/// The first certificate that the server has presented.
pub fn presented(stream: &TlsStream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

pub fn handshakes(node: &Node, how: TlsHandshake) -> u64 {
    let shards = node.shards().iter();
    let counts = shards.map(|shard| shard.stats().tls_handshakes[how as usize].get());
    counts.sum()
}

pub fn closes(node: &Node, reason: CloseReason) -> u64 {
    let shards = node.shards().iter();
    let counts = shards.map(|shard| shard.stats().closes[reason as usize].get());
    counts.sum()
}

/// A gauge or counter of all shards together.
pub fn sum(node: &Node, value: impl Fn(&ringmain_core::ShardStats) -> u64) -> u64 {
    node.shards().iter().map(|shard| value(shard.stats())).sum()
}

/// Bytes that can be told apart wherever they are.
pub fn pattern(bytes: usize) -> Vec<u8> {
    static SEED: AtomicUsize = AtomicUsize::new(1);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    (0..bytes)
        .map(|at| (at.wrapping_mul(seed * 2 + 1) >> 3) as u8)
        .collect()
}

/// So long that whoever waits for it has waited long enough.
pub const SHORT: Duration = Duration::from_millis(400);
