//! Limits that hold before the handshake: counted by address, behind a proxy too.

use std::io::{Read, Write};
use std::sync::Arc;

use ringmain_core::{Limits, Networks};
use ringmain_rt::Backend;
use ringmain_shard::{Node, Policy, Tickets};

use crate::common::{Client, backends, request, stop, until};
use crate::support::{Authority, connect, server_tls, start_with, sum, tls, tls_policy};

fn node(backend: Backend, authority: &Authority, proxy_protocol: bool) -> Node {
    let pair = authority.issue(&["localhost"]);
    let limits = Limits {
        connections_per_address: 1,
        ..Limits::default()
    };
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let policy = Policy {
        trusted_proxies: Networks::new(if proxy_protocol { proxies } else { vec![] }),
        proxy_protocol,
        ..tls_policy(server_tls(&[&pair], &Tickets::new().unwrap()), limits)
    };
    start_with(backend, 4, policy)
}

/// A PROXY header, version 2, of a connection from this IPv4 address.
fn header(from: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&from);
    header.extend_from_slice(&[127, 0, 0, 1, 0, 1, 0, 2]);
    header
}

#[test]
fn an_address_too_many_is_denied_access_before_any_signature() {
    for backend in backends() {
        let authority = Authority::new();
        let node = node(backend, &authority, false);
        let client = Arc::new(authority.client());
        let mut first = connect(&node, &client, "/echo");
        let mut second = tls(&node, &client);
        let told = second
            .write_all(b"x")
            .and_then(|()| second.read(&mut [0; 1]).map(drop));
        let error = told.unwrap_err().to_string();
        assert!(error.contains("AccessDenied"), "{error}");
        first.send(b"hello");
        first.expect_message(b"hello");
        drop(first);
        until("it is given back", || {
            sum(&node, |stats| stats.subjects_kept.get()) == 0
        });
        drop(connect(&node, &client, "/echo"));
        stop(node);
    }
}

#[test]
fn tls_comes_behind_the_proxy_header() {
    for backend in backends() {
        let authority = Authority::new();
        let node = node(backend, &authority, true);
        let client = Arc::new(authority.client());
        let mut held = Vec::new();
        for last in 1..4 {
            let mut stream = tls(&node, &client);
            stream.sock.write_all(&header([203, 0, 113, last])).unwrap();
            stream.write_all(&request("/echo")).unwrap();
            let mut echo = Client::upgraded(stream);
            echo.send(b"hello");
            echo.expect_message(b"hello");
            held.push(echo);
        }
        let mut stream = tls(&node, &client);
        stream.sock.write_all(&header([203, 0, 113, 1])).unwrap();
        let told = stream
            .write_all(b"x")
            .and_then(|()| stream.read(&mut [0; 1]).map(drop));
        assert!(told.unwrap_err().to_string().contains("AccessDenied"));
        // Without a header it is no client.
        let told = {
            let mut stream = tls(&node, &client);
            let told = stream.write_all(b"x");
            told.and_then(|()| stream.read(&mut [0; 1]).map(drop))
        };
        assert!(told.unwrap_err().to_string().contains("AccessDenied"));
        assert_eq!(sum(&node, |stats| stats.proxy_headers_refused.get()), 1);
        stop(node);
    }
}
