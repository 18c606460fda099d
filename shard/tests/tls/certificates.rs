//! Which certificate a client is presented with, and how that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringmain_core::{Limits, TlsHandshake};
use ringmain_shard::{CertificateError, Pem, ServerTls, Tickets};
use rustls::HandshakeKind;
use rustls::client::Resumption;

use crate::common::{backends, dial, stop, until};
use crate::support::{
    Authority, address, connect, handshakes, presented, server_tls, start_with, tls_on, tls_policy,
    upgrade,
};

#[test]
fn each_host_has_its_certificate_and_strangers_the_first() {
    for backend in backends() {
        let authority = Authority::new();
        let first = authority.issue(&["localhost", "example.com"]);
        let second = authority.issue(&["*.example.org", "example.org"]);
        let third = authority.issue(&["www.example.org", "example.com"]);
        let pairs = [&first, &second, &third];
        let tls = server_tls(&pairs, &Tickets::new().unwrap());
        let node = start_with(backend, 1, tls_policy(tls, Limits::default()));
        let client = Arc::new(authority.client());
        for (host, pair) in [
            ("localhost", &first),
            ("EXAMPLE.com", &first),
            ("example.org", &second),
            ("a.example.org", &second),
            ("www.example.org", &third),
        ] {
            let echo = upgrade(tls_on(dial(address(&node)), &client, host), "/echo");
            assert_eq!(presented(&echo.stream), pair.der, "{host}");
        }
        // A star stands for one label; who asks for a host that there is not, sees by the first that it is wrong here.
        let mut stream = tls_on(dial(address(&node)), &client, "a.b.example.org");
        let error = std::io::Write::write_all(&mut stream, b"x").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("not valid for name"), "{error}");
        drop(stream);
        stop(node);
    }
}

#[test]
fn certificates_change_under_load_and_no_connection_drops() {
    const CLIENTS: usize = 8;
    for backend in backends() {
        let authority = Authority::new();
        let old = authority.issue(&["localhost"]);
        let new = authority.issue(&["localhost"]);
        let tickets = Tickets::new().unwrap();
        let policy = tls_policy(server_tls(&[&old], &tickets), Limits::default());
        let mut node = start_with(backend, 2, policy);
        let mut client = authority.client();
        client.resumption = Resumption::in_memory_sessions(8);
        let client = Arc::new(client);
        let is_over = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let mut echo = connect(&node, &client, "/echo");
                let (is_over, der) = (is_over.clone(), old.der.clone());
                std::thread::spawn(move || {
                    let mut sent = 0u32;
                    while !is_over.load(Ordering::Relaxed) {
                        echo.send(&sent.to_be_bytes());
                        echo.expect_message(&sent.to_be_bytes());
                        sent += 1;
                    }
                    assert_eq!(presented(&echo.stream), der);
                    sent
                })
            })
            .collect();
        let fresh = Arc::new(authority.client());
        let mut echo = connect(&node, &fresh, "/echo");
        echo.send(b"before");
        echo.expect_message(b"before");
        assert_eq!(presented(&echo.stream), old.der);
        let policy = tls_policy(server_tls(&[&new], &tickets), Limits::default());
        node.reload(Arc::new(policy));
        until("all shards have the new one", || {
            node.go_on_reloading() && node.is_reloaded()
        });
        for _ in 0..20 {
            let mut echo = connect(&node, &fresh, "/echo");
            echo.send(b"after");
            echo.expect_message(b"after");
            assert_eq!(presented(&echo.stream), new.der);
        }
        // A ticket of before is good still: the secret stays.
        let resumed = connect(&node, &client, "/echo");
        let kind = resumed.stream.conn.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Resumed));
        echo.send(b"still");
        echo.expect_message(b"still");
        is_over.store(true, Ordering::Relaxed);
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
        assert!(handshakes(&node, TlsHandshake::Resumed) > 0);
        drop((echo, resumed));
        stop(node);
    }
}

#[test]
fn what_cannot_be_used_is_refused_by_its_place_and_reason() {
    let authority = Authority::new();
    let good = authority.issue(&["localhost"]);
    let other = authority.issue(&["localhost"]);
    let tickets = Tickets::new().unwrap();
    let refused = |chain: &str, key: &str| {
        let pairs = [
            Pem {
                chain: good.chain.as_bytes(),
                key: good.key.as_bytes(),
            },
            Pem {
                chain: chain.as_bytes(),
                key: key.as_bytes(),
            },
        ];
        let (place, error) = ServerTls::new(&pairs, &tickets).unwrap_err();
        assert_eq!(place, 1);
        error
    };
    assert_eq!(refused("", &good.key), CertificateError::NoCertificate);
    assert_eq!(refused(&good.chain, ""), CertificateError::NoKey);
    assert_eq!(refused(&good.chain, &other.key), CertificateError::Mismatch);
    let broken = good.chain.replace("MII", "!!!");
    assert!(matches!(
        refused(&broken, &good.key),
        CertificateError::Pem(_)
    ));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        refused(nonsense, &good.key),
        CertificateError::Certificate(_)
    ));
    assert!(ServerTls::new(&[], &tickets).is_err());
}

#[test]
fn what_is_shown_of_a_policy_tells_no_key() {
    let authority = Authority::new();
    let pair = authority.issue(&["localhost"]);
    let tls = server_tls(&[&pair], &Tickets::new().unwrap());
    let shown = format!("{:?}", tls_policy(tls.clone(), Limits::default()).tls);
    assert!(shown.contains("localhost"), "{shown}");
    let facts = &tls.certificates()[0];
    assert!(shown.contains(&facts.serial), "{shown}");
    assert!(facts.expires_at_seconds > 1_700_000_000);
    let secret = pair.key.lines().nth(1).unwrap();
    assert!(!shown.contains(&secret[..16]), "{shown}");
    assert!(
        !shown.contains("PrivateKey") && !shown.contains("Key"),
        "{shown}"
    );
}
