//! What connections carry once they are made.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ringmain_core::{CloseReason, Limits, TlsHandshake};
use ringmain_proto::ws::Opcode;
use ringmain_shard::Tickets;
use rustls::ConnectionTrafficSecrets;

use crate::common::{Client, Got, backends, dial, frame, request, stop, until};
use crate::support::{
    Authority, TlsStream, address, closes, connect, handshakes, pattern, server_tls, start,
    start_with, sum, tls, tls_on, tls_policy, upgrade,
};

fn large_messages() -> Limits {
    Limits {
        message_bytes_max: 4 << 20,
        outbox_soft_bytes: 16 << 20,
        outbox_soft_ms: 60_000,
        ..Limits::default()
    }
}

#[test]
fn messages_of_all_sizes_come_back_as_they_were_sent() {
    for backend in backends() {
        let (node, client) = start(backend, 2, large_messages());
        let mut echo = connect(&node, &client, "/echo");
        // Around the size of a record, of a write, of the receive buffer; and a mebibyte.
        for bytes in [
            0,
            1,
            125,
            126,
            16_383,
            16_384,
            16_385,
            65_535,
            65_536,
            131_072,
            140_000,
            1 << 20,
        ] {
            let message = pattern(bytes);
            echo.send(&message);
            echo.expect_message(&message);
        }
        // Many at once.
        let messages: Vec<_> = (0..500).map(|index| pattern(index * 7)).collect();
        let mut frames = Vec::new();
        for message in &messages {
            frames.extend_from_slice(&frame(Opcode::Binary, message));
        }
        echo.stream.write_all(&frames).unwrap();
        for message in &messages {
            echo.expect_message(message);
        }
        assert_eq!(handshakes(&node, TlsHandshake::Full), 1);
        drop(echo);
        until("nothing is held", || {
            sum(&node, |stats| stats.connections.get()) == 0
                && sum(&node, |stats| stats.memory_bytes.get()) == 0
                && sum(&node, |stats| stats.tls_connections.get()) == 0
        });
        stop(node);
    }
}

#[test]
fn records_may_come_in_any_pieces() {
    for backend in backends() {
        let (node, client) = start(backend, 1, large_messages());
        for bytes_max in [1, 3, 1000] {
            let mut stream = tls(&node, &client);
            stream.sock.bytes_max = bytes_max;
            let mut echo = upgrade(stream, "/echo");
            for bytes in [0, 5, 300, 20_000] {
                let message = pattern(bytes);
                echo.send(&message);
                echo.expect_message(&message);
            }
        }
        until("nothing is kept", || {
            sum(&node, |stats| stats.connections.get()) == 0
                && sum(&node, |stats| stats.memory_bytes.get()) == 0
        });
        stop(node);
    }
}

#[test]
fn an_unfinished_record_counts_as_memory_until_it_is_whole() {
    for backend in backends() {
        let (node, client) = start(backend, 1, large_messages());
        let mut echo = connect(&node, &client, "/echo");
        let message = pattern(10_000);
        let mut sealed = Vec::new();
        let bytes = frame(Opcode::Binary, &message);
        echo.stream.conn.writer().write_all(&bytes).unwrap();
        while echo.stream.conn.wants_write() {
            echo.stream.conn.write_tls(&mut sealed).unwrap();
        }
        let (first, rest) = sealed.split_at(9_000);
        echo.stream.sock.write_all(first).unwrap();
        until("the beginning is counted", || {
            sum(&node, |stats| stats.memory_bytes.get()) == 9_000
        });
        echo.stream.sock.write_all(rest).unwrap();
        echo.expect_message(&message);
        until("nothing is kept", || {
            sum(&node, |stats| stats.memory_bytes.get()) == 0
        });
        drop(echo);
        stop(node);
    }
}

#[test]
fn members_of_a_room_hear_each_other_with_tls_and_without() {
    for backend in backends() {
        let (node, client) = start(backend, 2, Limits::default());
        let mut sealed: Vec<_> = (0..10)
            .map(|_| connect(&node, &client, "/raw/mixed"))
            .collect();
        let mut plain: Vec<_> = (0..10)
            .map(|_| Client::connect(node.address(), "/raw/mixed"))
            .collect();
        sealed[0].send(b"from behind TLS");
        plain[0].send(b"in plain");
        let expected = |index: usize, own: &[u8], other: &[u8]| -> Vec<Vec<u8>> {
            match index {
                0 => vec![other.to_vec()],
                _ => vec![own.to_vec(), other.to_vec()],
            }
        };
        for (index, member) in sealed.iter_mut().enumerate() {
            check(member, expected(index, b"from behind TLS", b"in plain"));
        }
        for (index, member) in plain.iter_mut().enumerate() {
            check(member, expected(index, b"in plain", b"from behind TLS"));
        }
        drop((sealed, plain));
        stop(node);
    }
}

/// Takes these messages, in whatever order.
fn check<S: Read + Write>(member: &mut Client<S>, mut expected: Vec<Vec<u8>>) {
    while !expected.is_empty() {
        let Got::Message(message) = member.next() else {
            panic!("no message");
        };
        let place = expected.iter().position(|one| *one == message).unwrap();
        expected.remove(place);
    }
}

#[test]
fn who_reads_late_gets_all() {
    const MESSAGES: usize = 60;
    for backend in backends() {
        let (node, client) = start(backend, 1, large_messages());
        let mut late = connect(&node, &client, "/raw/late");
        let mut sender = connect(&node, &client, "/raw/late");
        let messages: Vec<_> = (0..MESSAGES).map(|_| pattern(200_000)).collect();
        for message in &messages {
            sender.send(message);
        }
        until("all are in", || {
            sum(&node, |stats| stats.messages_in.get()) == MESSAGES as u64
        });
        until("its socket is full", || {
            sum(&node, |stats| stats.memory_bytes.get()) > 1 << 20
        });
        for message in &messages {
            late.expect_message(message);
        }
        until("nothing waits", || {
            sum(&node, |stats| stats.memory_bytes.get()) == 0
        });
        drop((late, sender));
        stop(node);
    }
}

#[test]
fn who_does_not_read_is_closed_and_the_others_go_on() {
    for backend in backends() {
        let (node, client) = start(
            backend,
            1,
            Limits {
                message_bytes_max: 1 << 20,
                close_handshake_ms: 200,
                ..Limits::default()
            },
        );
        let stuck = connect(&node, &client, "/raw/stuck");
        let mut sender = connect(&node, &client, "/raw/stuck");
        let mut reader = connect(&node, &client, "/raw/stuck");
        for _ in 0..40 {
            let message = pattern(1 << 19);
            sender.send(&message);
            reader.expect_message(&message);
        }
        until("it is closed", || {
            closes(&node, CloseReason::SlowConsumer) == 1
        });
        drop((stuck, sender, reader));
        stop(node);
    }
}

/// Reads to the end, which has to be one that the server has announced: else rustls says `UnexpectedEof`.
fn rest(stream: &mut TlsStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn http_is_answered_and_ends_with_an_announcement() {
    for backend in backends() {
        let (node, client) = start(backend, 2, Limits::default());
        let mut stream = tls(&node, &client);
        let body = pattern(3_000);
        let head = format!(
            "POST /rooms/r/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        stream
            .write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        let text = rest(&mut stream);
        assert!(text.starts_with("HTTP/1.1 202 "), "{text}");
        assert!(text.contains("HTTP/1.1 404 "), "{text}");
        drop(stream);
        stop(node);
    }
}

#[test]
fn events_stream_over_tls() {
    for backend in backends() {
        let (node, client) = start(backend, 2, Limits::default());
        let mut stream = tls(&node, &client);
        stream
            .write_all(b"GET /sse/news HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        read_until(&mut stream, &mut text, "\r\n\r\n");
        let mut publisher = connect(&node, &client, "/raw/news");
        publisher
            .stream
            .write_all(&frame(Opcode::Text, b"good news"))
            .unwrap();
        read_until(&mut stream, &mut text, "data: good news\n\n");
        drop((stream, publisher));
        stop(node);
    }
}

fn read_until(stream: &mut TlsStream, text: &mut String, end: &str) {
    while !text.contains(end) {
        let mut buffer = [0; 1024];
        let bytes = stream.read(&mut buffer).unwrap();
        assert_ne!(bytes, 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
    }
}

#[test]
fn a_close_is_announced_on_both_layers() {
    for backend in backends() {
        let (node, client) = start(backend, 1, Limits::default());
        let mut echo = connect(&node, &client, "/echo");
        echo.send(b"last");
        echo.stream
            .write_all(&frame(Opcode::Close, &1000u16.to_be_bytes()))
            .unwrap();
        echo.expect_message(b"last");
        let Got::Close(Some(close)) = echo.next() else {
            panic!("no close");
        };
        assert_eq!(close.code.get(), 1000);
        assert_eq!(echo.next(), Got::End);
        // Messages and the announcement in one record: nothing is lost.
        let mut echo = connect(&node, &client, "/echo");
        for _ in 0..50 {
            echo.send(&[7; 100]);
        }
        echo.stream.conn.send_close_notify();
        echo.stream.flush().unwrap();
        for _ in 0..50 {
            echo.expect_message(&[7; 100]);
        }
        assert_eq!(echo.next(), Got::End);
        until("both are gone", || {
            sum(&node, |stats| stats.connections.get()) == 0
        });
        stop(node);
    }
}

#[test]
fn a_drain_closes_everybody_with_1012_and_an_announcement_and_resets_nobody() {
    for backend in backends() {
        let (mut node, client) = start(backend, 2, Limits::default());
        let mut clients: Vec<_> = (0..100).map(|_| connect(&node, &client, "/echo")).collect();
        for client in &mut clients {
            client.send(&[5; 1000]);
        }
        // Some that are just connecting.
        let late: Vec<_> = (0..20).map(|_| dial(address(&node))).collect();
        until("all shards know of the drain", || {
            node.drain(Duration::from_millis(500), 11)
        });
        let late: Vec<_> = late
            .into_iter()
            .map(|stream| {
                let client = client.clone();
                std::thread::spawn(move || {
                    let mut stream = tls_on(stream, &client, "localhost");
                    stream.write_all(&request("/echo"))?;
                    let mut byte = [0];
                    stream.read(&mut byte)
                })
            })
            .collect();
        for client in &mut clients {
            client.expect_message(&[5; 1000]);
            let Got::Close(Some(close)) = client.next() else {
                panic!("no close");
            };
            assert_eq!(close.code.get(), 1012);
            client
                .stream
                .write_all(&frame(Opcode::Close, &1012u16.to_be_bytes()))
                .unwrap();
            assert_eq!(client.next(), Got::End);
        }
        for late in late {
            // Served, or closed in its turn; not reset.
            if let Err(error) = late.join().unwrap() {
                assert_ne!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            }
        }
        until("the node is drained", || node.is_drained());
        stop(node);
    }
}

#[test]
fn a_request_that_began_before_the_drain_with_a_handshake_is_the_last() {
    for backend in backends() {
        let (mut node, client) = start(backend, 1, Limits::default());
        let mut stream = tls(&node, &client);
        let mut hello = Vec::new();
        stream.conn.write_tls(&mut hello).unwrap();
        let (first, rest_of_hello) = hello.split_at(20);
        stream.sock.write_all(first).unwrap();
        until("the handshake is under way", || {
            sum(&node, |stats| stats.tls_handshaking.get()) == 1
        });
        until("the shard knows of the drain", || {
            node.drain(Duration::ZERO, 7)
        });
        until("the shard has shut its listeners", || {
            sum(&node, |stats| stats.listening.get()) == 0
        });
        let begin = Instant::now();
        stream.sock.write_all(rest_of_hello).unwrap();
        stream
            .write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let text = rest(&mut stream);
        assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
        assert!(text.contains("connection: close"), "{text}");
        // Not when its time for another request is over.
        assert!(begin.elapsed() < Duration::from_secs(5));
        drop(stream);
        until("the node is drained", || node.is_drained());
        stop(node);
    }
}

#[test]
fn a_forged_record_ends_its_connection_alone() {
    for backend in backends() {
        let (node, client) = start(backend, 1, Limits::default());
        let mut other = connect(&node, &client, "/echo");
        let mut echo = connect(&node, &client, "/echo");
        let mut sealed = Vec::new();
        let bytes = frame(Opcode::Binary, b"forged");
        echo.stream.conn.writer().write_all(&bytes).unwrap();
        echo.stream.conn.write_tls(&mut sealed).unwrap();
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        echo.stream.sock.write_all(&sealed).unwrap();
        let error = echo.stream.read(&mut [0; 16]).unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        drop(echo);
        until("it is counted", || {
            closes(&node, CloseReason::TlsFailed) == 1
        });
        other.send(b"still here");
        other.expect_message(b"still here");
        drop(other);
        stop(node);
    }
}

#[test]
fn new_keys_in_the_middle_of_a_connection() {
    for backend in backends() {
        let (node, client) = start(backend, 1, large_messages());
        let mut echo = connect(&node, &client, "/echo");
        for _ in 0..5 {
            let message = pattern(70_000);
            echo.send(&message);
            echo.stream.conn.refresh_traffic_keys().unwrap();
            echo.expect_message(&message);
        }
        drop(echo);
        stop(node);
    }
}

/// A record of TLS 1.3 (RFC 8446, section 5.2), as whoever knows its sender's secrets can make it.
fn record(key: &LessSafeKey, iv: &[u8], number: u64, kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut nonce: [u8; 12] = iv.try_into().unwrap();
    for (byte, mask) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= mask;
    }
    let mut body = [bytes, &[kind]].concat();
    let length = (body.len() + key.algorithm().tag_len()) as u16;
    let mut record = vec![23, 3, 3];
    record.extend_from_slice(&length.to_be_bytes());
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(&record), &mut body)
        .unwrap();
    record.extend_from_slice(&body);
    record
}

#[test]
fn a_message_about_keys_in_pieces_is_kept_up_to_a_record_and_no_further() {
    const HANDSHAKE: u8 = 22;
    for backend in backends() {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost"]);
        let tls_of = server_tls(&[&pair], &Tickets::new().unwrap());
        let node = start_with(backend, 1, tls_policy(tls_of, Limits::default()));
        let mut client = authority.client_of(&[&rustls::version::TLS13]);
        client.enable_secret_extraction = true;
        let echo = connect(&node, &Arc::new(client), "/echo");
        let mut socket = echo.stream.sock.stream;
        let secrets = echo.stream.conn.dangerous_extract_secrets().unwrap();
        let (first, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
            panic!("another cipher is agreed on");
        };
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap();
        let key = LessSafeKey::new(key);
        // A key update that says it has 60,000 bytes, a byte in a record.
        let mut message = vec![24, 0, 0xea, 0x60];
        message.resize(1_000, 0);
        let records: Vec<u8> = (first..)
            .zip(&message)
            .flat_map(|(number, byte)| record(&key, iv.as_ref(), number, HANDSHAKE, &[*byte]))
            .collect();
        let (few, more) = records.split_at(18_000);
        socket.write_all(few).unwrap();
        until("they are kept", || {
            sum(&node, |stats| stats.memory_bytes.get()) == few.len() as u64
        });
        socket.write_all(more).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
        drop(socket);
        until("it is counted", || {
            closes(&node, CloseReason::TlsFailed) == 1
                && sum(&node, |stats| stats.memory_bytes.get()) == 0
        });
        assert_eq!(handshakes(&node, TlsHandshake::Failed), 0);
        stop(node);
    }
}
