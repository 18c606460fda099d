//! The opening handshake, and what is sent around it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::io::{Read, Write};

use common::{
    Client, Got, backends, config, dial, frame, head, policy, read_to_end, request, stop, until,
};
use ringmain_core::{Limits, RefusedStatus};
use ringmain_proto::ws::Opcode;

#[test]
fn a_frame_in_the_same_segment_as_the_upgrade_is_answered() {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 2)).unwrap();
        for n in 0..50u8 {
            let first = frame(Opcode::Binary, &[n; 40]);
            let mut client = Client::connect_with(node.address(), "/echo", &first);
            client.expect_message(&[n; 40]);
        }
        stop(node);
    }
}

#[test]
fn frames_split_at_any_byte_around_the_upgrade_are_answered() {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 1)).unwrap();
        let mut bytes = request("/echo");
        let head = bytes.len();
        bytes.extend_from_slice(&frame(Opcode::Binary, b"first"));
        bytes.extend_from_slice(&frame(Opcode::Binary, b"second"));
        for split in head - 3..bytes.len() {
            let mut stream = dial(node.address());
            stream.write_all(&bytes[..split]).unwrap();
            stream.write_all(&bytes[split..]).unwrap();
            let answer = {
                stream.write_all(&frame(Opcode::Close, &[])).unwrap();
                let mut answer = Vec::new();
                std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
                answer
            };
            let expected = [&b"\r\n\r\n\x82\x05first\x82\x06second\x88\x00"[..]].concat();
            assert!(
                answer.ends_with(&expected),
                "split at {split}: {:?}",
                String::from_utf8_lossy(&answer)
            );
        }
        stop(node);
    }
}

#[test]
fn plain_requests_get_useful_answers() {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 1)).unwrap();
        for (request, status, says) in [
            (
                "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                404,
                "/raw/{room}",
            ),
            (
                "POST /raw/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                405,
                "allow: GET",
            ),
            (
                "GET /raw/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                426,
                "upgrade: websocket",
            ),
            (
                "GET /raw/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                400,
                "empty",
            ),
            (
                "GET /raw/a%0Ab HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                400,
                "U+000A",
            ),
            (
                "GET /raw/a?self=2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                400,
                "self takes 0 or 1",
            ),
            (
                "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                200,
                "Ringmain",
            ),
            ("BAD\r\n\r\n", 400, ""),
        ] {
            let mut stream = dial(node.address());
            stream.write_all(request.as_bytes()).unwrap();
            let answer = read_to_end(&mut stream);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{request:?}: {answer}"
            );
            assert!(answer.contains(says), "{request:?}: {answer}");
        }
        let mut stream = dial(node.address());
        let long = format!(
            "GET /echo HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
            "a".repeat(9_000)
        );
        stream.write_all(long.as_bytes()).unwrap();
        assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 431 "));
        drop(stream);
        stop(node);
    }
}

#[test]
fn nothing_of_a_query_is_told() {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 1)).unwrap();
        let mut stream = dial(node.address());
        let wrong = request("/raw/x?self=1?token=SECRET");
        stream.write_all(&wrong).unwrap();
        let head = head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        let mut body = [0; 200];
        let bytes = stream.read(&mut body).unwrap();
        // What the log says is the answer's text.
        let text = String::from_utf8_lossy(&body[..bytes]);
        assert!(text.contains("self takes 0 or 1"), "{text}");
        assert!(!text.contains("SECRET"), "{text}");
        drop(stream);
        stop(node);
    }
}

#[test]
fn what_is_no_request_is_counted_by_its_answer() {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 1)).unwrap();
        let long = format!(
            "GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n",
            "x".repeat(20_000)
        );
        let counted = |status| {
            let refused = &node.shards()[0].stats().refused_requests;
            let of_status = refused[RefusedStatus::of(status).index()].get();
            (of_status, refused.iter().map(|it| it.get()).sum::<u64>())
        };
        for (bytes, status) in [
            (&*long, 431),
            ("\x01 nonsense\r\n\r\n", 400),
            // Behind a good one, which has an answer of its own, of either version.
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n\x01\r\n\r\n", 400),
            (
                "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n\x01\r\n\r\n",
                400,
            ),
        ] {
            let before = counted(status);
            let mut stream = dial(node.address());
            stream.write_all(bytes.as_bytes()).unwrap();
            let answer = read_to_end(&mut stream);
            assert!(answer.contains(&format!(" {status} ")), "{answer}");
            until("it is counted", || {
                counted(status) == (before.0 + 1, before.1 + 1)
            });
        }
        // What has no answer is not counted by one.
        let before = counted(400);
        let mut stream = dial(node.address());
        let http2 = b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        stream.write_all(http2).unwrap();
        let answer = read_to_end(&mut stream);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        drop(stream);
        until("it is over", || {
            node.shards()[0].stats().connections.get() == 0
        });
        assert_eq!(counted(400), (before.0, before.1 + 1), "the 404 alone");
        stop(node);
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 1)).unwrap();
        let mut bytes =
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
        bytes.extend_from_slice(&request("/echo"));
        bytes.extend_from_slice(&frame(Opcode::Text, b"hello"));
        bytes.extend_from_slice(&frame(Opcode::Close, &[]));
        let mut stream = dial(node.address());
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        for part in [
            "HTTP/1.1 200 ",
            "HTTP/1.1 404 ",
            "HTTP/1.1 101 ",
            "\u{5}hello",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        stop(node);
    }
}

#[test]
fn a_handshake_that_does_not_come_is_given_up_though_the_shard_is_busy() {
    for backend in backends() {
        let limits = Limits {
            handshake_ms: 300,
            ..Limits::default()
        };
        let node = ringmain_shard::start(ringmain_shard::NodeConfig {
            policy: policy(limits),
            ..config(backend, 1)
        })
        .unwrap();
        let mut silent = dial(node.address());
        silent.write_all(b"GET /echo HTTP/1.1\r\n").unwrap();
        let address = node.address();
        // The runtime's own timers do not fire while it is busy.
        let busy: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    let mut client = Client::connect(address, "/echo");
                    let end = std::time::Instant::now() + std::time::Duration::from_millis(1_500);
                    while std::time::Instant::now() < end {
                        client.send(b"busy");
                        client.expect_message(b"busy");
                    }
                })
            })
            .collect();
        let begin = std::time::Instant::now();
        assert_eq!(read_to_end(&mut silent), "");
        let took = begin.elapsed().as_millis();
        assert!((200..1_400).contains(&took), "closed after {took} ms");
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        stop(node);
    }
}

#[test]
fn stopping_flushes_says_1012_and_ends() {
    for backend in backends() {
        let mut node = ringmain_shard::start(config(backend, 3)).unwrap();
        let mut clients: Vec<_> = (0..20)
            .map(|_| Client::connect(node.address(), "/echo"))
            .collect();
        for client in &mut clients {
            client.send(&[7; 3000]);
        }
        let idle = dial(node.address());
        until("all messages are in", || {
            node.shards()
                .iter()
                .map(|shard| shard.stats().messages_in.get())
                .sum::<u64>()
                == 20
        });
        until("the stop is taken", || node.stop());
        for client in &mut clients {
            client.expect_message(&[7; 3000]);
            match client.next() {
                Got::Close(Some(close)) => assert_eq!(close.code.get(), 1012),
                other => panic!("{other:?} instead of a close frame"),
            }
            client
                .stream
                .write_all(&frame(Opcode::Close, &1012u16.to_be_bytes()))
                .unwrap();
            assert_eq!(client.next(), Got::End);
        }
        drop(idle);
        stop(node);
    }
}

/// The deadline may come while the upgrade waits for the room's home on another shard.
#[test]
fn an_upgrade_that_is_given_up_while_it_waits_ends() {
    for backend in backends() {
        let limits = Limits {
            handshake_ms: 1,
            ..Limits::default()
        };
        let config = ringmain_shard::NodeConfig {
            policy: policy(limits),
            ..config(backend, 4)
        };
        let node = ringmain_shard::start(config).unwrap();
        let mut answered = 0;
        for round in 0..100 {
            let streams: Vec<_> = (0..20)
                .map(|n| {
                    let mut stream = dial(node.address());
                    stream
                        .write_all(&request(&format!("/raw/{round}-{n}")))
                        .unwrap();
                    stream
                })
                .collect();
            for mut stream in streams {
                // Asks to close if it was upgraded. If it was not, the socket may be gone already.
                let _ = stream.write_all(&frame(Opcode::Close, &[]));
                let mut answer = Vec::new();
                let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
                answered += usize::from(answer.starts_with(b"HTTP/1.1 101 "));
            }
        }
        assert!(answered < 2_000, "some were given up");
        until("all have ended", || {
            node.shards()
                .iter()
                .all(|shard| shard.stats().connections.get() == 0)
        });
        stop(node);
    }
}
