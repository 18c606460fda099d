//! The rates of a room and of an address, on real sockets: four shards, both back ends, publishers on all of them.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod common;

use std::io::Write;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Client, backends, config, dial, frame, read_to_end, stop, until};
use ringmain_core::{Limits, Rate, RateAction, RateLimit, RoomPolicies, RoomSettings};
use ringmain_proto::ws::Opcode;
use ringmain_shard::{Node, NodeConfig, Policy};

fn rate(per_second: u64, burst: u64) -> Option<Rate> {
    Some(Rate::new(NonZeroU64::new(per_second).unwrap(), burst))
}

fn start(backend: ringmain_rt::Backend, message_rate: Option<Rate>, limits: Limits) -> Node {
    let settings = RoomSettings {
        message_rate,
        ..RoomSettings::default()
    };
    ringmain_shard::start(NodeConfig {
        policy: Arc::new(Policy {
            connections_max: 100_000,
            limits,
            rooms: RoomPolicies::new(Vec::new(), settings),
            ..Policy::default()
        }),
        ..config(backend, 4)
    })
    .unwrap()
}

fn exceeded(node: &Node, limit: RateLimit) -> u64 {
    let shards = node.shards().iter();
    let exceeded = shards.map(|shard| shard.stats().rates_exceeded[limit as usize].get());
    exceeded.sum()
}

#[test]
fn publishers_on_all_shards_get_the_rooms_rate_through_within_a_tenth() {
    for backend in backends() {
        for rate_action in [RateAction::Refuse, RateAction::Drop] {
            let limits = Limits {
                rate_action,
                ..Limits::default()
            };
            let node = start(backend, rate(1_000, 100), limits);
            let mut listener = Client::connect(node.address(), "/raw/a");
            let publishers: Vec<_> = (0..16)
                .map(|_| Client::connect(node.address(), "/raw/a").stream)
                .collect();
            let shards = node.shards().iter();
            let busy = shards
                .filter(|shard| shard.stats().members.get() > 0)
                .count();
            assert!(busy >= 3, "members on {busy} shards alone");
            let is_over = Arc::new(AtomicBool::new(false));
            let threads: Vec<_> = publishers
                .into_iter()
                .map(|mut stream| {
                    let is_over = is_over.clone();
                    std::thread::spawn(move || {
                        stream.set_nonblocking(true).unwrap();
                        let message = frame(Opcode::Binary, b"hello").repeat(4);
                        let mut rest = &message[..];
                        // Ten times what the room takes.
                        while !is_over.load(Ordering::Relaxed) {
                            match stream.write(rest) {
                                Ok(bytes) if bytes < rest.len() => rest = &rest[bytes..],
                                Ok(_) => rest = &message,
                                Err(_) => {}
                            }
                            std::thread::sleep(Duration::from_millis(6));
                        }
                        stream
                    })
                })
                .collect();
            // Past the burst, so that a late start does not count.
            for _ in 0..400 {
                listener.expect_message(b"hello");
            }
            let begin = Instant::now();
            for _ in 0..3_000 {
                listener.expect_message(b"hello");
            }
            let per_second = 3_000.0 / begin.elapsed().as_secs_f64();
            is_over.store(true, Ordering::Relaxed);
            assert!((900.0..=1_100.0).contains(&per_second), "{per_second}");
            assert!(exceeded(&node, RateLimit::RoomMessages) > 0);
            let streams: Vec<_> = threads.into_iter().map(|it| it.join().unwrap()).collect();
            drop(streams);
            stop(node);
        }
    }
}

fn post(node: &Node) -> String {
    let mut stream = dial(node.address());
    let request = "POST /rooms/a/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                   content-length: 5\r\n\r\nhello";
    stream.write_all(request.as_bytes()).unwrap();
    read_to_end(&mut stream)
}

#[test]
fn posts_beyond_a_rate_are_answered_with_429_and_when_to_come_again() {
    for backend in backends() {
        let address = Limits {
            address_rate: rate(5, 10),
            ..Limits::default()
        };
        for (room, limits, limit, says) in [
            (
                rate(5, 10),
                Limits::default(),
                RateLimit::RoomMessages,
                "the room takes",
            ),
            (
                None,
                address,
                RateLimit::AddressMessages,
                "this address publishes",
            ),
        ] {
            let node = start(backend, room, limits);
            let begin = Instant::now();
            let answers: Vec<String> = (0..40).map(|_| post(&node)).collect();
            let most = 10 + (begin.elapsed().as_secs_f64() * 5.0).ceil() as usize;
            let is = |status: &str| {
                let status = format!("HTTP/1.1 {status} ");
                answers.iter().filter(|it| it.starts_with(&status)).count()
            };
            assert!((10..=most).contains(&is("202")), "{} of {most}", is("202"));
            assert_eq!(is("202") + is("429"), 40);
            let refused = answers.iter().find(|it| it.contains(" 429 ")).unwrap();
            assert!(
                refused.contains("retry-after: 1") && refused.contains(says),
                "{refused}"
            );
            assert_eq!(exceeded(&node, limit), is("429") as u64);
            until("a message may be published again", || {
                post(&node).starts_with("HTTP/1.1 202 ")
            });
            stop(node);
        }
    }
}
