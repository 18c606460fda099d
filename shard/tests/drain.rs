//! The drain on real sockets: evenly, after what is queued, and without a reset for those who are just coming.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::{Client, DEADLINE, Got, backends, config, dial, frame, request, stop, until};
use ringmain_core::{CloseReason, Limits};
use ringmain_proto::ws::Opcode;
use ringmain_shard::{Node, NodeConfig};

/// A node whose shards may have thousands of connections, as may this process.
fn node(backend: ringmain_rt::Backend, shards: usize) -> Node {
    let descriptors_max = ringmain_rt::descriptors::raise_limit().unwrap();
    ringmain_shard::start(NodeConfig {
        descriptors_max,
        ..config(backend, shards)
    })
    .unwrap()
}

fn drain(node: &mut Node, duration: Duration) {
    until("all shards know of the drain", || node.drain(duration, 11));
}

fn end(node: Node) {
    until("the node is drained", || node.is_drained());
    stop(node);
}

fn count(node: &Node, reason: CloseReason) -> u64 {
    let shards = node.shards().iter();
    shards
        .map(|shard| shard.stats().closes[reason as usize].get())
        .sum()
}

/// The code of the close that comes next. It is answered.
fn closed(client: &mut Client) -> u16 {
    let Got::Close(Some(close)) = client.next() else {
        panic!("no close");
    };
    // It may have been given up meanwhile.
    let _ = client
        .stream
        .write_all(&frame(Opcode::Close, &close.code.get().to_be_bytes()));
    close.code.get()
}

/// Waits for the first byte of a close frame behind a message on each of many sockets; when each has come.
fn close_times(clients: &mut [Client], message_bytes: usize, begin: Instant) -> Vec<Duration> {
    let mut waiting: Vec<usize> = (0..clients.len()).collect();
    let mut seen = vec![0; clients.len()];
    let mut times = Vec::new();
    let mut buffer = vec![0; message_bytes];
    let deadline = Instant::now() + DEADLINE;
    for client in &*clients {
        client.stream.set_nonblocking(true).unwrap();
    }
    while !waiting.is_empty() {
        assert!(Instant::now() < deadline, "{} get no close", waiting.len());
        let now = begin.elapsed();
        waiting.retain(|&index| match clients[index].stream.peek(&mut buffer) {
            Ok(bytes) if seen[index] + bytes > message_bytes => {
                times.push(now);
                false
            }
            Ok(0) => panic!("an end without a close"),
            Ok(bytes) => {
                let bytes = bytes.min(message_bytes - seen[index]);
                seen[index] += clients[index].take(bytes);
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                true
            }
        });
        std::thread::yield_now();
    }
    for client in clients {
        client.stream.set_nonblocking(false).unwrap();
    }
    times
}

#[test]
fn thousands_are_closed_evenly_each_after_what_was_queued_for_it() {
    const CLIENTS: usize = 2_000;
    const DRAIN: Duration = Duration::from_secs(3);
    for backend in backends() {
        let mut node = node(backend, 4);
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|_| Client::connect(node.address(), "/echo"))
            .collect();
        for client in &mut clients {
            client.send(&[5; 1000]);
        }
        until("all messages are in", || {
            let shards = node.shards().iter();
            shards
                .map(|shard| shard.stats().messages_in.get())
                .sum::<u64>()
                == CLIENTS as u64
        });
        let begin = Instant::now();
        drain(&mut node, DRAIN);
        // A binary frame of 1,000 bytes has a head of 4.
        let mut times = close_times(&mut clients, 1004, begin);
        times.sort_unstable();
        for fifth in 0..5u32 {
            let span = DRAIN * fifth / 5..DRAIN * (fifth + 1) / 5;
            let closed = times.iter().filter(|time| span.contains(*time)).count();
            assert!((300..500).contains(&closed), "{closed} in fifth {fifth}");
        }
        for client in &mut clients {
            client.expect_message(&[5; 1000]);
            assert_eq!(closed(client), 1012);
        }
        until("all have ended", || node.is_drained());
        assert_eq!(count(&node, CloseReason::Stopping), CLIENTS as u64);
        stop(node);
    }
}

/// Whether it was served: a 101, then 1012. If not, it was refused when it connected. Anything else is a fault.
fn is_served(address: SocketAddr) -> bool {
    let mut stream = match TcpStream::connect(address) {
        Ok(stream) => stream,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            return false;
        }
    };
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&request("/echo")).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "an end within the answer"
        );
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let mut close = [0; 4];
    stream.read_exact(&mut close).unwrap();
    assert_eq!((close[0], &close[2..]), (0x88, &1012u16.to_be_bytes()[..]));
    stream
        .write_all(&frame(Opcode::Close, &1012u16.to_be_bytes()))
        .unwrap();
    true
}

#[test]
fn in_a_storm_of_newcomers_each_is_served_or_refused_and_none_is_reset() {
    for backend in backends() {
        for duration in [Duration::ZERO, Duration::from_millis(500)] {
            let mut node = node(backend, 4);
            let address = node.address();
            let storm: Vec<_> = (0..64)
                .map(|_| {
                    std::thread::spawn(move || {
                        // Each waits for its close before the next, so a drain at once has the most.
                        let deadline = Instant::now() + DEADLINE;
                        let mut served = 0;
                        while is_served(address) {
                            served += 1;
                            assert!(Instant::now() < deadline, "it goes on to be served");
                        }
                        served
                    })
                })
                .collect();
            until("the storm has begun", || {
                let shards = node.shards().iter();
                shards
                    .map(|shard| shard.stats().accepted.get())
                    .sum::<u64>()
                    >= 32
            });
            drain(&mut node, duration);
            let served: Vec<u32> = storm
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            assert!(served.iter().sum::<u32>() >= 32, "{served:?}");
            end(node);
        }
    }
}

#[test]
fn who_connected_before_and_asks_later_still_joins_and_hears_the_room() {
    for backend in backends() {
        let mut node = node(backend, 3);
        // On all shards, and so one for whose slice there is time.
        let mut late: Vec<_> = (0..30).map(|_| dial(node.address())).collect();
        let mut publisher = Client::connect(node.address(), "/raw/late?self=1");
        until("all are connected", || {
            let shards = node.shards().iter();
            shards
                .map(|shard| shard.stats().connections.get())
                .sum::<u64>()
                == 31
        });
        drain(&mut node, Duration::from_secs(2));
        let mut heard = 0;
        let mut clients: Vec<_> = late
            .drain(..)
            .map(|mut stream| {
                stream.write_all(&request("/raw/late")).unwrap();
                Client::upgraded(stream)
            })
            .collect();
        // Unless its own time has come by now.
        let _ = publisher
            .stream
            .write_all(&frame(Opcode::Binary, b"to all who are there"));
        for client in &mut clients {
            match client.next() {
                Got::Message(message) => {
                    assert_eq!(message, b"to all who are there");
                    heard += 1;
                    assert_eq!(closed(client), 1012);
                }
                Got::Close(Some(close)) => {
                    assert_eq!(close.code.get(), 1012);
                    let answer = frame(Opcode::Close, &1012u16.to_be_bytes());
                    let _ = client.stream.write_all(&answer);
                }
                other => panic!("{other:?}"),
            }
        }
        let was_published = matches!(publisher.next(), Got::Message(_));
        assert!(heard > 0 || !was_published, "nobody heard it");
        drop(publisher);
        end(node);
    }
}

#[test]
fn what_is_published_meanwhile_reaches_those_who_are_not_yet_closed_without_a_hole() {
    for backend in backends() {
        // The publishers do not answer their close.
        let limits = Limits {
            close_handshake_ms: 500,
            ..Limits::default()
        };
        let mut node = ringmain_shard::start(NodeConfig {
            policy: common::policy(limits),
            ..config(backend, 4)
        })
        .unwrap();
        let members: Vec<_> = (0..60)
            .map(|_| Client::connect(node.address(), "/raw/room"))
            .collect();
        let publishers: Vec<_> = (0..4)
            .map(|_| Client::connect(node.address(), "/raw/room"))
            .collect();
        let readers: Vec<_> = members
            .into_iter()
            .map(|mut member| {
                std::thread::spawn(move || {
                    let mut next = [0u32; 4];
                    loop {
                        match member.next() {
                            Got::Message(message) => {
                                let number = u32::from_be_bytes(message[1..].try_into().unwrap());
                                let next = &mut next[usize::from(message[0])];
                                assert_eq!(number, *next, "a hole");
                                *next += 1;
                            }
                            Got::Close(Some(close)) => {
                                assert_eq!(close.code.get(), 1012);
                                let answer = frame(Opcode::Close, &1012u16.to_be_bytes());
                                let _ = member.stream.write_all(&answer);
                                return next.iter().sum::<u32>();
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                })
            })
            .collect();
        drain(&mut node, Duration::from_millis(1_500));
        let speakers: Vec<_> = (0u8..)
            .zip(publishers)
            .map(|(index, mut publisher)| {
                std::thread::spawn(move || {
                    let wait = Some(Duration::from_millis(1));
                    publisher.stream.set_read_timeout(wait).unwrap();
                    let mut buffer = [0; 1 << 12];
                    for number in 0u32.. {
                        let mut message = vec![index];
                        message.extend_from_slice(&number.to_be_bytes());
                        let message = frame(Opcode::Binary, &message);
                        // Until it is closed itself; it reads what the others say, so as not to be slow.
                        if publisher.stream.write_all(&message).is_err()
                            || matches!(publisher.stream.read(&mut buffer), Ok(0))
                        {
                            break;
                        }
                    }
                })
            })
            .collect();
        let heard: Vec<u32> = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect();
        speakers
            .into_iter()
            .for_each(|speaker| speaker.join().unwrap());
        assert!(heard.iter().max().unwrap() > &10, "{heard:?}");
        end(node);
    }
}

/// Reads one response with a body of a stated length.
fn response(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap().to_lowercase();
    let length = head.split_once("content-length: ").unwrap().1;
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
    head
}

#[test]
fn a_request_under_way_is_answered_and_a_connection_between_two_is_closed() {
    for backend in backends() {
        let mut node = node(backend, 2);
        let get = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
        let connect = || dial(node.address());
        let (mut between, mut under_way, mut silent) = (connect(), connect(), connect());
        between.write_all(get).unwrap();
        assert!(!response(&mut between).contains("connection: close"));
        under_way.write_all(&get[..20]).unwrap();
        until("half a request is in", || {
            let shards = node.shards().iter();
            shards
                .map(|shard| shard.stats().connections.get())
                .sum::<u64>()
                == 3
        });
        drain(&mut node, Duration::ZERO);
        assert_eq!(between.read(&mut [0]).unwrap(), 0, "closed in order");
        drop(between);
        until("one has ended", || {
            count(&node, CloseReason::RequestDone) == 1
        });
        under_way.write_all(&get[20..]).unwrap();
        assert!(response(&mut under_way).contains("connection: close"));
        assert_eq!(under_way.read(&mut [0]).unwrap(), 0);
        silent.write_all(get).unwrap();
        assert!(response(&mut silent).contains("connection: close"));
        drop((under_way, silent));
        end(node);
    }
}

#[test]
fn the_second_of_two_requests_that_came_together_is_answered_too() {
    for backend in backends() {
        let mut node = node(backend, 1);
        let mut member = Client::connect(node.address(), "/echo");
        let mut stream = dial(node.address());
        stream
            .write_all(
                b"GET / HTTP/1.1\r\nhost: x\r\n\r\n\
                  POST /rooms/a/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n",
            )
            .unwrap();
        let first = response(&mut stream);
        assert!(first.starts_with("http/1.1 200 "), "{first}");
        drain(&mut node, Duration::ZERO);
        // Then its time has come for the other too.
        assert_eq!(closed(&mut member), 1012);
        stream.write_all(b"hello").unwrap();
        let second = response(&mut stream);
        assert!(second.starts_with("http/1.1 202 "), "{second}");
        assert!(second.contains("connection: close"), "{second}");
        end(node);
    }
}

#[test]
fn who_never_says_anything_does_not_hold_up_the_end() {
    for backend in backends() {
        let limits = Limits {
            close_handshake_ms: 300,
            handshake_ms: 600_000,
            ..Limits::default()
        };
        let mut node = ringmain_shard::start(NodeConfig {
            policy: common::policy(limits),
            ..config(backend, 2)
        })
        .unwrap();
        let _silent = [dial(node.address()), dial(node.address())];
        let _unanswering = Client::connect(node.address(), "/echo");
        drain(&mut node, Duration::ZERO);
        until("the node is drained", || node.is_drained());
        assert_eq!(count(&node, CloseReason::Stopping), 3);
        stop(node);
    }
}
