//! What comes in from a client.

use bytes::Bytes;
use ringmain_proto::ws::{CloseFrame, Event, MessageKind, Opcode, Payload, ProtocolError};
use ringmain_router::{MemberId, PayloadKind, Publication};

use super::ShardCore;
use super::admission::is_awaited;
use crate::access::RefusedPublish;
use crate::close::CloseReason;
use crate::compression::Purpose;
use crate::connection::{Pause, Stage};
use crate::dialect::{Actions, Dialect};
use crate::encoded::Encoded;
use crate::limits::{INLINE_PAYLOAD_BYTES_MAX, TURN_RESUMES_MAX};
use crate::rates::{RateAction, RateLimit};
use crate::refused_token::RefusedToken;
use crate::room::RoomKey;
use crate::stats::DropReason;
use crate::tick::Tick;
use crate::{ConnId, SessionId};

/// Why parsing came to an end before the next bytes.
enum Stop {
    /// All is parsed.
    Dry,
    Paused(Pause),
    PeerClosed(Option<CloseFrame>),
    Failed(ProtocolError),
    /// A dialect closes the connection.
    Refused(CloseReason),
    /// More was sent than this rate allows.
    Excess(RateLimit),
}

/// What becomes of a message that is whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Handle,
    /// It is beyond a rate.
    Drop,
}

/// Whether an event counts as a message: all do but the last one.
fn is_whole(event: Option<&Event<'_>>) -> bool {
    event.is_some_and(|event| !matches!(event, Event::Close(_)))
}

impl ShardCore {
    pub(super) fn received(&mut self, now: Tick, conn: ConnId, bytes: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        connection.heard(now);
        self.stats.bytes_in.add(bytes.len() as u64);
        self.stats.reads.add(1);
        match connection.stage {
            Stage::Open => match &mut connection.unread {
                // The shell does not read while there are unread bytes, but order must hold if it does.
                Some(unread) => {
                    unread.extend_from_slice(bytes);
                    self.meter.hold(bytes.len());
                }
                None => self.parse(now, conn, bytes),
            },
            _ => self.await_close(conn, bytes),
        }
    }

    /// Parses messages until the bytes end, or there is no room for what they ask.
    fn parse(&mut self, now: Tick, conn: ConnId, mut input: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let Some(session) = connection.session else {
            return;
        };
        let mut parser = std::mem::take(&mut connection.parser);
        let bytes_before = parser.held_bytes();
        let mut settings = self.parser_settings;
        settings.compression = connection.inflates.is_some();
        let mut held = Self::hold(&self.limits, connection);
        let mut dropped = false;
        let stop = loop {
            if input.is_empty() {
                break Stop::Dry;
            }
            if settings.compression && self.codecs.input_is_spent() {
                break Stop::Paused(Pause::Turn);
            }
            if let Some(pause) = self.must_pause(session) {
                break Stop::Paused(pause);
            }
            // Only messages go to the room.
            if self.rooms_have_rates
                && !parser.is_at_control_frame(input)
                && self.must_wait_at_gate(now, session)
            {
                break Stop::Paused(Pause::Lease);
            }
            if held
                .as_ref()
                .is_some_and(|held| held.must_wait(now).is_some())
            {
                break Stop::Paused(Pause::Rate);
            }
            let bytes = input.len();
            let (event, rest) = match parser.next(&settings, std::mem::take(&mut input)) {
                Ok(next) => next,
                Err(error) => break Stop::Failed(error),
            };
            input = rest;
            let mut fate = Fate::Handle;
            if let Some(held) = &mut held
                && let Err(limit) = held.parsed(now, bytes - input.len(), is_whole(event.as_ref()))
            {
                self.exceeded(limit);
                if self.limits.rate_action == RateAction::Close {
                    break Stop::Excess(limit);
                }
                fate = Fate::Drop;
                dropped = true;
            }
            match event {
                None => break Stop::Dry,
                Some(Event::Message { kind, payload }) => {
                    if let Err(reason) = self.message(now, session, kind, payload, fate) {
                        break Stop::Refused(reason);
                    }
                }
                Some(Event::Compressed { kind, payload }) => {
                    if let Err(stop) = self.compressed(now, conn, session, kind, &payload, fate) {
                        break stop;
                    }
                }
                Some(Event::Ping(_)) if fate == Fate::Drop => {}
                Some(Event::Ping(payload)) => self.reply(now, session, Opcode::Pong, payload),
                Some(Event::Pong(_)) => {}
                Some(Event::Close(frame)) => break Stop::PeerClosed(frame),
            }
        };
        self.meter.hold(parser.held_bytes());
        self.meter.release(bytes_before);
        let wait = held.as_ref().and_then(|held| held.must_wait(now));
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.parser = parser;
            Self::let_go(connection, held);
        }
        if dropped {
            self.offend(now, conn);
        }
        match stop {
            // What it sends next stays with its own system.
            Stop::Dry if let Some((_, wait_ms)) = wait => {
                self.set_pause(conn, Pause::Rate, input);
                self.wait_for_rate(now, conn, wait_ms);
            }
            Stop::Paused(Pause::Rate) if let Some((limit, wait_ms)) = wait => {
                self.exceeded(limit);
                self.pause(conn, session, Pause::Rate, input);
                self.wait_for_rate(now, conn, wait_ms);
            }
            Stop::Dry => {}
            Stop::Paused(pause) => self.pause(conn, session, pause, input),
            Stop::PeerClosed(frame) => self.peer_closed(now, conn, frame),
            Stop::Failed(error) => self.protocol_error(now, conn, &error),
            Stop::Refused(reason) => {
                self.close(now, conn, reason, reason.entry().text);
                self.await_close(conn, input);
            }
            Stop::Excess(limit) => {
                self.offend(now, conn);
                self.close(now, conn, CloseReason::RateExceeded, limit.text());
            }
        }
    }

    /// Looks for nothing but the peer's close frame, if the connection is being closed and that is awaited.
    fn await_close(&mut self, conn: ConnId, mut input: &mut [u8]) {
        let mut settings = self.parser_settings;
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if !matches!(connection.stage, Stage::Closing { deaf: false, .. }) {
            return;
        }
        settings.compression = connection.inflates.is_some();
        let held = connection.parser.held_bytes();
        let closed = loop {
            match connection
                .parser
                .next(&settings, std::mem::take(&mut input))
            {
                Ok((Some(Event::Close(_)), _)) | Err(_) => break true,
                Ok((_, [])) => break false,
                Ok((_, rest)) => input = rest,
            }
        };
        self.meter.hold(connection.parser.held_bytes());
        self.meter.release(held);
        if closed {
            self.close_answered(conn);
        }
    }

    /// Drops what a paused connection had unread.
    pub(super) fn drop_unread(&mut self, conn: ConnId) {
        if let Some(unread) = (self.connections.get_mut(conn)).and_then(|it| it.unread.take()) {
            self.meter.release(unread.len());
        }
    }

    /// A connection is being closed that had something unread: the peer's close frame may be in it, and what comes next may
    /// begin amid a frame.
    pub(super) fn look_through_unread(&mut self, conn: ConnId) {
        if let Some(mut unread) = (self.connections.get_mut(conn)).and_then(|it| it.unread.take()) {
            self.meter.release(unread.len());
            self.await_close(conn, &mut unread);
        }
    }

    /// Restores a message, and handles it. One that is dropped is restored too: those after it may refer to it.
    fn compressed(
        &mut self,
        now: Tick,
        conn: ConnId,
        session: SessionId,
        kind: MessageKind,
        payload: &[u8],
        fate: Fate,
    ) -> Result<(), Stop> {
        let mut inflater = self.codecs.take_inflater();
        let bytes_max = self.limits.message_bytes_max;
        let message = self
            .codecs
            .inflate(&mut inflater, conn.index, kind, payload, bytes_max);
        let result = match message {
            Ok(message) => self
                .message(now, session, kind, Payload::Borrowed(message), fate)
                .map_err(Stop::Refused),
            Err(error) => Err(Stop::Failed(error)),
        };
        self.codecs.restore_inflater(inflater);
        result
    }

    fn message(
        &mut self,
        now: Tick,
        session: SessionId,
        kind: MessageKind,
        payload: Payload<'_>,
        fate: Fate,
    ) -> Result<(), CloseReason> {
        self.stats.messages_in.add(1);
        if fate == Fate::Drop {
            self.stats.messages_over_rate.add(1);
            return Ok(());
        }
        if self.rooms_have_rates && !self.pass_gate(now, session) {
            if self.limits.rate_action == RateAction::Close {
                return Err(CloseReason::RateExceeded);
            }
            self.stats.messages_over_rate.add(1);
            return Ok(());
        }
        let Some(entry) = self.sessions.get(session) else {
            return Ok(());
        };
        let mut dialect = entry.dialect;
        let result = dialect.receive(
            kind,
            payload,
            &mut Handling {
                core: self,
                now,
                session,
            },
        );
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.dialect = dialect;
        }
        result
    }

    /// Queues a message for one session.
    pub(super) fn reply(
        &mut self,
        now: Tick,
        session: SessionId,
        opcode: Opcode,
        payload: Payload<'_>,
    ) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let compressed = match entry.deflates {
            Some(direction) if !opcode.is_control() => {
                self.codecs
                    .deflate(entry.conn.index, direction, Purpose::Reply, &payload)
            }
            _ => None,
        };
        self.replied_bytes += payload.len();
        match payload {
            _ if let Some(compressed) = compressed => {
                entry
                    .outbox
                    .push_compressed(opcode, compressed, &self.meter);
            }
            Payload::Owned(payload) if payload.len() > INLINE_PAYLOAD_BYTES_MAX => {
                entry
                    .outbox
                    .push(Encoded::message(opcode, &Bytes::from(payload), &self.meter));
            }
            payload => entry.outbox.push_copied(opcode, &payload, &self.meter),
        }
        if !opcode.is_control() {
            self.stats.messages_out.add(1);
        }
        if !entry.flush.in_prompt && entry.flush.open && !entry.flush.blocked {
            entry.flush.in_prompt = true;
            self.prompt.push_back(session);
        }
        if entry.outbox.bytes() > self.limits.outbox_soft() {
            self.outbox_above_soft(now, session);
        }
    }

    /// What the next message of a session would have to wait for.
    fn must_pause(&self, session: SessionId) -> Option<Pause> {
        let entry = self.sessions.get(session)?;
        if entry.outbox.bytes() >= self.limits.outbox_soft() {
            return Some(Pause::Outbox);
        }
        if is_awaited(entry) {
            return Some(Pause::Admission);
        }
        self.room_pause(entry.membership?.room)
    }

    /// What the next message to a room would have to wait for.
    #[inline]
    pub(super) fn room_pause(&self, key: RoomKey) -> Option<Pause> {
        let room = self.rooms.get(key)?;
        if room.is_full() {
            return Some(Pause::Room);
        }
        let mask = room.interest.cell().map_or(0, |cell| cell.mask()) & self.outgoing_full;
        ringmain_router::PeerId::in_mask(mask)
            .next()
            .map(Pause::Outgoing)
    }

    /// Stops reading a connection, and keeps what is not parsed.
    fn set_pause(&mut self, conn: ConnId, pause: Pause, unread: &[u8]) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.pause = Some(pause);
            connection.unread = Some(Box::new(unread.to_vec()));
            self.meter.hold(unread.len());
        }
    }

    fn pause(&mut self, conn: ConnId, session: SessionId, pause: Pause, unread: &[u8]) {
        self.set_pause(conn, pause, unread);
        if pause == Pause::Turn {
            self.resumed.push_back(conn);
            return;
        }
        self.stats.publishers_paused.add(1);
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        match pause {
            Pause::Outbox => entry.flush.paused = true,
            Pause::Room => {
                let room = entry
                    .membership
                    .and_then(|membership| self.rooms.get_mut(membership.room));
                if let Some(room) = room {
                    room.paused.push(conn);
                }
            }
            Pause::Outgoing(peer) => self.outgoing[peer.index()].paused.push(conn),
            Pause::Lease => self.wait_for_room(conn, session),
            Pause::Turn | Pause::Rate | Pause::Admission => {}
        }
    }

    /// Lets a connection that waits for this be read again, from the next turn on.
    pub(super) fn unpause(&mut self, conn: ConnId, pause: Pause) {
        if self
            .connections
            .get(conn)
            .is_some_and(|connection| connection.pause == Some(pause))
        {
            self.resumed.push_back(conn);
        }
    }

    /// Goes on with connections that were paused: first their unread bytes, then their socket.
    pub(super) fn resume(&mut self, now: Tick) {
        for _ in 0..TURN_RESUMES_MAX {
            // Who comes next may have compressed messages, and would be paused again at once.
            if self.codecs.input_is_spent() {
                break;
            }
            let Some(conn) = self.resumed.pop_front() else {
                break;
            };
            let Some(connection) = self.connections.get_mut(conn) else {
                continue;
            };
            let Some(pause) = connection.pause.take() else {
                continue;
            };
            if connection.stage == Stage::Publishing {
                self.resume_post(now, conn);
                continue;
            }
            connection.heard(now);
            let (unread, session) = (connection.unread.take(), connection.session);
            let turn = self.turn_at_gate(session, pause);
            if let Some(mut unread) = unread {
                self.meter.release(unread.len());
                self.parse(now, conn, &mut unread);
            }
            if let Some(turn) = turn {
                self.end_turn_at_gate(now, turn);
            }
            if self.is_reading(conn) {
                self.readable.push_back(conn);
            }
        }
    }
}

/// The actions of a dialect while it handles one message.
struct Handling<'a> {
    core: &'a mut ShardCore,
    now: Tick,
    session: SessionId,
}

impl Actions for Handling<'_> {
    fn refuse_publish(&mut self) -> Result<(), CloseReason> {
        match self.core.limits.refused_publish {
            RefusedPublish::Close => Err(CloseReason::PublishRefused),
            RefusedPublish::Drop => {
                self.core.stats.dropped(DropReason::NotPermitted, 1);
                Ok(())
            }
        }
    }

    fn ask(&mut self, token: Payload<'_>) {
        if let Some(entry) = self.core.sessions.get(self.session) {
            self.core.tokens.push_back((entry.conn, token.into_vec()));
        }
    }

    fn refuse_token(&mut self, reason: RefusedToken) {
        self.core.stats.token_refused(reason);
    }

    fn reply(&mut self, opcode: Opcode, payload: Payload<'_>) {
        self.core.reply(self.now, self.session, opcode, payload);
    }

    fn publish(&mut self, kind: PayloadKind, payload: Payload<'_>, to_self: bool) {
        let Some(membership) = self
            .core
            .sessions
            .get(self.session)
            .and_then(|entry| entry.membership)
        else {
            return;
        };
        let me = MemberId {
            shard: self.core.me,
            index: self.session.index,
            generation: self.session.generation,
        };
        let payload = match payload {
            Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Payload::Owned(bytes) => Bytes::from(bytes),
        };
        let exclude = (!to_self).then_some(me);
        self.core.publish(
            self.now,
            membership.room,
            Publication {
                kind,
                payload,
                exclude,
                began: self.core.moment,
            },
        );
    }
}
