//! How connections are made: with a signature, by a ticket, too slowly, not at all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringmain_core::{CloseReason, Limits, Refusal, TlsHandshake};
use ringmain_shard::Tickets;
use rustls::HandshakeKind;
use rustls::client::Resumption;

use crate::common::{Client, backends, dial, read_to_end, stop, until};
use crate::support::{
    Authority, SHORT, address, closes, connect, handshakes, server_tls, start, start_with, sum,
    tls, tls_policy, upgrade,
};

#[test]
fn versions_and_protocol() {
    for backend in backends() {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost"]);
        let tls_of = server_tls(&[&pair], &Tickets::new().unwrap());
        let node = start_with(backend, 1, tls_policy(tls_of, Limits::default()));
        for version in rustls::ALL_VERSIONS {
            let mut client = authority.client_of(&[version]);
            client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let mut echo = connect(&node, &Arc::new(client), "/echo");
            echo.send(b"hello");
            echo.expect_message(b"hello");
            let tls = &echo.stream.conn;
            assert_eq!(tls.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(tls.protocol_version(), Some(version.version));
        }
        // Who speaks nothing else than HTTP/2 is told so.
        let mut client = authority.client();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let error = tls(&node, &Arc::new(client)).write_all(b"x").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
        until("it is counted", || {
            handshakes(&node, TlsHandshake::Failed) == 1
                && closes(&node, CloseReason::TlsFailed) == 1
        });
        stop(node);
    }
}

#[test]
fn sessions_are_resumed_on_whichever_shard_without_a_signature() {
    const SHARDS: usize = 4;
    for backend in backends() {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost"]);
        let tls_of = server_tls(&[&pair], &Tickets::new().unwrap());
        let node = start_with(backend, SHARDS, tls_policy(tls_of, Limits::default()));
        for version in rustls::ALL_VERSIONS {
            let before = handshakes(&node, TlsHandshake::Resumed);
            let mut client = authority.client_of(&[version]);
            client.resumption = Resumption::in_memory_sessions(8);
            let client = Arc::new(client);
            let mut made = Vec::new();
            for index in 0..40 {
                let mut echo = connect(&node, &client, "/echo");
                // The ticket comes before this.
                echo.send(b"hello");
                echo.expect_message(b"hello");
                let kind = echo.stream.conn.handshake_kind().unwrap();
                let is_resumed = kind == HandshakeKind::Resumed;
                assert_eq!(is_resumed, index > 0, "{version:?} {index}");
                made.push(echo);
            }
            assert_eq!(handshakes(&node, TlsHandshake::Resumed) - before, 39);
        }
        let resumed = node.shards().iter().filter(|shard| {
            let counts = &shard.stats().tls_handshakes;
            counts[TlsHandshake::Resumed as usize].get() > 0
        });
        assert!(resumed.count() > 1, "the shards share the tickets");
        stop(node);
    }
}

#[test]
fn plain_http_is_told_to_use_tls() {
    for backend in backends() {
        let (node, _) = start(backend, 1, Limits::default());
        let mut stream = dial(address(&node));
        stream
            .write_all(b"GET /raw/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let text = read_to_end(&mut stream);
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
        assert!(text.contains("use https:// or wss://"), "{text}");
        drop(stream);
        until("it is counted", || {
            handshakes(&node, TlsHandshake::PlainHttp) == 1
                && closes(&node, CloseReason::BadRequest) == 1
                && sum(&node, |stats| stats.tls_handshaking.get()) == 0
        });
        // And TLS on the plain address is no HTTP.
        let mut stream = dial(node.address());
        stream.write_all(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 3]).unwrap();
        let text = read_to_end(&mut stream);
        assert!(text.starts_with("HTTP/1.1 400"), "{text}");
        drop(stream);
        stop(node);
    }
}

#[test]
fn what_is_neither_gets_an_alert() {
    for backend in backends() {
        let (node, _) = start(backend, 1, Limits::default());
        for bytes in [
            &[0; 64][..],
            &[0xff; 64],
            &[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0],
            &[23, 3, 3, 0, 1, 0],
        ] {
            let mut stream = dial(address(&node));
            stream.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert_eq!(answer.first(), Some(&21), "{bytes:?}: {answer:?}");
        }
        until("all are counted", || {
            handshakes(&node, TlsHandshake::Failed) == 4
                && closes(&node, CloseReason::TlsFailed) == 4
                && sum(&node, |stats| stats.connections.get()) == 0
        });
        stop(node);
    }
}

/// The first bytes of a hello, and then nothing.
fn half_a_hello(node: &ringmain_shard::Node) -> TcpStream {
    let mut stream = dial(address(node));
    stream
        .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])
        .unwrap();
    stream
}

#[test]
fn a_handshake_has_to_be_done_in_time() {
    for backend in backends() {
        let limits = Limits {
            handshake_ms: SHORT.as_millis() as u64,
            ..Limits::default()
        };
        let (node, client) = start(backend, 1, limits);
        let begin = Instant::now();
        let mut silent = dial(address(&node));
        let mut half = half_a_hello(&node);
        // The hello is answered, and the client says no more.
        let mut answered = tls(&node, &client);
        answered.conn.write_tls(&mut answered.sock).unwrap();
        for stream in [&mut silent, &mut half, &mut answered.sock.stream] {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        assert!(begin.elapsed() >= SHORT - Duration::from_millis(50));
        until("all are counted", || {
            handshakes(&node, TlsHandshake::Unfinished) == 3
                && closes(&node, CloseReason::HandshakeTimeout) == 3
                && sum(&node, |stats| stats.tls_handshaking.get()) == 0
                && sum(&node, |stats| stats.memory_bytes.get()) == 0
        });
        stop(node);
    }
}

#[test]
fn so_many_handshakes_may_be_under_way_and_no_more() {
    for backend in backends() {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost"]);
        let mut policy = tls_policy(
            server_tls(&[&pair], &Tickets::new().unwrap()),
            Limits::default(),
        );
        policy.tls_handshakes_max = 2;
        let node = start_with(backend, 1, policy);
        let client = Arc::new(authority.client());
        let mut open = connect(&node, &client, "/echo");
        let half: Vec<_> = (0..2).map(|_| half_a_hello(&node)).collect();
        until("both are under way", || {
            sum(&node, |stats| stats.tls_handshaking.get()) == 2
        });
        let error = tls(&node, &client).write_all(b"x").unwrap_err();
        assert!(error.to_string().contains("InternalError"), "{error}");
        let refused = Refusal::TlsHandshakesMax as usize;
        assert_eq!(sum(&node, |stats| stats.refusals[refused].get()), 1);
        // Whoever is through does not count, and the plain address is another matter.
        open.send(b"open");
        open.expect_message(b"open");
        Client::connect(node.address(), "/echo").send(b"plain");
        drop(half);
        until("both are gone", || {
            sum(&node, |stats| stats.tls_handshaking.get()) == 0
        });
        connect(&node, &client, "/echo").send(b"now");
        drop(open);
        stop(node);
    }
}

#[test]
fn a_reset_in_the_middle_gives_the_place_back() {
    const RESETS: u64 = 20;
    for backend in backends() {
        let authority = Authority::new();
        let pair = authority.issue(&["localhost"]);
        let tls_of = server_tls(&[&pair], &Tickets::new().unwrap());
        let mut policy = tls_policy(tls_of, Limits::default());
        policy.tls_handshakes_max = 2;
        let node = start_with(backend, 1, policy);
        let client = Arc::new(authority.client());
        for _ in 0..RESETS {
            // The answer to the hello finds a socket that takes nothing any more.
            let mut stream = tls(&node, &client);
            stream.conn.write_tls(&mut stream.sock).unwrap();
            let socket = socket2::SockRef::from(&stream.sock.stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
            drop(stream);
            until("it has come and is gone", || {
                sum(&node, |stats| stats.connections.get()) == 0
            });
        }
        let refused = Refusal::TlsHandshakesMax as usize;
        until("all are counted, and none is under way", || {
            let refused = sum(&node, |stats| stats.refusals[refused].get());
            handshakes(&node, TlsHandshake::Unfinished) + refused == RESETS
                && sum(&node, |stats| stats.tls_handshaking.get()) == 0
        });
        connect(&node, &client, "/echo").send(b"there is room");
        stop(node);
    }
}

#[test]
fn a_hello_in_pieces_is_kept_up_to_a_record_and_no_further() {
    for backend in backends() {
        let (node, client) = start(backend, 1, Limits::default());
        let mut stream = dial(address(&node));
        // A hello that says it has 60,000 bytes, a byte in a record.
        let mut hello = vec![1, 0, 0xea, 0x60];
        hello.resize(4_000, 0);
        let records: Vec<u8> = hello
            .iter()
            .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
            .collect();
        let (few, more) = records.split_at(18_000);
        stream.write_all(few).unwrap();
        until("they are kept", || {
            sum(&node, |stats| stats.memory_bytes.get()) == few.len() as u64
        });
        stream.write_all(more).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // The alert decode_error (RFC 8446, section 6.2).
        assert_eq!(answer, [21, 3, 3, 0, 2, 2, 50]);
        drop(stream);
        until("it is counted", || {
            handshakes(&node, TlsHandshake::Failed) == 1
                && closes(&node, CloseReason::TlsFailed) == 1
                && sum(&node, |stats| stats.tls_handshaking.get()) == 0
                && sum(&node, |stats| stats.memory_bytes.get()) == 0
        });
        // A good one may come in pieces.
        let mut slow = tls(&node, &client);
        slow.sock.bytes_max = 1;
        upgrade(slow, "/echo").send(b"in pieces");
        stop(node);
    }
}

#[test]
fn a_storm_of_handshakes_is_served_one_signature_a_turn_while_others_talk() {
    const CLIENTS: u64 = 300;
    for backend in backends() {
        let (node, client) = start(backend, 1, Limits::default());
        let mut member = Client::connect(node.address(), "/echo");
        // All hellos are there before the first is answered: each is written before its thread goes on.
        let mut streams: Vec<_> = (0..CLIENTS).map(|_| tls(&node, &client)).collect();
        let turns = sum(&node, |stats| stats.turns.get());
        for stream in &mut streams {
            stream.conn.write_tls(&mut stream.sock).unwrap();
        }
        let threads: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                std::thread::spawn(move || {
                    let mut echo = upgrade(stream, "/echo");
                    echo.send(b"through");
                    echo.expect_message(b"through");
                })
            })
            .collect();
        for index in 0..100u8 {
            member.send(&[index]);
            member.expect_message(&[index]);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(handshakes(&node, TlsHandshake::Full), CLIENTS);
        let turns = sum(&node, |stats| stats.turns.get()) - turns;
        assert!(turns >= CLIENTS, "{turns} turns for {CLIENTS} signatures");
        drop(member);
        stop(node);
    }
}

#[test]
fn whoever_says_no_more_after_its_hello_keeps_nobody_waiting() {
    for backend in backends() {
        let (node, client) = start(backend, 1, Limits::default());
        let [mut silent, mut next] = [(); 2].map(|()| tls(&node, &client));
        until("both are accepted", || {
            sum(&node, |stats| stats.tls_connections.get()) == 2
        });
        silent.conn.write_tls(&mut silent.sock).unwrap();
        silent.conn.read_tls(&mut silent.sock).unwrap();
        // The turn in which that was signed is over, and nothing else happens.
        let begin = Instant::now();
        next.conn.write_tls(&mut next.sock).unwrap();
        next.conn.read_tls(&mut next.sock).unwrap();
        let waited = begin.elapsed();
        assert!(waited < Duration::from_secs(4), "it waited {waited:?}");
        drop((silent, next));
        stop(node);
    }
}
