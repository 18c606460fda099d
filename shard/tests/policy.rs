//! A policy is exchanged while connections are open.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod common;

use common::{Client, Got, backends, config, policy, stop, until};
use ringmain_core::Limits;

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
