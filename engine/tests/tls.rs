//! TLS of the engine: from its files to what clients are presented with, and what is told of it.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use support::{BACKENDS, Engine, PATIENCE, ask, run, until};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A folder with an authority, and certificates that it has issued. It is gone at the end of the test.
struct Folder {
    path: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringmain-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority for tests");
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        fs::write(path.join("ca.pem"), authority.pem()).unwrap();
        Folder { path, authority }
    }

    fn file(&self, name: &str) -> String {
        self.path.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a certificate and its key, and returns what clients will see.
    fn issue(&self, names: &[&str], cert: &str, key: &str) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&pair, &self.authority).unwrap();
        fs::write(self.file(cert), certificate.pem()).unwrap();
        fs::write(self.file(key), pair.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }

    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        // Who resumes a session is presented with nothing.
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    /// An engine that presents what `cert.pem` and `key.pem` hold.
    fn serve(&self, backend: &str, more: &[&str]) -> Engine {
        let (cert, key) = (self.file("cert.pem"), self.file("key.pem"));
        let arguments = ["--tls-listen", "127.0.0.1:0", "--tls-cert", &cert];
        let arguments = [&arguments[..], &["--tls-key", &key], more].concat();
        Engine::serve(backend, &arguments)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn address(engine: &Engine) -> String {
    let url = engine.line("with TLS ");
    url.strip_prefix("wss://").unwrap().to_owned()
}

/// TLS whose handshake is done.
fn shake_hands(address: &str, client: &Arc<ClientConfig>, host: &str) -> Tls {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let connection = ClientConnection::new(client.clone(), host).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).unwrap();
    }
    tls
}

/// A WebSocket over TLS that echoes.
fn connect(address: &str, client: &Arc<ClientConfig>, host: &str) -> Tls {
    let mut tls = shake_hands(address, client, host);
    tls.write_all(
        b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    tls
}

fn echo(tls: &mut Tls) {
    // Masked with zeros.
    tls.write_all(&[0x82, 0x83, 0, 0, 0, 0, 1, 2, 3]).unwrap();
    let mut echoed = [0; 5];
    tls.read_exact(&mut echoed).unwrap();
    assert_eq!(echoed, [0x82, 3, 1, 2, 3]);
}

fn presented(tls: &Tls) -> &[u8] {
    &tls.conn.peer_certificates().unwrap()[0]
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn curl_is_answered_by_https_and_told_about_it_by_http() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl here");
        return;
    }
    for backend in BACKENDS {
        let folder = Folder::new(&format!("tls-curl-{backend}"));
        folder.issue(&["localhost"], "cert.pem", "key.pem");
        let engine = folder.serve(backend, &[]);
        let address = address(&engine);
        let (_, port) = address.rsplit_once(':').unwrap();
        let url = |scheme: &str, path: &str| format!("{scheme}://localhost:{port}{path}");
        let ca = folder.file("ca.pem");
        let posted = curl(&[
            "-4",
            "--cacert",
            &ca,
            "--data-binary",
            "hello",
            "-H",
            "content-type: text/plain",
            "-w",
            " %{http_code} %{http_version}",
            &url("https", "/rooms/r/messages"),
        ]);
        assert!(posted.ends_with(" 202 1.1"), "{posted}");
        let plain = curl(&["-4", "-w", " %{http_code}", &url("http", "/echo")]);
        assert!(plain.contains("use https:// or wss://"), "{plain}");
        assert!(plain.ends_with(" 400"), "{plain}");
        let stranger = curl(&["-4", &url("https", "/echo")]);
        assert!(stranger.contains("certificate"), "{stranger}");
    }
}

#[test]
fn changed_files_are_taken_up_and_connections_stay() {
    let folder = Folder::new("tls-files");
    let old = folder.issue(&["localhost"], "cert.pem", "key.pem");
    let engine = folder.serve("uring", &[]);
    let (address, client) = (address(&engine), folder.client());
    let mut stays = connect(&address, &client, "localhost");
    assert_eq!(presented(&stays), old);
    echo(&mut stays);
    let new = folder.issue(&["localhost"], "cert.pem", "key.pem");
    engine.says("the certificates' files have changed: new connections");
    engine.says("all shards go by the new configuration");
    let mut fresh = connect(&address, &client, "localhost");
    assert_eq!(presented(&fresh), new);
    // What cannot be used changes nothing, and is told with what to do.
    let good_key = fs::read(folder.file("key.pem")).unwrap();
    folder.issue(&["localhost"], "other.pem", "key.pem");
    let output = engine.says("certificate and private key do not belong together");
    assert!(output.contains("correct the files"), "{output}");
    assert!(output.contains(&folder.file("key.pem")), "{output}");
    assert_eq!(presented(&connect(&address, &client, "localhost")), new);
    fs::remove_file(folder.file("key.pem")).unwrap();
    engine.says(&format!("cannot read {}", folder.file("key.pem")));
    fs::write(folder.file("key.pem"), good_key).unwrap();
    let metrics = until("it is taken up again", || {
        let metrics = engine.metrics();
        let applied = "ringmain_tls_certificate_changes_total{outcome=\"applied\"} 2";
        metrics.contains(applied).then_some(metrics)
    });
    let refused = "ringmain_tls_certificate_changes_total{outcome=\"refused\"} 2";
    assert!(metrics.contains(refused), "{metrics}");
    echo(&mut stays);
    echo(&mut fresh);
    no_key_is_shown(&folder, &engine.output());
}

/// No line of a key stands in what the engine says.
fn no_key_is_shown(folder: &Folder, output: &str) {
    for entry in fs::read_dir(&folder.path).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        if let Some((_, key)) = text.split_once("PRIVATE KEY-----") {
            let line = key.lines().find(|line| line.len() > 20).unwrap();
            assert!(!output.contains(line), "{output}");
        }
    }
}

#[test]
fn a_reload_takes_more_certificates_and_refuses_what_is_wrong_with_them() {
    let folder = Folder::new("tls-reload");
    let first = folder.issue(&["localhost"], "cert.pem", "key.pem");
    let second = folder.issue(&["*.example.org"], "second.pem", "second.key.pem");
    let config = folder.file("ringmain.toml");
    fs::write(&config, "").unwrap();
    let engine = folder.serve("epoll", &["--config", &config]);
    let (address, client) = (address(&engine), folder.client());
    let entry = |cert: &str, key: &str| {
        let (cert, key) = (folder.file(cert), folder.file(key));
        format!("[[tls]]\ncert = \"{cert}\"\nkey = \"{key}\"\n")
    };
    fs::write(&config, entry("second.pem", "second.key.pem")).unwrap();
    engine.signal("HUP");
    engine.says("[[tls]]: 0 tables -> 1 table");
    engine.says("all shards go by the new configuration");
    assert_eq!(presented(&connect(&address, &client, "localhost")), first);
    let mut second_client = connect(&address, &client, "www.example.org");
    assert_eq!(presented(&second_client), second);
    fs::write(&config, entry("second.pem", "key.pem")).unwrap();
    engine.signal("HUP");
    engine.says("do not belong together");
    engine.says("the old configuration stays");
    echo(&mut second_client);
    assert_eq!(
        presented(&connect(&address, &client, "www.example.org")),
        second
    );
    let metrics = engine.metrics();
    for name in ["localhost", "*.example.org"] {
        let expires = format!("ringmain_tls_certificate_expires_seconds{{name=\"{name}\",serial=");
        let line = metrics.lines().find(|line| line.starts_with(&expires));
        let (_, at) = line.unwrap().rsplit_once(' ').unwrap();
        // rcgen's own, far in the future.
        assert!(at.parse::<u64>().unwrap() > 4_000_000_000, "{at}");
    }
    assert_eq!(ask(&engine.admin(), "GET /health/ready").status, 200);
    no_key_is_shown(&folder, &engine.output());
}

#[test]
fn without_a_certificate_that_can_be_used_it_does_not_start_and_says_why() {
    let folder = Folder::new("tls-start");
    folder.issue(&["localhost"], "cert.pem", "key.pem");
    folder.issue(&["localhost"], "other.pem", "other.key.pem");
    let refusal = |arguments: &[&str]| {
        let fixed = ["--listen", "127.0.0.1:0", "--admin", "off", "--shards", "1"];
        let tls = ["--tls-listen", "127.0.0.1:0"];
        let (code, _, stderr) = run(&[&fixed[..], &tls, arguments].concat(), &[]);
        assert_eq!(code, Some(1), "{stderr}");
        stderr
    };
    let none = refusal(&[]);
    assert!(none.contains("set `tls_cert` and `tls_key`"), "{none}");
    let cert = folder.file("cert.pem");
    let missing = refusal(&["--tls-cert", "/nowhere/cert.pem"]);
    assert!(
        missing.contains("cannot read /nowhere/cert.pem"),
        "{missing}"
    );
    let no_key = refusal(&["--tls-cert", &cert]);
    assert!(no_key.contains("there is no private key"), "{no_key}");
    let other = refusal(&[
        "--tls-cert",
        &cert,
        "--tls-key",
        &folder.file("other.key.pem"),
    ]);
    assert!(other.contains("do not belong together"), "{other}");
    // Both in one file are fine.
    let both =
        [Path::new(&cert), Path::new(&folder.file("key.pem"))].map(|path| fs::read(path).unwrap());
    fs::write(folder.file("both.pem"), both.concat()).unwrap();
    let both = folder.file("both.pem");
    let engine = Engine::serve(
        "epoll",
        &["--tls-listen", "127.0.0.1:0", "--tls-cert", &both],
    );
    echo(&mut connect(
        &address(&engine),
        &folder.client(),
        "localhost",
    ));
    let metrics = engine.metrics();
    let full = metrics.lines().filter(|line| {
        line.starts_with("ringmain_tls_handshakes_total{")
            && line.contains("outcome=\"full\"")
            && line.ends_with(" 1")
    });
    assert_eq!(full.count(), 1, "{metrics}");
}

/// Publishes over TLS with this key, and returns the answer's status.
fn publish(address: &str, client: &Arc<ClientConfig>, key: &str) -> String {
    let mut tls = shake_hands(address, client, "localhost");
    let request = format!(
        "POST /rooms/a/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\
         Authorization: Bearer {key}\r\n\r\n"
    );
    tls.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    tls.read_exact(&mut head).unwrap();
    String::from_utf8_lossy(&head[9..]).into_owned()
}

#[test]
fn what_else_is_in_files_stays_until_a_reload() {
    let folder = Folder::new("tls-alone");
    folder.issue(&["localhost"], "cert.pem", "key.pem");
    let [old_key, new_key] = ["the-key-before-the-reload", "the-key-behind-the-reload"];
    let key_file = folder.file("api.key");
    fs::write(&key_file, old_key).unwrap();
    let config = folder.file("ringmain.toml");
    let entry = format!("[[auth.api_keys]]\nname = \"shop\"\nkey_file = \"{key_file}\"\n");
    fs::write(&config, entry).unwrap();
    let engine = folder.serve("epoll", &["--config", &config]);
    let (address, client) = (address(&engine), folder.client());
    let applied = |count: u32| {
        let line =
            format!("ringmain_tls_certificate_changes_total{{outcome=\"applied\"}} {count}\n");
        until("the certificates are taken up", || {
            engine.metrics().contains(&line).then_some(())
        });
        engine.says("all shards go by the new configuration");
    };
    fs::write(&key_file, new_key).unwrap();
    folder.issue(&["localhost"], "cert.pem", "key.pem");
    applied(1);
    assert_eq!(publish(&address, &client, old_key), "202");
    assert_eq!(publish(&address, &client, new_key), "401");
    // Nor does it keep certificates from being renewed.
    fs::remove_file(&key_file).unwrap();
    let new = folder.issue(&["localhost"], "cert.pem", "key.pem");
    applied(2);
    until("they are presented", || {
        let tls = shake_hands(&address, &client, "localhost");
        (presented(&tls) == new).then_some(())
    });
    assert_eq!(publish(&address, &client, old_key), "202");
}

#[test]
fn files_that_change_while_the_rest_is_read_are_noticed() {
    let folder = Folder::new("tls-between");
    folder.issue(&["localhost"], "cert.pem", "key.pem");
    // A pipe: whoever opens it to read waits until somebody writes, and this is read after the certificates.
    let pipe = folder.file("api.key");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let config = folder.file("ringmain.toml");
    let entry = format!("[[auth.api_keys]]\nname = \"shop\"\nkey_file = \"{pipe}\"\n");
    fs::write(&config, entry).unwrap();
    let change_meanwhile = |folder: &Folder| {
        let mut key = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        let new = folder.issue(&["localhost"], "cert.pem", "key.pem");
        key.write_all(b"a-key-for-the-back-end-of-the-shop")
            .unwrap();
        new
    };
    let (engine, first) = std::thread::scope(|scope| {
        let first = scope.spawn(|| change_meanwhile(&folder));
        let engine = folder.serve("epoll", &["--config", &config]);
        (engine, first.join().unwrap())
    });
    let (address, client) = (address(&engine), folder.client());
    let presents = |wanted: &[u8]| {
        until("it is presented", || {
            let tls = shake_hands(&address, &client, "localhost");
            (presented(&tls) == wanted).then_some(())
        });
    };
    presents(&first);
    engine.signal("HUP");
    let second = change_meanwhile(&folder);
    engine.says("the configuration was read again");
    presents(&second);
}
