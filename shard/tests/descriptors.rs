//! Descriptor tables: each shard its own, exhausted and freed, and nobody else's bytes in them.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use common::{Client, Got, backends, config, dial, read_to_end, request, stop, until};
use ringmain_core::{Limits, Refusal};
use ringmain_shard::{NodeConfig, Policy};

#[test]
fn a_full_shard_answers_503_and_takes_others_when_some_have_gone() {
    for backend in backends() {
        // Leaves a handful after the reserve and what is open already.
        let mut descriptors_max = 150;
        let node = loop {
            match ringmain_shard::start(NodeConfig {
                descriptors_max,
                ..config(backend, 1)
            }) {
                Ok(node) if node.shards()[0].connections_max() >= 5 => break node,
                Ok(node) => stop(node),
                Err(_) => {}
            }
            descriptors_max += 4;
        };
        let max = node.shards()[0].connections_max();
        let mut clients: Vec<_> = (0..max)
            .map(|_| Client::connect(node.address(), "/echo"))
            .collect();
        // More than the reserve can hold at once: the rest waits, and is told in the end.
        let asking = |_| {
            let mut stream = dial(node.address());
            stream.write_all(&request("/echo")).unwrap();
            stream
        };
        let refused: Vec<_> = (0..100).map(asking).collect();
        for mut stream in refused {
            let answer = read_to_end(&mut stream);
            assert!(
                answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after"),
                "{answer}"
            );
        }
        for client in &mut clients {
            client.send(b"still here");
            client.expect_message(b"still here");
        }
        clients.truncate(max - 2);
        let stats = node.shards()[0].stats().clone();
        until("two have gone", || {
            stats.connections.get() as usize == max - 2
        });
        for _ in 0..2 {
            let mut client = Client::connect(node.address(), "/echo");
            client.send(b"new");
            client.expect_message(b"new");
            clients.push(client);
        }
        assert_eq!(stats.refusals[Refusal::ConnectionsMax as usize].get(), 100);
        drop(clients);
        until("all have gone", || stats.connections.get() == 0);
        stop(node);
    }
}

#[test]
fn connections_max_holds_for_the_node() {
    for backend in backends() {
        let of = |connections_max| {
            let limits = Limits::default();
            Arc::new(Policy {
                limits,
                connections_max,
                ..Policy::default()
            })
        };
        let mut node = ringmain_shard::start(NodeConfig {
            policy: of(6),
            ..config(backend, 3)
        })
        .unwrap();
        let mut clients: Vec<_> = (0..6)
            .map(|_| Client::connect(node.address(), "/echo"))
            .collect();
        let mut stream = dial(node.address());
        stream.write_all(&request("/echo")).unwrap();
        assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 503 "));
        node.reload(of(7));
        until("all shards have it", || node.is_reloaded());
        clients.push(Client::connect(node.address(), "/echo"));
        drop(clients);
        stop(node);
    }
}

/// Descriptors that the rest of the process opens after the shards have started have the same
/// numbers as their sockets, and must have nothing to do with them.
#[test]
fn no_client_receives_a_byte_of_a_foreign_descriptor() {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 3)).unwrap();
        let mut members: Vec<_> = (0..60)
            .map(|_| Client::connect(node.address(), "/raw/quiet"))
            .collect();
        let mut pairs: Vec<_> = (0..200).map(|_| UnixStream::pair().unwrap()).collect();
        let mut echoes: Vec<_> = (0..30)
            .map(|_| Client::connect(node.address(), "/echo"))
            .collect();
        for round in 0..50u8 {
            for (one, other) in &mut pairs {
                one.write_all(&[0xFF; 8]).unwrap();
                let mut bytes = [0; 8];
                other.read_exact(&mut bytes).unwrap();
                assert_eq!(
                    bytes, [0xFF; 8],
                    "nor does a shard write into a foreign descriptor"
                );
            }
            // Rings doorbells across all shards.
            let publisher = usize::from(round) % members.len();
            members[publisher].send(&[round; 100]);
            for (index, member) in members.iter_mut().enumerate() {
                if index != publisher {
                    member.expect_message(&[round; 100]);
                }
            }
            let echo = &mut echoes[usize::from(round) % 30];
            echo.send(&[round]);
            echo.expect_message(&[round]);
        }
        let mut node = node;
        until("the stop is taken", || node.stop());
        for client in members.iter_mut().chain(&mut echoes) {
            assert!(
                matches!(client.next(), Got::Close(Some(close)) if close.code.get() == 1012),
                "nothing but the close"
            );
        }
        drop((members, echoes));
        stop(node);
    }
}
