//! Those who never become members.

use std::io::Write;
use std::net::TcpStream;

use crate::client::{Bytes, dial, read_to_end, request};
use crate::world::{BACKENDS, Engine, GoodMembers, until};

/// Writes until the engine has closed, or all is written.
fn write_on(stream: &mut TcpStream, piece: &[u8], times: usize) {
    for _ in 0..times {
        if stream.write_all(piece).is_err() {
            return;
        }
    }
}

#[test]
fn handshakes_by_the_thousand_that_never_end_are_given_up() {
    for backend in BACKENDS {
        let file = crate::world::temporary("slow", "handshake_seconds = 1.5\n");
        let engine = Engine::start(backend, &["--config", &file.0]);
        let good = GoodMembers::talk(&engine, 6);
        let bytes = request("/raw/x");
        let mut slow: Vec<TcpStream> = (0..4_000).map(|_| dial(engine.address)).collect();
        // A byte each now and then: that must not win them time.
        for byte in bytes[..bytes.len() - 4].chunks(20) {
            for stream in &mut slow {
                // Given up already.
                let _ = stream.write_all(byte);
            }
        }
        until("all were given up", || {
            (engine.closed("handshake_timeout") == 4_000).then_some(())
        });
        good.assert_unharmed();
        engine.assert_well();
    }
}

#[test]
fn heads_without_end_are_refused_at_the_limit() {
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let good = GoodMembers::talk(&engine, 4);
        let line = format!("x-padding: {}\r\n", "p".repeat(1_000));
        let heads: [&[u8]; 3] = [
            // One endless line of a request, one endless header, and headers without end.
            b"GET /raw/",
            b"GET /raw/x HTTP/1.1\r\nhost: ",
            b"GET /raw/x HTTP/1.1\r\n",
        ];
        let pieces: [&[u8]; 3] = [&[b'a'; 1_000], &[b'a'; 1_000], line.as_bytes()];
        for round in 0..100 {
            for (head, piece) in heads.iter().zip(pieces) {
                let mut stream = dial(engine.address);
                stream.write_all(head).unwrap();
                write_on(&mut stream, piece, 200);
                let answer = read_to_end(&mut stream);
                // Who still sends when the answer comes may be reset before it is read.
                let answer = String::from_utf8_lossy(&answer);
                let is_refusal = ["HTTP/1.1 431 ", "HTTP/1.1 414 ", "HTTP/1.1 400 "]
                    .iter()
                    .any(|status| answer.starts_with(status));
                assert!(answer.is_empty() || is_refusal, "round {round}: {answer}");
            }
        }
        good.assert_unharmed();
        engine.assert_well();
    }
}

#[test]
fn random_bytes_are_no_request() {
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let good = GoodMembers::talk(&engine, 4);
        let mut random = Bytes(41);
        for length in 1..1_000 {
            let mut stream = dial(engine.address);
            write_on(&mut stream, &random.take(length), 1);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let answer = read_to_end(&mut stream);
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
                "{length} bytes: {}",
                String::from_utf8_lossy(&answer)
            );
        }
        good.assert_unharmed();
        engine.assert_well();
    }
}
