//! Opening one connection.

use std::io;
use std::os::fd::AsFd;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringmain_proto::ws::handshake::{ClientHandshake, check_response, client_request};
use ringmain_rt::{Ready, connect};

use super::receive::Flow;
use super::slow::RECEIVE_BUFFER_BYTES;
use super::{State, Worker};
use crate::failure::Failure;
use crate::links::Progress;
use crate::load::Load;
use crate::tally::Count;

impl<L: Load> Worker<L> {
    /// Begins to connect a link.
    ///
    /// # Errors
    /// It failed at once.
    pub(super) fn begin_connecting(
        &self,
        state: &mut State<L>,
        link: usize,
        due_ns: u64,
    ) -> Result<(), Failure> {
        let begun_ns = self.job.clock.now_ns();
        let deadline_ns = begun_ns.saturating_add(self.job.settings.handshake_timeout_ns);
        let from = self.job.plan.sources.address(self.layout.id(link));
        let receive_buffer = self
            .layout
            .slow_links()
            .contains(&link)
            .then_some(RECEIVE_BUFFER_BYTES);
        let stream = connect::connect(from, self.job.plan.address, receive_buffer)?;
        self.watch.add(stream.as_fd(), link as u64)?;
        let tls = self.job.settings.tls.as_ref();
        let tls = tls.map(crate::tls::Tls::begin).transpose()?;
        let times = (due_ns, begun_ns, deadline_ns);
        state.links.get(link).attach(stream, tls, times);
        state.ramp.expect_by(deadline_ns, link);
        Ok(())
    }

    /// Goes on with a handshake as far as the socket allows.
    ///
    /// # Errors
    /// The connection will not come to be.
    pub(super) fn go_on_connecting(
        &self,
        state: &mut State<L>,
        link: usize,
        ready: Ready,
    ) -> Result<(), Failure> {
        let Some(mut handshake) = state.links.get(link).handshake.take() else {
            return Ok(());
        };
        if handshake.key.is_empty() {
            if let Some(error) = state.links.get(link).take_error() {
                return Err(error.into());
            }
            if ready.writable {
                handshake.key = new_key(state);
                self.send_request(state, link, &handshake.key);
            }
        } else if ready.writable {
            // A request that was not taken whole.
            state.links.get(link).resume();
        }
        if !handshake.key.is_empty() && (ready.readable || ready.ended) {
            receive_all(state, link, &mut handshake.head)?;
            match check_response(&handshake.head, &handshake.key) {
                ClientHandshake::NeedMore if ready.ended => return Err(Failure::Ended),
                ClientHandshake::NeedMore => {}
                ClientHandshake::Refused { status } => return Err(Failure::Status(status)),
                ClientHandshake::Invalid(error) => return Err(Failure::Response(error)),
                ClientHandshake::Done { consumed } => {
                    self.opened(state, link, (handshake.due_ns, handshake.begun_ns));
                    // Frames that came with it.
                    let flow = self.handle(state, link, &mut handshake.head[consumed..]);
                    match flow {
                        Flow::Ends(failure) => self.end(state, link, failure),
                        Flow::Goes if ready.ended => self.end(state, link, Failure::Ended),
                        Flow::Goes => {}
                    }
                    return Ok(());
                }
            }
        }
        state.links.get(link).handshake = Some(handshake);
        Ok(())
    }

    fn send_request(&self, state: &mut State<L>, link: usize, key: &str) {
        let room = self.layout.room(self.layout.id(link));
        let settings = &self.job.settings;
        let (host, path) = (&settings.target.authority, settings.path(room));
        client_request(host, &path, key, state.out.raw());
        state.links.get(link).send(&mut state.out);
    }

    fn opened(&self, state: &mut State<L>, link: usize, (due_ns, begun_ns): (u64, u64)) {
        let now_ns = self.job.clock.now_ns();
        state.links.get(link).progress = Progress::Open;
        state.record.opened(due_ns, begun_ns, now_ns);
        state.record.tally[Count::Connecting] -= 1;
        state.record.tally[Count::Open] += 1;
        self.count_opened(state, link, now_ns);
        state.load.opened(link);
    }
}

/// RFC 6455, 4.1: 16 bytes, chosen anew for each connection, in base64.
fn new_key<L>(state: &mut State<L>) -> String {
    let bytes = [state.random.next(), state.random.next()].map(u64::to_ne_bytes);
    STANDARD.encode(bytes.as_flattened())
}

/// Appends all that has arrived to `head`.
fn receive_all<L>(state: &mut State<L>, link: usize, head: &mut Vec<u8>) -> Result<(), Failure> {
    loop {
        match state.links.get(link).receive(&mut state.scratch) {
            Ok(0) => return Ok(()),
            Ok(bytes) => head.extend_from_slice(&state.scratch[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
