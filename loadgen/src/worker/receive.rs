//! What a connection does when something has arrived.

use std::io;
use std::rc::Rc;

use ringmain_proto::ws::{CloseCode, Event, MessageKind, Opcode, encode};
use ringmain_rt::Socket;

use super::{State, Worker};
use crate::failure::Failure;
use crate::links::Progress;
use crate::load::Load;
use crate::tally::Count;

/// Whether a connection goes on.
pub(super) enum Flow {
    /// It does.
    Goes,
    /// It is over.
    Ends(Failure),
}

impl<L: Load + 'static> Worker<L> {
    /// Receives once, and handles all that came. What is left makes the socket readable at once; others
    /// have their turn before.
    pub(super) fn receive(self: &Rc<Self>, link: usize, socket: &Socket) -> Flow {
        let state = &mut *self.state.borrow_mut();
        let mut scratch = std::mem::take(&mut state.scratch);
        let flow = match socket.receive(&mut scratch) {
            Ok(0) => Flow::Ends(Failure::Ended),
            Ok(bytes) => self.handle(state, link, &mut scratch[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flow::Goes,
            Err(error) => Flow::Ends(error.into()),
        };
        state.scratch = scratch;
        flow
    }

    /// Handles frames that have arrived, and sends all answers to them at once.
    pub(super) fn handle(
        self: &Rc<Self>,
        state: &mut State<L>,
        link: usize,
        mut input: &mut [u8],
    ) -> Flow {
        // Once for all that came together: it waited in the same buffer.
        let now_ns = self.job.clock.now_ns();
        let mut flow = Flow::Goes;
        loop {
            let parser = &mut state.links.get(link).parser;
            let event = match parser.next(&self.parse, input) {
                Ok((Some(event), rest)) => {
                    input = rest;
                    event
                }
                Ok((None, _)) => break,
                Err(error) => {
                    let payload = encode::close_payload(error.close_code(), "");
                    state.out.push_control(Opcode::Close, &payload);
                    flow = Flow::Ends(Failure::Protocol(error));
                    break;
                }
            };
            if let Event::Message {
                kind: MessageKind::Binary,
                payload,
            } = event
            {
                let State {
                    load, record, out, ..
                } = state;
                load.message(link, &payload, now_ns, record, out);
            } else {
                flow = other(state, link, event);
                if let Flow::Ends(_) = flow {
                    break;
                }
            }
        }
        state.links.send(link, &mut state.out);
        self.spawn_flushers(state);
        self.turns.request();
        flow
    }
}

/// Whatever is not a message of ours.
fn other<L>(state: &mut State<L>, link: usize, event: Event<'_>) -> Flow {
    match event {
        Event::Ping(payload) => {
            state.record.tally[Count::Pings] += 1;
            state.out.push_control(Opcode::Pong, &payload);
        }
        Event::Pong(_) => {}
        // We send binary messages only: a text is one that was changed.
        Event::Message { .. } => state.record.tally[Count::Corrupt] += 1,
        // The answer to ours; what follows is the end.
        Event::Close(_) if state.links.get(link).progress == Progress::Closing => {}
        Event::Close(frame) => {
            let code = frame.map(|frame| frame.code);
            let payload = encode::close_payload(code.unwrap_or(CloseCode::NORMAL), "");
            state.out.push_control(Opcode::Close, &payload);
            return Flow::Ends(Failure::Closed(code.map(CloseCode::get)));
        }
    }
    Flow::Goes
}
