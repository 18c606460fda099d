//! Runs towards a server with TLS: the engine's own shards.

use std::sync::Arc;

use ringmain_core::TlsHandshake;
use ringmain_router::RoomKey;
use ringmain_rt::Backend;
use ringmain_shard::{Node, NodeConfig, Pem, Policy, ServerTls, Tickets};

use crate::program::{output, run};

/// A node with a certificate for `localhost`, in a file of its own, which vouches for itself.
fn start(name: &str) -> (Node, String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let pair = Pem {
        chain: chain.as_bytes(),
        key: key.as_bytes(),
    };
    let tls = ServerTls::new(&[pair], &Tickets::new().unwrap()).unwrap();
    let node = ringmain_shard::start(NodeConfig {
        name: "test.00000000".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        tls_listen: "127.0.0.1:0".parse().ok(),
        backlog: 1024,
        cpus: vec![None],
        backend: Backend::Epoll,
        policy: Arc::new(Policy {
            connections_max: 1_000,
            tls: Some(tls),
            tls_handshakes_max: 1_000,
            ..Policy::default()
        }),
        descriptors_max: 2_000,
        room_secret: RoomKey::new([5; 16]),
        linked: false,
    })
    .unwrap();
    let file =
        std::env::temp_dir().join(format!("ringmain-load-{name}-{}.pem", std::process::id()));
    std::fs::write(&file, chain).unwrap();
    let url = format!("wss://localhost:{}", node.tls_address().unwrap().port());
    (node, url, file.to_str().unwrap().to_owned())
}

fn handshakes(node: &Node, how: TlsHandshake) -> u64 {
    node.shards()[0].stats().tls_handshakes[how as usize].get()
}

#[test]
fn echo_and_idle_by_tls_and_sessions_that_are_resumed() {
    let (node, url, ca) = start("good");
    for io in ["epoll", "auto"] {
        let echo = run(&format!(
            "echo --url {url}/echo --ca {ca} --connections 20 --in-flight 3 --duration 0.3 --warmup 0 --io {io}"
        ));
        echo.assert_clean();
        let large = run(&format!(
            "echo --url {url}/echo --insecure --connections 3 --bytes 60000 --in-flight 4 --duration 0.3 --warmup 0 --io {io}"
        ));
        large.assert_clean();
        let idle = run(&format!(
            "idle --url {url} --ca {ca} --connections 30 --members-per-room 10 --probe --duration 0.2 --io {io}"
        ));
        idle.assert_clean();
    }
    assert_eq!(handshakes(&node, TlsHandshake::Full), 106);
    assert_eq!(handshakes(&node, TlsHandshake::Resumed), 0);
    let resumed = run(&format!(
        "connect --url {url}/echo --ca {ca} --resume --connections 50 --handshakes-max 2 --threads 1"
    ));
    resumed.assert_clean();
    assert_eq!(handshakes(&node, TlsHandshake::Resumed), 48);
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn whom_nobody_vouches_for_is_not_loaded_and_the_reason_is_told() {
    let (_node, url, ca) = start("bad");
    let (_other, _, other_ca) = start("other");
    let strange = run(&format!(
        "connect --url {url}/echo --ca {other_ca} --connections 3"
    ));
    assert_eq!(strange.errors("tls_failed"), 3, "{:#}", strange.report);
    assert_eq!(strange.count("connected"), 0);
    for (words, wanted) in [
        (format!("connect --url {url}/echo"), "--ca FILE"),
        (
            format!("connect --url {url}/echo --ca /nowhere.pem"),
            "/nowhere.pem",
        ),
        (
            "connect --url ws://127.0.0.1:1/ --insecure".to_owned(),
            "wss:// alone",
        ),
    ] {
        let output = output(&words);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(wanted), "{stderr}");
    }
    for file in [ca, other_ca] {
        std::fs::remove_file(file).unwrap();
    }
}
