//! Fan-out: one room, and every message goes to all but its sender.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use ringmain_benches::frame::{self, BINARY, CLOSE, PING, PONG, TEXT};

use crate::io::{Io, Sending};
use crate::room_log::{LOG_BYTES, RoomLog};
use crate::server::Role;
use crate::socket;

/// Sends a turn, as in the engine: they run inside the submit, and receives wait for it.
const SENDS_PER_TURN: usize = 256;
/// Publishers are not read while more than this has not yet been offered to every member.
const UNOFFERED_BYTES_MAX: u64 = 256 * 1024;

/// One connection's place in the log.
#[derive(Debug, Default)]
struct Member {
    joined: bool,
    cursor: u64,
    /// What it said itself and has not yet passed.
    own: VecDeque<Range<u64>>,
    /// It is in the queue of those to send to.
    queued: bool,
    /// A pong or close frame, for when it has caught up: between two messages.
    reply: Vec<u8>,
    closing: bool,
}

impl Member {
    /// Passes what is its own and returns how far it may be sent to.
    fn limit(&mut self, end: u64) -> u64 {
        while let Some(own) = self.own.front() {
            if own.start > self.cursor {
                return own.start;
            }
            self.cursor = own.end;
            self.own.pop_front();
        }
        end
    }
}

/// The role.
#[derive(Debug)]
pub struct Fanout {
    log: RoomLog,
    /// By descriptor.
    members: Vec<Member>,
    queue: VecDeque<RawFd>,
    /// Something was said since the members were last queued.
    news: bool,
    /// Every member was offered all before this.
    offered: u64,
    /// No member's cursor lies before this.
    oldest: u64,
    paused: Vec<RawFd>,
    encoded: Vec<u8>,
    slow_closed: u64,
}

impl Fanout {
    pub fn new() -> Self {
        Self {
            log: RoomLog::new(),
            members: Vec::new(),
            queue: VecDeque::new(),
            news: false,
            offered: 0,
            oldest: 0,
            paused: Vec::new(),
            encoded: Vec::new(),
            slow_closed: 0,
        }
    }

    fn publish(&mut self, io: &mut Io, fd: RawFd, frame: &frame::Frame<'_>) -> io::Result<()> {
        self.encoded.clear();
        frame::push_header(&mut self.encoded, frame.opcode, frame.payload.len());
        frame::push_unmasked(&mut self.encoded, frame.payload, frame.mask);
        self.make_room(io)?;
        let span = self.log.append(&self.encoded);
        self.members[fd as usize].own.push_back(span);
        self.news = true;
        Ok(())
    }

    /// Ends the members that would have to be told what is about to be written over.
    fn make_room(&mut self, io: &mut Io) -> io::Result<()> {
        let first_kept =
            (self.log.end() + self.encoded.len() as u64).saturating_sub(LOG_BYTES as u64);
        if self.oldest >= first_kept {
            return Ok(());
        }
        self.oldest = self.log.end();
        for (fd, member) in self
            .members
            .iter_mut()
            .enumerate()
            .filter(|(_, member)| member.joined)
        {
            if member.cursor >= first_kept {
                self.oldest = self.oldest.min(member.cursor);
                continue;
            }
            member.joined = false;
            self.slow_closed += 1;
            eprintln!(
                "floor: closed a member {LOG_BYTES} bytes behind, {} in all",
                self.slow_closed
            );
            // What is in flight after this carries the end to where the connection is released.
            io.resume(fd as RawFd)?;
            io.end(fd as RawFd);
        }
        Ok(())
    }

    fn enqueue(&mut self, fd: RawFd) {
        let member = &mut self.members[fd as usize];
        if member.joined && !member.queued {
            member.queued = true;
            self.queue.push_back(fd);
        }
    }

    /// Sends a member all that waits for it, up to the ring's seam or its own message.
    fn transmit(&mut self, io: &mut Io, fd: RawFd) -> io::Result<()> {
        let member = &mut self.members[fd as usize];
        member.queued = false;
        if io.is_sending(fd) {
            return Ok(());
        }
        while member.joined {
            let limit = member.limit(self.log.end());
            if member.cursor == limit {
                break;
            }
            // SAFETY: the log lives as long as the program. Bytes that a send still refers to are written over only
            // after its socket has been shut down, so that none of them is sent.
            match unsafe { io.send(fd, self.log.read(member.cursor, limit))? } {
                Sending::Took(bytes) => member.cursor += bytes as u64,
                Sending::InFlight => return Ok(()),
            }
        }
        // Between two messages: the only place where a control frame may go.
        if !member.reply.is_empty() {
            let whole = socket::send(fd, &member.reply)? == member.reply.len();
            member.reply.clear();
            if member.closing || !whole {
                member.joined = false;
                io.end(fd);
            }
        }
        Ok(())
    }

    fn reply(&mut self, fd: RawFd, opcode: u8, frame: &frame::Frame<'_>) {
        let member = &mut self.members[fd as usize];
        // One answer is enough for pings that pile up.
        member.reply.clear();
        frame::push_header(&mut member.reply, opcode, frame.payload.len());
        frame::push_unmasked(&mut member.reply, frame.payload, frame.mask);
        member.closing = opcode == CLOSE;
        self.enqueue(fd);
    }
}

impl Role for Fanout {
    fn opened(&mut self, _io: &mut Io, fd: RawFd) {
        let index = fd as usize;
        if self.members.len() <= index {
            self.members.resize_with(index + 1, Member::default);
        }
        self.members[index] = Member {
            joined: true,
            cursor: self.log.end(),
            ..Member::default()
        };
    }

    fn received(&mut self, io: &mut Io, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        let mut consumed = 0;
        while let Some(frame) = frame::parse(&data[consumed..])? {
            consumed += frame.bytes;
            match frame.opcode {
                _ if self.members[fd as usize].closing => {}
                TEXT | BINARY => self.publish(io, fd, &frame)?,
                PING => self.reply(fd, PONG, &frame),
                CLOSE => self.reply(fd, CLOSE, &frame),
                _ => {}
            }
        }
        if self.log.end() - self.offered > UNOFFERED_BYTES_MAX {
            io.pause(fd);
            self.paused.push(fd);
        }
        Ok(consumed)
    }

    fn sent(&mut self, _io: &mut Io, fd: RawFd, bytes: usize) -> io::Result<()> {
        let member = &mut self.members[fd as usize];
        member.cursor += bytes as u64;
        if member.limit(self.log.end()) > member.cursor || !member.reply.is_empty() {
            self.enqueue(fd);
        }
        Ok(())
    }

    fn writable(&mut self, _io: &mut Io, fd: RawFd) -> io::Result<()> {
        self.enqueue(fd);
        Ok(())
    }

    fn flush(&mut self, io: &mut Io) -> io::Result<()> {
        if std::mem::take(&mut self.news) {
            (0..self.members.len() as RawFd).for_each(|fd| self.enqueue(fd));
        }
        for _ in 0..SENDS_PER_TURN {
            let Some(fd) = self.queue.pop_front() else {
                break;
            };
            if self.transmit(io, fd).is_err() {
                io.end(fd);
            }
        }
        if self.queue.is_empty() {
            self.offered = self.log.end();
            for fd in self.paused.drain(..) {
                io.resume(fd)?;
            }
        }
        Ok(())
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    fn ended(&mut self, fd: RawFd) {
        if let Some(member) = self.members.get_mut(fd as usize) {
            member.joined = false;
        }
    }
}
