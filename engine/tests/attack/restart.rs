//! The engine itself is gone for a moment.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringmain_proto::ws::Opcode;

use crate::client::{frame, read_to_end, request, upgraded};
use crate::world::{BACKENDS, Engine, GoodMembers, PATIENCE, until};

/// A client that comes back: tries until it is upgraded.
fn come_back(address: SocketAddr) -> TcpStream {
    until("the engine is back", || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&request("/raw/again")).ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        head.starts_with(b"HTTP/1.1 101 ").then_some(stream)
    })
}

#[test]
fn after_a_kill_everyone_comes_back_to_a_new_one_at_the_same_address() {
    for backend in BACKENDS {
        let engine = Engine::start(backend, &[]);
        let address = engine.address;
        let mut clients: Vec<_> = (0..500).map(|_| upgraded(address, "/raw/again")).collect();
        engine.kill();
        for client in &mut clients {
            read_to_end(client);
        }
        // They try before it is there.
        let waiting: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || come_back(address)))
            .collect();
        let engine = Engine::start_at(&address.to_string(), backend, &[]);
        let mut clients: Vec<_> = clients.iter().map(|_| come_back(address)).collect();
        clients.extend(waiting.into_iter().map(|thread| thread.join().unwrap()));
        clients[0]
            .write_all(&frame(Opcode::Binary, b"we are back"))
            .unwrap();
        for client in &mut clients[1..] {
            let mut message = [0; 13];
            client.read_exact(&mut message).unwrap();
            assert_eq!(&message[2..], b"we are back");
        }
        GoodMembers::talk(&engine, 1).assert_unharmed();
        engine.assert_well();
    }
}
