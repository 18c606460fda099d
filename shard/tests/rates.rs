//! Rates on real sockets, four shards.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Client, Got, backends, config, dial, frame, request, stop, until};
use ringmain_core::{ConnectionRates, Limits, Rate, RateAction, RateLimit};
use ringmain_proto::ws::Opcode;
use ringmain_shard::{Node, NodeConfig, Policy};

fn rate(per_second: u64, burst: u64) -> Rate {
    Rate::new(NonZeroU64::new(per_second).unwrap(), burst)
}

fn start(backend: ringmain_rt::Backend, policy: Policy) -> Node {
    ringmain_shard::start(NodeConfig {
        policy: Arc::new(Policy {
            connections_max: 100_000,
            ..policy
        }),
        ..config(backend, 4)
    })
    .unwrap()
}

fn accepted(node: &Node) -> u64 {
    let shards = node.shards().iter();
    shards.map(|shard| shard.stats().accepted.get()).sum()
}

fn exceeded(node: &Node, limit: RateLimit) -> u64 {
    let shards = node.shards().iter();
    let exceeded = shards.map(|shard| shard.stats().rates_exceeded[limit as usize].get());
    exceeded.sum()
}

#[test]
fn whoever_comes_too_fast_waits_to_be_accepted_and_nobody_is_refused() {
    const CLIENTS: u64 = 400;
    for backend in backends() {
        let node = start(
            backend,
            Policy {
                accept_rate: Some(rate(200, 80)),
                ..Policy::default()
            },
        );
        let begin = Instant::now();
        let mut streams: Vec<TcpStream> = (0..CLIENTS)
            .map(|_| {
                let mut stream = dial(node.address());
                stream.write_all(&request("/echo")).unwrap();
                stream
            })
            .collect();
        // While they wait, no more than the rate comes in.
        loop {
            // In this order: what is accepted in between makes the bound only larger.
            let now = accepted(&node);
            let passed = begin.elapsed().as_secs_f64();
            let most = 80.0 + 200.0 * passed + 4.0;
            assert!(now as f64 <= most, "{now} after {passed} s");
            if now == CLIENTS || passed > 1.0 {
                break;
            }
            std::thread::yield_now();
        }
        assert!(accepted(&node) >= 200, "{}", accepted(&node));
        assert!(exceeded(&node, RateLimit::Accepts) > 0);
        streams
            .drain(..)
            .for_each(|stream| drop(Client::upgraded(stream)));
        assert_eq!(accepted(&node), CLIENTS);
        stop(node);
    }
}

#[test]
fn a_drain_empties_the_queue_whatever_the_rate() {
    for backend in backends() {
        let mut node = start(
            backend,
            Policy {
                accept_rate: Some(rate(1, 4)),
                ..Policy::default()
            },
        );
        let streams: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = dial(node.address());
                stream.write_all(&request("/echo")).unwrap();
                stream
            })
            .collect();
        until("all shards know of the drain", || {
            node.drain(Duration::from_millis(500), 1)
        });
        for stream in streams {
            let mut client = Client::upgraded(stream);
            match client.next() {
                Got::Close(Some(close)) => assert_eq!(close.code.get(), 1012),
                other => panic!("{other:?} instead of a close"),
            }
        }
        stop(node);
    }
}

#[test]
fn with_refuse_a_fast_sender_is_slowed_down_and_loses_nothing() {
    for backend in backends() {
        let node = start(
            backend,
            Policy {
                limits: Limits {
                    connection_rates: ConnectionRates {
                        messages: Some(rate(500, 100)),
                        bytes: None,
                    },
                    rate_action: RateAction::Refuse,
                    ..Limits::default()
                },
                ..Policy::default()
            },
        );
        let mut fast = Client::connect(node.address(), "/echo");
        let mut calm = Client::connect(node.address(), "/echo");
        let begin = Instant::now();
        let messages: Vec<u8> = (0..600u32)
            .flat_map(|number| frame(Opcode::Binary, &number.to_le_bytes()))
            .collect();
        fast.stream.write_all(&messages).unwrap();
        for number in 0..600u32 {
            if number % 100 == 0 {
                calm.send(b"calm");
                calm.expect_message(b"calm");
            }
            fast.expect_message(&number.to_le_bytes());
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(980), "{took:?}");
        assert!(took < Duration::from_secs(4), "{took:?}");
        stop(node);
    }
}

#[test]
fn with_close_a_fast_sender_is_told_why() {
    for backend in backends() {
        let node = start(
            backend,
            Policy {
                limits: Limits {
                    connection_rates: ConnectionRates {
                        messages: None,
                        bytes: Some(rate(1_000, 10_000)),
                    },
                    rate_action: RateAction::Close,
                    ..Limits::default()
                },
                ..Policy::default()
            },
        );
        let mut client = Client::connect(node.address(), "/echo");
        client.send(&[1; 8_000]);
        client.expect_message(&[1; 8_000]);
        client.send(&[1; 8_000]);
        match client.next() {
            Got::Close(Some(close)) => assert_eq!(close.code.get(), 1008),
            other => panic!("{other:?} instead of a close"),
        }
        assert_eq!(exceeded(&node, RateLimit::ConnectionBytes), 1);
        stop(node);
    }
}

/// What the sender cannot send is kept by its own system: the server takes it from nobody's memory.
#[test]
fn with_refuse_the_senders_own_system_is_what_fills() {
    for backend in backends() {
        let node = start(
            backend,
            Policy {
                limits: Limits {
                    connection_rates: ConnectionRates {
                        messages: None,
                        bytes: Some(rate(20_000, 20_000)),
                    },
                    ..Limits::default()
                },
                ..Policy::default()
            },
        );
        let mut client = Client::connect(node.address(), "/raw/a");
        client.stream.set_nonblocking(true).unwrap();
        let message = frame(Opcode::Binary, &[0; 16_000]);
        let mut sent = 0;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            match client.stream.write(&message) {
                Ok(bytes) => sent += bytes,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            std::thread::yield_now();
        }
        let taken: u64 = {
            let shards = node.shards().iter();
            shards.map(|shard| shard.stats().bytes_in.get()).sum()
        };
        let memory: u64 = {
            let shards = node.shards().iter();
            shards.map(|shard| shard.stats().memory_bytes.get()).sum()
        };
        assert!(taken < 300_000, "{taken} of {sent} bytes");
        assert!(memory <= 128 * 1024, "{memory}");
        let _ = client.stream.read(&mut [0; 1]);
        stop(node);
    }
}
