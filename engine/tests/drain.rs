//! SIGTERM: readiness, the delay, the drain, and its end.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Instant;

use support::{BACKENDS, Engine, PATIENCE, ask, until, upgraded};

const CLOSE_1012: [u8; 2] = [0x03, 0xf4];
/// A masked close frame without a code.
const ANSWER: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

/// The code of the close frame that comes next.
fn closed(client: &mut TcpStream) -> [u8; 2] {
    let mut frame = [0; 2];
    client.read_exact(&mut frame).unwrap();
    assert_eq!(frame[0], 0x88, "a close frame");
    let mut payload = vec![0; frame[1].into()];
    client.read_exact(&mut payload).unwrap();
    payload[..2].try_into().unwrap()
}

#[test]
fn an_idle_engine_ends_at_once() {
    for backend in BACKENDS {
        let engine = Engine::serve(backend, &["--drain-seconds", "60"]);
        engine.admin();
        let begin = Instant::now();
        engine.signal("TERM");
        let (code, output) = engine.end();
        assert_eq!(code, Some(0), "{output}");
        assert!(begin.elapsed() < PATIENCE / 2, "{output}");
    }
}

#[test]
fn in_the_ready_delay_newcomers_are_served_and_then_refused() {
    for backend in BACKENDS {
        let engine = Engine::serve(backend, &["--ready-delay", "3", "--drain-seconds", "1"]);
        let (address, admin) = (engine.listening(), engine.admin());
        let mut clients = vec![upgraded(&address, "/raw/a")];
        engine.signal("TERM");
        until("it is not ready", || {
            (ask(&admin, "GET /health/ready").status == 503).then_some(())
        });
        let metrics = ask(&admin, "GET /metrics").body;
        assert!(
            metrics.contains("ringmain_state{state=\"unready\"} 1"),
            "{metrics}"
        );
        // Not yet draining: a join works.
        clients.push(upgraded(&address, "/raw/a"));
        clients.push(upgraded(&address, "/echo"));
        until("it drains", || {
            let metrics = ask(&admin, "GET /metrics").body;
            metrics
                .contains("ringmain_state{state=\"draining\"} 1")
                .then_some(())
        });
        for client in &mut clients {
            assert_eq!(closed(client), CLOSE_1012);
        }
        let refused = until("nobody listens", || TcpStream::connect(&address).err());
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        drop(clients);
        let (code, output) = engine.end();
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains("not ready; not yet draining"), "{output}");
    }
}

#[test]
fn a_drain_tells_how_far_it_is_and_ends_in_time() {
    for backend in BACKENDS {
        let engine = Engine::serve_with_shards(backend, "4", &["--drain-seconds", "3"]);
        let (address, admin) = (engine.listening(), engine.admin());
        let mut clients: Vec<_> = (0..100).map(|_| upgraded(&address, "/echo")).collect();
        engine.signal("TERM");
        let readers: Vec<_> = clients
            .drain(..)
            .map(|mut client| {
                std::thread::spawn(move || {
                    let code = closed(&mut client);
                    std::io::Write::write_all(&mut client, &ANSWER).unwrap();
                    code
                })
            })
            .collect();
        let output = engine.says("still draining");
        assert!(output.contains("of=100"), "{output}");
        let left = |name: &str| -> u64 {
            let metrics = ask(&admin, "GET /metrics").body;
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        let connections = left("ringmain_drain_connections_left ");
        assert!((1..100).contains(&connections), "{connections}");
        assert!((1..=3).contains(&left("ringmain_drain_seconds_left ")));
        for reader in readers {
            assert_eq!(reader.join().unwrap(), CLOSE_1012);
        }
        let (code, output) = engine.end();
        assert_eq!(code, Some(0), "{output}");
    }
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    for backend in BACKENDS {
        let engine = Engine::serve(backend, &["--drain-seconds", "600"]);
        let address = engine.listening();
        let _clients: Vec<_> = (0..50).map(|_| upgraded(&address, "/echo")).collect();
        engine.signal("TERM");
        engine.says("still draining");
        engine.signal("INT");
        let (code, output) = engine.end();
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("a second signal"), "{output}");
    }
}
