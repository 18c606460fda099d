//! Connections counted by address on real sockets: four shards, both back ends.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use common::{Client, DEADLINE, backends, config, head, read_to_end, request, stop, until};
use ringmain_core::blocks::BlockRule;
use ringmain_core::shard::Refusal;
use ringmain_core::{Limits, Networks};
use ringmain_shard::{Node, NodeConfig, Policy};

/// A connection from this address of the loopback network.
fn dial_from(from: &str, to: SocketAddr) -> TcpStream {
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    let stream = ringmain_rt::connect::connect(Some(from), to, None).unwrap();
    until("it is connected", || stream.peer_addr().is_ok());
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
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

fn limited(connections_per_address: u32) -> Policy {
    Policy {
        limits: Limits {
            connections_per_address,
            ..Limits::default()
        },
        ..Policy::default()
    }
}

fn trusting(policy: Policy, networks: &[&str], proxy_protocol: bool) -> Policy {
    let networks = networks.iter().map(|network| network.parse().unwrap());
    Policy {
        trusted_proxies: Networks::new(networks.collect()),
        proxy_protocol,
        ..policy
    }
}

fn sum(node: &Node, of: impl Fn(&ringmain_core::ShardStats) -> u64) -> u64 {
    node.shards().iter().map(|shard| of(shard.stats())).sum()
}

fn refused(node: &Node, refusal: Refusal) -> u64 {
    sum(node, |stats| stats.refusals[refusal as usize].get())
}

/// Asks for a WebSocket; whether it is granted, and the answer.
fn ask(mut stream: TcpStream, first: &[u8], headers: &str) -> (bool, String, TcpStream) {
    let request = String::from_utf8(request("/echo")).unwrap();
    let request = request.strip_suffix("\r\n").unwrap();
    let bytes = [first, request.as_bytes(), headers.as_bytes(), b"\r\n"].concat();
    // Who is refused before may be shut already.
    let _ = stream.write_all(&bytes);
    let head = head(&mut stream);
    (head.starts_with("HTTP/1.1 101 "), head, stream)
}

#[test]
fn an_address_has_exactly_as_many_connections_as_it_may_whatever_the_shards() {
    for backend in backends() {
        let node = start(backend, limited(7));
        let addresses = ["127.0.1.1", "127.0.1.2", "127.0.2.1"];
        for round in 1..=3u64 {
            let threads: Vec<_> = addresses
                .iter()
                .map(|from| {
                    let (from, to) = ((*from).to_owned(), node.address());
                    std::thread::spawn(move || {
                        // All ask before any is answered.
                        let streams: Vec<_> = (0..30).map(|_| dial_from(&from, to)).collect();
                        let answers: Vec<_> =
                            streams.into_iter().map(|it| ask(it, b"", "")).collect();
                        for (is_granted, head, _) in &answers {
                            if !is_granted {
                                assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
                                assert!(head.contains("retry-after: 5"), "{head}");
                            }
                        }
                        let granted = answers.into_iter().filter(|(is_granted, ..)| *is_granted);
                        granted.map(|(_, _, stream)| stream).collect::<Vec<_>>()
                    })
                })
                .collect();
            let held: Vec<Vec<TcpStream>> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            for held in &held {
                assert_eq!(held.len(), 7);
            }
            assert_eq!(refused(&node, Refusal::AddressConnections), round * 3 * 23);
            drop(held);
            until("all are gone", || {
                sum(&node, |stats| stats.connections.get()) == 0
            });
            until("all is given back", || {
                sum(&node, |stats| stats.subjects_kept.get()) == 0
            });
        }
        stop(node);
    }
}

#[test]
fn while_connections_come_and_go_none_is_lost_and_none_too_many() {
    for backend in backends() {
        let node = start(backend, limited(5));
        let to = node.address();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                std::thread::spawn(move || {
                    // Half of them go before they are answered.
                    for round in 0..100 {
                        let mut stream = dial_from("127.0.3.1", to);
                        if (round + number) % 2 == 0 {
                            let _ = stream.write_all(&request("/echo"));
                        } else {
                            drop(ask(stream, b"", ""));
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        until("all are gone", || {
            sum(&node, |stats| stats.connections.get()) == 0
        });
        until("all is given back", || {
            sum(&node, |stats| stats.subjects_kept.get()) == 0
        });
        let answers: Vec<_> = (0..8)
            .map(|_| ask(dial_from("127.0.3.1", to), b"", ""))
            .collect();
        assert_eq!(answers.iter().filter(|(granted, ..)| *granted).count(), 5);
        stop(node);
    }
}

#[test]
fn event_streams_count_and_whoever_says_nothing_is_shut() {
    for backend in backends() {
        let node = start(backend, limited(1));
        let mut stream = dial_from("127.0.4.1", node.address());
        stream
            .write_all(b"GET /sse/a HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
        let (is_granted, answer, mut refused) =
            ask(dial_from("127.0.4.1", node.address()), b"", "");
        assert!(!is_granted, "{answer}");
        assert!(read_to_end(&mut refused).contains("as many connections as it may"));
        let mut silent = dial_from("127.0.4.1", node.address());
        assert_eq!(read_to_end(&mut silent), "");
        stop(node);
    }
}

#[test]
fn who_breaks_limits_again_and_again_is_blocked_for_a_while() {
    for backend in backends() {
        let mut policy = limited(1);
        policy.limits.block = Some(BlockRule {
            after: NonZeroU64::new(3).unwrap(),
            seconds: 2,
        });
        let node = start(backend, policy);
        let to = node.address();
        let (is_granted, _, held) = ask(dial_from("127.0.5.1", to), b"", "");
        assert!(is_granted);
        for _ in 0..3 {
            assert!(!ask(dial_from("127.0.5.1", to), b"", "").0);
        }
        drop(held);
        until("it is gone", || {
            sum(&node, |stats| stats.connections.get()) == 0
        });
        let (is_granted, answer, mut blocked) = ask(dial_from("127.0.5.1", to), b"", "");
        assert!(!is_granted && answer.contains("retry-after: "), "{answer}");
        assert!(read_to_end(&mut blocked).contains("blocked for a while"));
        assert_eq!(refused(&node, Refusal::Blocked), 1);
        assert!(
            ask(dial_from("127.0.5.2", to), b"", "").0,
            "others are not concerned"
        );
        until("the block is over", || {
            ask(dial_from("127.0.5.1", to), b"", "").0
        });
        stop(node);
    }
}

/// A PROXY header, version 2.
fn proxied(from: &str) -> Vec<u8> {
    let from: SocketAddr = from.parse().unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    match from {
        SocketAddr::V4(from) => {
            header.extend_from_slice(&[0x11, 0, 12]);
            header.extend_from_slice(&from.ip().octets());
            header.extend_from_slice(&[127, 0, 0, 1]);
        }
        SocketAddr::V6(from) => {
            header.extend_from_slice(&[0x21, 0, 36]);
            header.extend_from_slice(&from.ip().octets());
            header.extend_from_slice(&[0; 16]);
        }
    }
    header.extend_from_slice(&from.port().to_be_bytes());
    header.extend_from_slice(&[0, 80]);
    header
}

#[test]
fn what_proxies_say_counts_if_they_are_trusted_and_not_else() {
    for backend in backends() {
        let policy = trusting(limited(2), &["127.0.6.0/24"], false);
        let node = start(backend, policy);
        let to = node.address();
        let forwarded = |from: &str, value: &str| {
            let headers = format!("x-forwarded-for: {value}\r\n");
            ask(dial_from(from, to), b"", &headers)
        };
        let mut held = Vec::new();
        for client in [
            "203.0.113.1",
            "203.0.113.2",
            "2001:db8:0:1::1",
            "2001:db8:0:2::1",
        ] {
            for more in [true, true, false] {
                // What the client itself has written is not believed.
                let answer = forwarded("127.0.6.1", &format!("9.9.9.9, {client}, 127.0.6.7"));
                assert_eq!(answer.0, more, "{client}: {}", answer.1);
                held.push(answer.2);
            }
        }
        // The same network of 64 bits is the same client.
        assert!(!forwarded("127.0.6.2", "2001:db8:0:1:ffff::9").0);
        // A proxy that is not trusted is a client, whatever it says.
        for (n, more) in [true, true, false].into_iter().enumerate() {
            let answer = forwarded("127.0.7.1", &format!("203.0.113.{}", 100 + n));
            assert_eq!(answer.0, more, "{}", answer.1);
            held.push(answer.2);
        }
        // The proxies' own are not counted.
        for _ in 0..5 {
            held.push(ask(dial_from("127.0.6.1", to), b"", "").2);
        }
        assert_eq!(refused(&node, Refusal::AddressConnections), 6);
        drop(held);
        until("all is given back", || {
            sum(&node, |stats| stats.subjects_kept.get()) == 0
        });
        stop(node);
    }
}

#[test]
fn a_proxy_header_names_the_client_before_http() {
    for backend in backends() {
        let policy = trusting(limited(2), &["127.0.8.0/24"], true);
        let node = start(backend, policy);
        let to = node.address();
        let mut held = Vec::new();
        for client in [
            "203.0.113.1:1",
            "[2001:db8:0:1::1]:1",
            "[2001:db8:0:2::1]:1",
        ] {
            for (n, more) in [true, true, false].into_iter().enumerate() {
                let from = client.replace("]:1", &format!("{n}]:1"));
                let answer = ask(dial_from("127.0.8.1", to), &proxied(&from), "");
                assert_eq!(answer.0, more, "{client}: {}", answer.1);
                held.push(answer.2);
            }
        }
        // In pieces, and with the first frame behind it.
        let mut slow = dial_from("127.0.8.1", to);
        slow.set_nodelay(true).unwrap();
        for piece in proxied("203.0.113.9:1").chunks(5) {
            slow.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        slow.write_all(&request("/echo")).unwrap();
        let mut slow = Client::upgraded(slow);
        slow.send(b"hello");
        slow.expect_message(b"hello");
        // The client is named by the header: what else it says of itself is not believed.
        let answer = ask(
            dial_from("127.0.8.1", to),
            &proxied("203.0.113.1:2"),
            "x-forwarded-for: 203.0.113.77\r\n",
        );
        assert!(!answer.0, "{}", answer.1);
        // Who is not trusted sends no header: it is no HTTP.
        let answer = ask(dial_from("127.0.9.1", to), &proxied("203.0.113.5:1"), "");
        assert!(answer.1.starts_with("HTTP/1.1 400 "), "{}", answer.1);
        // A trusted proxy must send one, and the right one.
        for (first, says) in [
            (&b""[..], "version 2, is expected"),
            (b"PROXY TCP4 203.0.113.1 127.0.0.1 1 80\r\n", "version 1"),
        ] {
            let (_, answer, mut stream) = ask(dial_from("127.0.8.1", to), first, "");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            assert!(read_to_end(&mut stream).contains(says));
        }
        assert_eq!(sum(&node, |stats| stats.proxy_headers_refused.get()), 2);
        stop(node);
    }
}
