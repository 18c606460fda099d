//! SIGHUP: what changes, what needs a restart, and what is refused.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{BACKENDS, Engine, Temporary, ask, temporary, until, upgraded};

const DONE: &str = "all shards go by the new configuration";

fn write(file: &Temporary, text: &str) {
    std::fs::write(&file.0, text).unwrap();
}

fn send(client: &mut TcpStream, payload: &[u8]) {
    // Masked with zeros, a length of 16 bits.
    let mut frame = vec![0x82, 0xfe];
    frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    client.write_all(&frame).unwrap();
}

/// The payload of the next frame, whose length has 16 bits, or the code of a close frame.
fn receive(client: &mut TcpStream) -> Result<Vec<u8>, u16> {
    let mut head = [0; 2];
    client.read_exact(&mut head).unwrap();
    let bytes = if head[1] == 126 {
        let mut length = [0; 2];
        client.read_exact(&mut length).unwrap();
        u16::from_be_bytes(length)
    } else {
        head[1].into()
    };
    let mut payload = vec![0; bytes.into()];
    client.read_exact(&mut payload).unwrap();
    match head[0] {
        0x82 => Ok(payload),
        _ => Err(u16::from_be_bytes([payload[0], payload[1]])),
    }
}

#[test]
fn a_new_value_holds_for_those_who_are_connected_and_is_told() {
    for backend in BACKENDS {
        let file = temporary("reload", "message_bytes_max = 1000\n");
        let engine = Engine::serve(backend, &["--config", &file.0]);
        let (address, admin) = (engine.listening(), engine.admin());
        let mut client = upgraded(&address, "/echo");
        send(&mut upgraded(&address, "/echo"), &[1; 500]);
        write(
            &file,
            "message_bytes_max = 2000\nconnections_max = 7\nbacklog = 17\n",
        );
        engine.signal("HUP");
        let output = engine.says(DONE);
        for line in [
            "message_bytes_max: 1000 -> 2000",
            "connections_max: 1000000 -> 7",
            "backlog: 4096 -> 17 is not applied: it needs a restart",
        ] {
            assert!(output.contains(line), "{line}\n{output}");
        }
        send(&mut client, &[7; 1500]);
        assert_eq!(receive(&mut client), Ok(vec![7; 1500]));
        send(&mut client, &[7; 2001]);
        assert_eq!(receive(&mut client), Err(1009));
        let metrics = ask(&admin, "GET /metrics").body;
        for line in [
            "ringmain_reloads_total{outcome=\"applied\"} 1",
            "ringmain_reloads_total{outcome=\"refused\"} 0",
            "ringmain_connections_max 7",
        ] {
            assert!(
                metrics.lines().any(|found| found == line),
                "{line}\n{metrics}"
            );
        }
    }
}

#[test]
fn an_invalid_configuration_keeps_the_old_one_and_names_what_is_wrong() {
    let file = temporary("refused", "message_bytes_max = 1000\n");
    let engine = Engine::serve("epoll", &["--config", &file.0]);
    let (address, admin) = (engine.listening(), engine.admin());
    let mut client = upgraded(&address, "/echo");
    for (text, problem) in [
        (
            "message_bytes_max = 2000\nmesage_bytes = 1\n",
            format!("unknown key `mesage_bytes` ({}, line 2)", file.0),
        ),
        ("message_bytes_max = 1", "is 1; allowed: 125".to_owned()),
        ("message_bytes_max = ", "is not TOML".to_owned()),
        (
            "memory_bytes_max = '16384GiB'",
            "the process may use".to_owned(),
        ),
    ] {
        write(&file, text);
        engine.signal("HUP");
        engine.says(&problem);
    }
    std::fs::remove_file(&file.0).unwrap();
    engine.signal("HUP");
    engine.says("cannot read the configuration file");
    until("all are counted", || {
        let metrics = ask(&admin, "GET /metrics").body;
        metrics
            .contains("ringmain_reloads_total{outcome=\"refused\"} 5")
            .then_some(())
    });
    send(&mut client, &[7; 1000]);
    assert_eq!(receive(&mut client), Ok(vec![7; 1000]));
    send(&mut client, &[7; 1001]);
    assert_eq!(receive(&mut client), Err(1009));
    // A good one is taken after all that.
    write(&file, "message_bytes_max = 3000\n");
    engine.signal("HUP");
    engine.says(DONE);
    let mut client = upgraded(&address, "/echo");
    send(&mut client, &[7; 3000]);
    assert_eq!(receive(&mut client), Ok(vec![7; 3000]));
}

#[test]
fn flags_and_environment_win_over_the_file_as_they_did_at_the_start() {
    let file = temporary("layers", "heartbeat_seconds = 10\n");
    let flags = ["--config", &file.0, "--message-bytes-max", "1000"];
    let engine = Engine::serve("epoll", &flags);
    engine.admin();
    write(
        &file,
        "heartbeat_seconds = 11\nmessage_bytes_max = 5\ndrain_seconds = 7\n",
    );
    engine.signal("HUP");
    let output = engine.says(DONE);
    assert!(output.contains("heartbeat_seconds: 10 -> 11"), "{output}");
    assert!(!output.contains("message_bytes_max:"), "{output}");
    assert!(!output.contains("drain_seconds:"), "{output}");
}

#[test]
fn the_log_can_become_quieter_and_louder() {
    let file = temporary("log", "");
    let engine = Engine::serve("epoll", &["--config", &file.0]);
    let admin = engine.admin();
    let reload = |engine: &Engine, text: &str, times: u32| {
        write(&file, text);
        engine.signal("HUP");
        until("it was read", || {
            let metrics = ask(&admin, "GET /metrics").body;
            let line = format!("ringmain_reloads_total{{outcome=\"applied\"}} {times}");
            metrics.contains(&line).then_some(())
        });
    };
    reload(&engine, "log = 'error'", 1);
    reload(&engine, "log = 'error'\nheartbeat_seconds = 11", 2);
    reload(&engine, "log = 'info'\nheartbeat_seconds = 11", 3);
    reload(&engine, "log = 'info'\nheartbeat_seconds = 12", 4);
    let output = engine.says("heartbeat_seconds: 11 -> 12");
    assert!(output.contains("log: info -> error"), "{output}");
    assert!(!output.contains("heartbeat_seconds: 25 -> 11"), "{output}");
}

/// The shards choose themselves which ends they tell.
#[test]
fn what_a_louder_log_wants_is_told_by_the_shards_too() {
    let file = temporary("loud", "log = 'error'\n");
    let engine = Engine::serve("epoll", &["--config", &file.0]);
    let address = engine.listening();
    write(&file, "log = 'info'\n");
    engine.signal("HUP");
    engine.says(DONE);
    let mut client = upgraded(&address, "/echo");
    // Without the mask that it must have (RFC 6455, section 5.1).
    client.write_all(&[0x82, 0x01, 0x00]).unwrap();
    assert_eq!(receive(&mut client), Err(1002));
    engine.says("reason=\"protocol_error\"");
}

/// 1,000 members talk in 100 rooms while the configuration is read again and again.
#[test]
fn a_reload_loses_nothing() {
    for backend in BACKENDS {
        let file = temporary(&format!("talk-{backend}"), "");
        let engine = Engine::serve_with_shards(backend, "4", &["--config", &file.0]);
        let (address, admin) = (engine.listening(), engine.admin());
        let mut rooms: Vec<Vec<TcpStream>> = (0..100)
            .map(|room| {
                let member = || upgraded(&address, &format!("/raw/room-{room}"));
                std::iter::repeat_with(member).take(10).collect()
            })
            .collect();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20 {
                    write(&file, &format!("heartbeat_seconds = {}\n", 30 + round));
                    engine.signal("HUP");
                    until("it was read", || {
                        let metrics = ask(&admin, "GET /metrics").body;
                        let line = format!("outcome=\"applied\"}} {}", round + 1);
                        metrics.contains(&line).then_some(())
                    });
                }
                is_over.store(true, Ordering::Relaxed);
            });
            let mut round = 0u32;
            while !is_over.load(Ordering::Relaxed) || round < 10 {
                for members in &mut rooms {
                    let speaker = round as usize % members.len();
                    let mut message = [0; 200];
                    message[..4].copy_from_slice(&round.to_be_bytes());
                    send(&mut members[speaker], &message);
                    let listeners = members.iter_mut().enumerate();
                    for (_, member) in listeners.filter(|(index, _)| *index != speaker) {
                        assert_eq!(receive(member), Ok(message.to_vec()));
                    }
                }
                round += 1;
            }
        });
        engine.says(DONE);
        let metrics = ask(&admin, "GET /metrics").body;
        let closes = metrics
            .lines()
            .filter(|line| line.starts_with("ringmain_closes_total"));
        assert!(
            closes.into_iter().all(|line| line.ends_with(" 0")),
            "{metrics}"
        );
    }
}
