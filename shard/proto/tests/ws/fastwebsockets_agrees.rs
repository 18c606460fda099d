//! Agreement with an implementation that is not ours, in both roles and both directions.

use fastwebsockets::{Frame, OpCode, Payload as TheirPayload, Role as TheirRole, WebSocket};
use proptest::prelude::*;
use ringmain_proto::ws::{ParserSettings, Role, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::builder::{CLOSE, FIN, PING, PONG};
use crate::strategies::{Plan, valid_plans, write};
use crate::{drive, oracle};

const LIMIT_BYTES: usize = 1 << 20;
const PIPE_BYTES: usize = 4 << 20;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn settings(role: Role) -> ParserSettings {
    ParserSettings {
        role,
        message_bytes_max: LIMIT_BYTES,
        compression: false,
    }
}

/// What fastwebsockets writes in `role` for these frames.
async fn written_by_them(plans: &[Plan], role: TheirRole) -> Vec<u8> {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let mut socket = WebSocket::after_handshake(theirs, role);
    for plan in plans {
        let opcode = OpCode::try_from(plan.first & 0x0F).unwrap();
        let payload = TheirPayload::Owned(plan.payload.clone());
        socket
            .write_frame(Frame::new(plan.first & FIN != 0, opcode, None, payload))
            .await
            .unwrap();
    }
    drop(socket);
    let mut stream = Vec::new();
    { ours }.read_to_end(&mut stream).await.unwrap();
    stream
}

/// The frames that fastwebsockets reads in `role` from our bytes.
async fn read_by_them(stream: &[u8], frames: usize, role: TheirRole) -> Vec<Plan> {
    let (mut ours, theirs) = duplex(PIPE_BYTES);
    ours.write_all(stream).await.unwrap();
    let mut socket = WebSocket::after_handshake(theirs, role);
    socket.set_auto_close(false);
    socket.set_auto_pong(false);
    let mut plans = Vec::new();
    for _ in 0..frames {
        let frame = socket.read_frame().await.unwrap();
        let fin = if frame.fin { FIN } else { 0 };
        plans.push(Plan {
            first: fin | frame.opcode as u8,
            payload: frame.payload.to_vec(),
        });
    }
    plans
}

/// Writes whole frames with our writers, fragments with our header.
fn written_by_us(plans: &[Plan], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    for plan in plans {
        let opcode = our_opcode(plan.first);
        match key {
            Some(key) => encode::write_masked_frame(&mut out, opcode, key, &plan.payload),
            None if plan.first & FIN != 0 => encode::write_frame(&mut out, opcode, &plan.payload),
            None => {
                out.extend_from_slice(&encode::Header::new(opcode, false, plan.payload.len()));
                out.extend_from_slice(&plan.payload);
            }
        }
    }
    out
}

fn our_opcode(first: u8) -> ringmain_proto::ws::Opcode {
    use ringmain_proto::ws::Opcode;
    match first & 0x0F {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        CLOSE => Opcode::Close,
        PING => Opcode::Ping,
        PONG => Opcode::Pong,
        reserved => panic!("{reserved}"),
    }
}

fn same(left: &[Plan], right: &[Plan]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(l, r)| l.first == r.first && l.payload == r.payload)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn what_they_write_we_read(plans in valid_plans(), key: [u8; 4]) {
        for (ours, theirs) in [(Role::Server, TheirRole::Client), (Role::Client, TheirRole::Server)] {
            let expected = oracle::decode(&settings(ours), &write(&plans, ours, key, &[]));
            let stream = run(written_by_them(&plans, theirs));
            prop_assert_eq!(drive::parse(&settings(ours), &stream), expected);
        }
    }

    #[test]
    fn what_we_write_as_a_server_they_read(plans in valid_plans()) {
        let stream = written_by_us(&plans, None);
        let read = run(read_by_them(&stream, plans.len(), TheirRole::Client));
        prop_assert!(same(&read, &plans));
    }

    #[test]
    fn what_we_write_as_a_client_they_read(mut plans in valid_plans(), key: [u8; 4]) {
        // Our client writes no fragments.
        plans.retain(|plan| plan.first & FIN != 0 && plan.first != FIN);
        plans.retain(|plan| plan.first != FIN | 0x1 || std::str::from_utf8(&plan.payload).is_ok());
        let stream = written_by_us(&plans, Some(key));
        let read = run(read_by_them(&stream, plans.len(), TheirRole::Server));
        prop_assert!(same(&read, &plans));
    }
}
