//! Many at once.

use std::io::Write;
use std::net::TcpStream;

use ringmain_proto::ws::Opcode;

use crate::client::{dial, frame, read_to_end, request, upgraded};
use crate::network::Network;
use crate::world::{BACKENDS, Engine, GoodMembers, load, temporary, until};

/// Closes with a reset, which throws away whatever is on its way.
fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
}

#[test]
fn resets_at_any_moment_end_what_they_were_sent_to() {
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let good = GoodMembers::talk(&engine, 5);
        let request = request("/raw/reset");
        let message = frame(Opcode::Binary, &[1; 200]);
        for round in 0..3_000 {
            let mut stream = dial(engine.address);
            // Before anything was said, within the request, right behind it, or within a message.
            match round % 4 {
                0 => {}
                1 => stream.write_all(&request[..request.len() / 2]).unwrap(),
                2 => stream.write_all(&request).unwrap(),
                _ => {
                    stream = upgraded(engine.address, "/raw/reset");
                    stream.write_all(&message[..100]).unwrap();
                }
            }
            reset(stream);
        }
        good.assert_unharmed();
        until("all of them are gone", || {
            (engine.metric("ringmain_connections", "") == 0).then_some(())
        });
        assert_eq!(engine.metric("ringmain_members", ""), 0);
        engine.assert_well();
    }
}

#[test]
fn peers_that_have_gone_silent_are_found_out() {
    let file = temporary("silent", "heartbeat_seconds = 1\npong_wait_seconds = 1\n");
    for backend in BACKENDS {
        let engine = Engine::start(backend, &["--config", &file.0]);
        let good = GoodMembers::talk(&engine, 6);
        let mut silent: Vec<_> = (0..1_000)
            .map(|_| upgraded(engine.address, "/raw/silent"))
            .collect();
        until("all were found out", || {
            (engine.closed("heartbeat_timeout") == 1_000).then_some(())
        });
        for stream in &mut silent {
            // A ping, and the end.
            assert_eq!(read_to_end(stream)[0], 0x89);
        }
        good.assert_unharmed();
        engine.assert_well();
    }
}

#[test]
fn peers_whose_cable_was_pulled_are_found_out() {
    let file = temporary("cable", "heartbeat_seconds = 1\npong_wait_seconds = 1\n");
    for (number, backend) in (0..).zip(BACKENDS) {
        let Some(network) = Network::new(number) else {
            return;
        };
        let engine = Engine::start_at("0.0.0.0:0", backend, &["--config", &file.0]);
        let url = format!("ws://{}:{}/raw/far", network.host, engine.address.port());
        let far = network.load(&format!("idle --url {url} --connections 500 --duration 60"));
        until("the far ones are there", || {
            (engine.metric("ringmain_members", "") == 500).then_some(())
        });
        let good = GoodMembers::talk(&engine, 6);
        network.pull();
        until("all were found out", || {
            (engine.closed("heartbeat_timeout") == 500).then_some(())
        });
        good.assert_unharmed();
        far.kill();
        until("all of them are gone", || {
            (engine.metric("ringmain_connections", "") == 0).then_some(())
        });
        engine.assert_well();
    }
}

#[test]
fn thirty_thousand_leave_at_once_while_five_thousand_arrive() {
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let good = GoodMembers::talk(&engine, 15);
        let url = format!("ws://{}/raw/crowd", engine.address);
        let crowd = load(&format!(
            "idle --url {url} --connections 30000 --duration 60"
        ));
        until("the crowd is there", || {
            (engine.metric("ringmain_members", "") >= 31_000).then_some(())
        });
        let arriving = load(&format!(
            "connect --url {url} --connections 5000 --duration 1"
        ));
        assert!(arriving.is_running());
        crowd.kill();
        let (code, report) = arriving.end();
        assert_eq!(
            (code, &report["connected"]),
            (0, &5_000.into()),
            "{report:#}"
        );
        good.assert_unharmed();
        until("all of them are gone", || {
            (engine.metric("ringmain_connections", "") == 0).then_some(())
        });
        assert_eq!(engine.metric("ringmain_rooms", ""), 0);
        engine.assert_well();
    }
}
