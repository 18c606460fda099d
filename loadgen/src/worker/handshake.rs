//! Opening one connection.

use std::io::{self, IoSlice};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringmain_proto::ws::handshake::{ClientHandshake, check_response, client_request};
use ringmain_rt::{Socket, socket};

use super::receive::Flow;
use super::{State, Worker};
use crate::failure::Failure;
use crate::links::Progress;
use crate::load::Load;
use crate::tally::Count;

impl<L: Load + 'static> Worker<L> {
    /// Connects a link and does the WebSocket handshake.
    pub(super) async fn open(self: &Rc<Self>, link: usize) -> Result<Rc<Socket>, Failure> {
        let begun_ns = self.job.clock.now_ns();
        let from = self.job.plan.sources.address(self.layout.id(link));
        let socket = Rc::new(Socket::connect(from, self.job.plan.address)?);
        self.state.borrow_mut().links.attach(link, socket.clone());
        socket.writable().await?;
        if let Some(error) = socket.take_error() {
            return Err(error.into());
        }
        let key = self.key();
        self.send_request(link, &key, &socket).await?;
        let mut head = Vec::new();
        loop {
            socket.readable().await?;
            if self.receive_response(link, &key, &mut head, begun_ns, &socket)? {
                return Ok(socket);
            }
        }
    }

    /// RFC 6455, 4.1: 16 bytes, chosen anew for each connection, in base64.
    fn key(&self) -> String {
        let random = &mut self.state.borrow_mut().random;
        let bytes = [random.next(), random.next()].map(u64::to_ne_bytes);
        STANDARD.encode(bytes.as_flattened())
    }

    async fn send_request(&self, link: usize, key: &str, socket: &Socket) -> Result<(), Failure> {
        let room = self.layout.room(self.layout.id(link));
        let settings = &self.job.settings;
        let mut request = Vec::new();
        client_request(
            &settings.target.authority,
            &settings.path(room),
            key,
            &mut request,
        );
        let mut rest = &request[..];
        while !rest.is_empty() {
            match socket::send(socket.fd(), &[IoSlice::new(rest)]) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.writable().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Receives a part of the response; true once it is whole and the connection is open. Frames that
    /// came with it have been handled then.
    fn receive_response(
        self: &Rc<Self>,
        link: usize,
        key: &str,
        head: &mut Vec<u8>,
        begun_ns: u64,
        socket: &Socket,
    ) -> Result<bool, Failure> {
        let state = &mut *self.state.borrow_mut();
        match socket.receive(&mut state.scratch) {
            Ok(0) => return Err(Failure::Ended),
            Ok(bytes) => head.extend_from_slice(&state.scratch[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        match check_response(head, key) {
            ClientHandshake::NeedMore => Ok(false),
            ClientHandshake::Refused { status } => Err(Failure::Status(status)),
            ClientHandshake::Invalid(error) => Err(Failure::Response(error)),
            ClientHandshake::Done { consumed } => {
                self.opened(state, link, begun_ns);
                match self.handle(state, link, &mut head[consumed..]) {
                    Flow::Goes => {}
                    // It was open, if only for a moment: its next receive finds the same end.
                    Flow::Ends(_) => state.links.get(link).shut(),
                }
                Ok(true)
            }
        }
    }

    fn opened(&self, state: &mut State<L>, link: usize, begun_ns: u64) {
        let took_ns = self.job.clock.now_ns().saturating_sub(begun_ns);
        state.links.get(link).progress = Progress::Open;
        state.record.handshakes.saturating_record(took_ns);
        state.record.tally[Count::Connecting] -= 1;
        state.record.tally[Count::Connected] += 1;
        state.record.tally[Count::Open] += 1;
        state.load.opened(link);
    }
}
