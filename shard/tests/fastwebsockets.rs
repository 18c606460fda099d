//! fastwebsockets, its own handshake included, as the client: rooms over four shards, echo of all sizes.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use common::{DEADLINE, backends, config, stop, until};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload};
use http_body_util::Empty;
use hyper::Request;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use ringmain_rt::Backend;
use ringmain_shard::Node;
use tokio::net::TcpStream;

type Socket = FragmentCollector<TokioIo<Upgraded>>;

struct Spawn;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

async fn connect(address: SocketAddr, path: &str) -> Socket {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = Request::get(path)
        .header("Host", "test")
        .header("Upgrade", "websocket")
        .header("Connection", "upgrade")
        .header(
            "Sec-WebSocket-Key",
            fastwebsockets::handshake::generate_key(),
        )
        .header("Sec-WebSocket-Version", "13")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let upgraded = fastwebsockets::handshake::client(&Spawn, request, stream);
    let (mut socket, _) = tokio::time::timeout(DEADLINE, upgraded)
        .await
        .unwrap()
        .unwrap();
    socket.set_max_message_size(1 << 26);
    FragmentCollector::new(socket)
}

async fn send(socket: &mut Socket, opcode: OpCode, payload: &[u8]) {
    let frame = Frame::new(true, opcode, None, Payload::Owned(payload.to_vec()));
    socket.write_frame(frame).await.unwrap();
}

async fn receive(socket: &mut Socket) -> (OpCode, Vec<u8>) {
    let frame = tokio::time::timeout(DEADLINE, socket.read_frame());
    let frame = frame.await.expect("a message comes").unwrap();
    (frame.opcode, frame.payload.to_vec())
}

/// Runs a test against a node of four shards, on both back ends.
fn on_nodes<T: Future<Output = ()>>(
    test: impl Fn(Backend, SocketAddr) -> T,
    check: impl Fn(&Node),
) {
    for backend in backends() {
        let node = ringmain_shard::start(config(backend, 4)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(backend, node.address()));
        check(&node);
        drop(runtime);
        stop(node);
    }
}

#[test]
fn every_size_comes_back() {
    let test = |_, address| async move {
        let mut socket = connect(address, "/echo").await;
        for size in [0, 1, 125, 126, 127, 4096, 4097, 65_535, 65_536] {
            for (opcode, byte) in [(OpCode::Text, b'a'), (OpCode::Binary, 0xFF)] {
                send(&mut socket, opcode, &vec![byte; size]).await;
                let (came, payload) = receive(&mut socket).await;
                assert!(
                    came == opcode && payload == vec![byte; size],
                    "{size} bytes"
                );
            }
        }
    };
    on_nodes(test, |_| {});
}

#[test]
fn members_of_all_shards_receive_everything_once_and_in_order() {
    const MEMBERS: u8 = 40;
    const MESSAGES: u8 = 25;
    let test = |_, address| async move {
        let mut members = Vec::new();
        for _ in 0..MEMBERS {
            members.push(connect(address, "/raw/everyone").await);
        }
        for message in 0..MESSAGES {
            for (publisher, member) in (0..).zip(&mut members) {
                send(
                    member,
                    OpCode::Binary,
                    &[&[publisher, message][..], &[7; 500]].concat(),
                )
                .await;
            }
        }
        for (index, member) in (0..).zip(&mut members) {
            let mut next: HashMap<u8, u8> = HashMap::new();
            for _ in 0..u32::from(MEMBERS - 1) * u32::from(MESSAGES) {
                let (_, payload) = receive(member).await;
                assert_ne!(payload[0], index, "its own do not come back");
                let expected = next.entry(payload[0]).or_default();
                assert_eq!(
                    payload[1], *expected,
                    "publisher {} to member {index}",
                    payload[0]
                );
                *expected += 1;
            }
        }
    };
    let check = |node: &Node| {
        let with_members = node
            .shards()
            .iter()
            .filter(|shard| shard.stats().accepted.get() > 0)
            .count();
        assert!(with_members >= 2, "members sit on several shards");
        until("the members have left", || {
            node.shards()
                .iter()
                .all(|shard| shard.stats().rooms.get() == 0)
        });
        let moved: u64 = node
            .shards()
            .iter()
            .map(|shard| shard.stats().mesh_data_frames_in.get())
            .sum();
        assert!(
            moved >= u64::from(MEMBERS) * u64::from(MESSAGES),
            "{moved} frames between shards"
        );
        let lost: u64 = node
            .shards()
            .iter()
            .map(|shard| shard.stats().room_gaps.get())
            .sum();
        assert_eq!(lost, 0);
    };
    on_nodes(test, check);
}
