//! What a connection does when something has arrived.

use std::io;
use std::os::fd::RawFd;

use ringmain_proto::ws::{CloseCode, Event, MessageKind, Opcode, encode};
use ringmain_rt::{Backend, BatchReceiver, Ready, ReadyList};

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

/// What one socket receives at once, where many are received from together.
const PART_BYTES: usize = 4096;
/// Sockets that are received from together; their parts fill the thread's buffer.
const PARTS: usize = super::SCRATCH_BYTES / PART_BYTES;

/// Receives from many sockets at once.
pub(super) struct Together {
    /// Messages are short: a long one would need a second receive, after its part.
    is_worth_it: bool,
    receiver: BatchReceiver,
    links: Vec<(usize, bool)>,
    sockets: Vec<RawFd>,
    results: Vec<io::Result<usize>>,
}

impl Together {
    /// For messages of up to so many bytes.
    pub(super) fn new(backend: Backend, bytes_max: usize) -> io::Result<Self> {
        Ok(Together {
            is_worth_it: bytes_max <= PART_BYTES / 4,
            receiver: BatchReceiver::new(backend)?,
            links: Vec::new(),
            sockets: Vec::new(),
            results: Vec::new(),
        })
    }
}

impl<L: Load> Worker<L> {
    /// Sockets have something to report: those that only have something to read are read together.
    pub(super) fn handle_all(&self, state: &mut State<L>, list: &ReadyList) {
        for ready in list.iter() {
            let link = ready.token as usize;
            let is_plain =
                ready.readable && state.together.is_worth_it && !state.links.is_stuck(link);
            let is_plain = is_plain && !state.links.is_tls(link);
            if is_plain && state.links.is_open(link) && !self.is_held_back(link) {
                state.together.links.push((link, ready.ended));
                state.together.sockets.push(state.links.get(link).fd());
                if state.together.links.len() == PARTS {
                    self.receive_together(state);
                }
            } else {
                self.handle_ready(state, ready);
            }
        }
        self.receive_together(state);
    }

    fn receive_together(&self, state: &mut State<L>) {
        let mut scratch = std::mem::take(&mut state.scratch);
        let Together {
            receiver,
            sockets,
            results,
            ..
        } = &mut state.together;
        receiver.receive(sockets, scratch.chunks_exact_mut(PART_BYTES), results);
        sockets.clear();
        let links = std::mem::take(&mut state.together.links);
        let mut results = std::mem::take(&mut state.together.results);
        // Whoever has filled its part, or is at its end, has more to be read.
        let mut unfinished = Vec::new();
        for ((&(link, ended), result), part) in links
            .iter()
            .zip(results.drain(..))
            .zip(scratch.chunks_exact_mut(PART_BYTES))
        {
            let flow = match result {
                Ok(0) => Flow::Ends(Failure::Ended),
                Ok(bytes) => {
                    if bytes == part.len() || ended {
                        unfinished.push((link, ended));
                    }
                    self.handle(state, link, &mut part[..bytes])
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flow::Goes,
                Err(error) => Flow::Ends(error.into()),
            };
            if let Flow::Ends(failure) = flow {
                self.end(state, link, failure);
            }
        }
        state.scratch = scratch;
        state.together.links = links;
        state.together.links.clear();
        state.together.results = results;
        for (link, ended) in unfinished {
            let progress = state.links.get(link).progress;
            if matches!(progress, Progress::Open | Progress::Closing) {
                self.receive(state, link, ended);
            }
        }
    }

    /// A socket has something to report.
    #[inline]
    pub(super) fn handle_ready(&self, state: &mut State<L>, ready: Ready) {
        let link = ready.token as usize;
        match state.links.get(link).progress {
            Progress::Connecting => {
                if let Err(failure) = self.go_on_connecting(state, link, ready) {
                    self.fail(state, link, failure);
                }
            }
            Progress::Open | Progress::Closing => {
                if ready.writable {
                    state.links.get(link).resume();
                }
                if (ready.readable || ready.ended) && !self.is_held_back(link) {
                    self.receive(state, link, ready.ended);
                }
            }
            // Reported together with what ended it.
            Progress::Waiting | Progress::Ended => {}
        }
    }

    /// Receives until nothing is left. A read that does not fill the buffer has emptied the socket; but
    /// after the other side's end only the end itself says so.
    #[inline]
    pub(super) fn receive(&self, state: &mut State<L>, link: usize, ended: bool) {
        loop {
            let received = state.links.get(link).receive(&mut state.scratch);
            let flow = match received {
                Ok(0) => Flow::Ends(Failure::Ended),
                Ok(bytes) => {
                    let mut scratch = std::mem::take(&mut state.scratch);
                    let flow = self.handle(state, link, &mut scratch[..bytes]);
                    state.scratch = scratch;
                    match flow {
                        Flow::Goes
                            if bytes == state.scratch.len()
                                || ended
                                || state.links.is_tls(link) =>
                        {
                            continue;
                        }
                        flow => flow,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Flow::Goes,
                Err(error) => Flow::Ends(error.into()),
            };
            if let Flow::Ends(failure) = flow {
                self.end(state, link, failure);
            }
            return;
        }
    }

    /// Handles frames that have arrived, and sends all answers to them at once.
    pub(super) fn handle(&self, state: &mut State<L>, link: usize, mut input: &mut [u8]) -> Flow {
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
                flow = state.handle_other(link, event);
                if let Flow::Ends(_) = flow {
                    break;
                }
            }
        }
        state.links.get(link).send(&mut state.out);
        flow
    }
}

impl<L> State<L> {
    /// Whatever is not a message of ours.
    fn handle_other(&mut self, link: usize, event: Event<'_>) -> Flow {
        match event {
            Event::Ping(payload) => {
                self.record.tally[Count::Pings] += 1;
                self.out.push_control(Opcode::Pong, &payload);
            }
            Event::Pong(_) => {}
            // We send binary messages only, and offer no compression: others were changed.
            Event::Message { .. } | Event::Compressed { .. } => {
                self.record.tally[Count::Corrupt] += 1
            }
            // The answer to ours; what follows is the end.
            Event::Close(_) if self.links.get(link).progress == Progress::Closing => {}
            Event::Close(frame) => {
                let code = frame.map(|frame| frame.code);
                let payload = encode::close_payload(code.unwrap_or(CloseCode::NORMAL), "");
                self.out.push_control(Opcode::Close, &payload);
                return Flow::Ends(Failure::Closed(code.map(CloseCode::get)));
            }
        }
        Flow::Goes
    }
}
