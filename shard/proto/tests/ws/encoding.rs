//! Section 5.2: frames that we write.

use ringmain_proto::ws::encode::{Header, header_len, write_frame, write_masked_frame};
use ringmain_proto::ws::{MessageKind, Opcode};

use crate::builder::{KEY, masked, unmasked};

const BOUNDARIES: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 300_000];

#[test]
fn section_5_2_headers_use_the_fewest_bytes() {
    for bytes in BOUNDARIES {
        for (opcode, fin) in [
            (Opcode::Text, true),
            (Opcode::Binary, false),
            (Opcode::Continuation, true),
        ] {
            let header = Header::new(opcode, fin, bytes);
            let first = opcode as u8 | if fin { 0x80 } else { 0 };
            let frame = unmasked(first, &vec![0; bytes]);
            assert_eq!(*header, frame[..frame.len() - bytes]);
            assert_eq!(header.as_ref().len(), header_len(bytes));
        }
    }
    assert_eq!(
        *Header::new(Opcode::Binary, true, usize::MAX >> 1),
        [0x82, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255]
    );
}

#[test]
fn section_5_1_a_server_writes_frames_unmasked() {
    for bytes in BOUNDARIES {
        let payload = vec![0xA5; bytes];
        let mut out = b"before".to_vec();
        write_frame(&mut out, Opcode::Binary, &payload);
        assert_eq!(out, [&b"before"[..], &unmasked(0x82, &payload)].concat());
    }
}

#[test]
fn section_5_3_a_client_writes_frames_masked() {
    for bytes in BOUNDARIES {
        let payload = vec![0xA5; bytes];
        let mut out = b"before".to_vec();
        write_masked_frame(&mut out, Opcode::Text, KEY, &payload);
        assert_eq!(out, [&b"before"[..], &masked(0x81, &payload)].concat());
    }
}

#[test]
fn section_11_8_opcodes_have_their_registered_numbers() {
    let opcodes = [
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Close,
        Opcode::Ping,
        Opcode::Pong,
    ];
    assert_eq!(opcodes.map(|opcode| opcode as u8), [0, 1, 2, 8, 9, 10]);
    assert_eq!(
        opcodes.map(Opcode::is_control),
        [false, false, false, true, true, true]
    );
    assert_eq!(Opcode::from(MessageKind::Text), Opcode::Text);
    assert_eq!(Opcode::from(MessageKind::Binary), Opcode::Binary);
}
