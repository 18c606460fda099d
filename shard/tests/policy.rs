//! A policy is exchanged while connections are open.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod common;

use std::io::Write;
use std::sync::Arc;

use common::{Client, Got, backends, config, dial, policy, read_to_end, stop, until};
use ringmain_core::Limits;
use ringmain_shard::{Origins, Policy};

#[test]
fn new_bounds_hold_on_every_shard_for_those_that_are_connected() {
    for backend in backends() {
        let mut node = ringmain_shard::start(config(backend, 3)).unwrap();
        let mut clients: Vec<_> = (0..12)
            .map(|_| Client::connect(node.address(), "/echo"))
            .collect();
        let message = [7; 1000];
        for client in &mut clients {
            client.send(&message);
            client.expect_message(&message);
        }
        let limits = Limits {
            message_bytes_max: 999,
            ..Limits::default()
        };
        // More often than may wait, so that some find the way full.
        for _ in 0..10 {
            let _ = node.reload(policy(limits.clone()));
        }
        until("all shards were given it", || node.go_on_reloading());
        until("all shards have it", || node.is_reloaded());
        for client in &mut clients {
            client.send(&message);
            let Got::Close(Some(frame)) = client.next() else {
                panic!("the message was let in");
            };
            assert_eq!(u16::from(frame.code), 1009);
        }
        drop(clients);
        stop(node);
    }
}

#[test]
fn new_origins_hold_for_the_next_request() {
    for backend in backends() {
        let mut node = ringmain_shard::start(config(backend, 3)).unwrap();
        let ask = |node: &ringmain_shard::Node| {
            let mut stream = dial(node.address());
            let request = "POST /rooms/a/messages HTTP/1.1\r\nhost: x\r\norigin: https://a.example\r\n\
                           connection: close\r\ncontent-length: 1\r\n\r\nx";
            stream.write_all(request.as_bytes()).unwrap();
            read_to_end(&mut stream)
        };
        for _ in 0..12 {
            assert!(ask(&node).starts_with("HTTP/1.1 403 "));
        }
        let origins = Origins {
            allowed: vec!["https://a.example".parse().unwrap()],
            missing_allowed: true,
        };
        let _ = node.reload(Arc::new(Policy {
            origins,
            ..(*policy(Limits::default())).clone()
        }));
        until("all shards have it", || node.go_on_reloading());
        // A shard takes it up between two turns, which may come after the first of these.
        until("it is let in", || ask(&node).starts_with("HTTP/1.1 202 "));
        until("every shard lets it in", || {
            (0..12).all(|_| ask(&node).starts_with("HTTP/1.1 202 "))
        });
        stop(node);
    }
}
