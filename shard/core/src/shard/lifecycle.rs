//! From upgrade to end.

use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::encode::close_payload;
use ringmain_proto::ws::{CloseCode, CloseFrame, Opcode, Payload, ProtocolError};

use super::{Ending, ShardCore, Verdict};
use crate::ConnId;
use crate::access::{Access, Expiry};
use crate::close::CloseReason;
use crate::connection::{Pause, Stage};
use crate::dialect::{DialectState, Target};
use crate::farewell::Farewell;
use crate::limits::{DENIED_MS, TURN_EVICTIONS_MAX};
use crate::outbox::Outbox;
use crate::session::{FlushState, Session};
use crate::stats::DropReason;
use crate::tick::Tick;

impl ShardCore {
    pub(super) fn upgrade(
        &mut self,
        conn: ConnId,
        target: &Target,
        compression: Option<Agreement>,
        access: Access,
    ) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage != Stage::Http || connection.session.is_some() {
            // It was closed while the request was on its way: who waits for a verdict is told again.
            self.closes.push_back((conn, Ending::Shutdown));
            return;
        }
        connection.stage = Stage::Joining;
        connection.expiry = match access {
            Access::Granted(pass) => pass.expiry,
            Access::Awaited { wait_ms } => Expiry::at(self.now.plus(wait_ms)),
        };
        connection.inflates = compression.map(|agreement| agreement.client);
        if let Some(agreement) = &compression {
            self.codecs.open(conn.index, agreement);
        }
        let session = self.sessions.insert(Session {
            conn,
            dialect: DialectState::of(target, access),
            deflates: compression.map(|agreement| agreement.server),
            membership: None,
            outbox: Outbox::default(),
            slow_since: None,
            flush: FlushState::default(),
        });
        connection.session = Some(session);
        self.event_streams += usize::from(matches!(target, Target::Events { .. }));
        match target {
            // It joins once its token is taken.
            _ if matches!(access, Access::Awaited { .. }) => self.grant(conn, Verdict::Granted),
            Target::Echo => self.grant(conn, Verdict::Granted),
            Target::Raw { room, .. } | Target::Events { room } => self.join(session, room),
        }
    }

    pub(super) fn upgraded(&mut self, now: Tick, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage != Stage::Granted {
            return;
        }
        connection.stage = Stage::Open;
        connection.opened = now;
        connection.heard(now);
        let (http_is_sent, finishing) = (connection.http.is_none(), connection.finishing);
        if let Some(session) = connection.session
            && let Some(entry) = self.sessions.get(session)
            && matches!(entry.dialect, DialectState::Events(_))
        {
            connection.stage = Stage::Streaming;
            self.begin_stream(conn, session);
        }
        self.schedule(now, conn);
        if http_is_sent {
            self.open_outbox(conn);
        }
        if finishing {
            self.close_drained(now, conn);
        }
    }

    pub(super) fn http_done(&mut self, now: Tick, conn: ConnId, reason: CloseReason) {
        self.begin_closing(now, conn, reason, false, true);
        if let Some(connection) = self.connections.get(conn)
            && connection.limited.as_ref().is_some_and(|it| it.is_denied)
        {
            self.wheel.set(conn.index, now.plus(DENIED_MS));
        }
        if self
            .connections
            .get(conn)
            .is_some_and(|connection| connection.http.is_none())
        {
            self.flushed(conn);
        }
    }

    /// Closes a connection for a reason of ours, after what is queued if the reason leaves time for it.
    pub(super) fn close(&mut self, now: Tick, conn: ConnId, reason: CloseReason, text: &str) {
        self.close_saying(now, conn, reason, (reason.entry().code, text));
    }

    /// The same with a code for the close frame.
    pub(super) fn close_saying(
        &mut self,
        now: Tick,
        conn: ConnId,
        reason: CloseReason,
        (code, text): (Option<u16>, &str),
    ) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        if connection.is_ending() {
            return;
        }
        if connection.stage == Stage::Streaming
            && let Some(session) = connection.session
        {
            return self.close_stream(now, conn, session, reason);
        }
        if connection.stage == Stage::Http && connection.http.is_some() {
            // A response is on its way, and shall be read.
            return self.begin_closing(now, conn, reason, false, true);
        }
        let code = code.and_then(CloseCode::new);
        let (Stage::Open, Some(code), Some(session)) = (connection.stage, code, connection.session)
        else {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.reason = Some(reason);
            }
            self.end(conn);
            return self.farewells.explain(conn, text);
        };
        let deaf = matches!(
            reason,
            CloseReason::ProtocolError
                | CloseReason::InvalidText
                | CloseReason::MessageTooBig
                | CloseReason::InvalidCompression
                | CloseReason::RateExceeded
        );
        self.begin_closing(now, conn, reason, false, deaf);
        self.farewells.explain(conn, text);
        self.reply(
            now,
            session,
            Opcode::Close,
            Payload::Owned(close_payload(code, text)),
        );
        self.look_through_unread(conn);
    }

    pub(super) fn protocol_error(&mut self, now: Tick, conn: ConnId, error: &ProtocolError) {
        let reason = match error.close_code() {
            _ if *error == ProtocolError::CompressionInvalid => CloseReason::InvalidCompression,
            CloseCode::INVALID_DATA => CloseReason::InvalidText,
            CloseCode::MESSAGE_TOO_BIG => CloseReason::MessageTooBig,
            _ => CloseReason::ProtocolError,
        };
        self.close(now, conn, reason, &error.to_string());
    }

    /// The peer has sent its close frame: answer it (RFC 6455, section 5.5.1), then end.
    pub(super) fn peer_closed(&mut self, now: Tick, conn: ConnId, frame: Option<CloseFrame>) {
        let Some(session) = self
            .connections
            .get(conn)
            .and_then(|connection| connection.session)
        else {
            return;
        };
        self.begin_closing(now, conn, CloseReason::PeerClosed, true, false);
        let payload = frame.map_or_else(Vec::new, |frame| close_payload(frame.code, ""));
        self.reply(now, session, Opcode::Close, Payload::Owned(payload));
    }

    /// The peer has answered our close frame.
    pub(super) fn close_answered(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let Stage::Closing { peer_closed, .. } = &mut connection.stage else {
            return;
        };
        *peer_closed = true;
        let session = connection
            .session
            .and_then(|session| self.sessions.get(session));
        if session.is_none_or(|entry| entry.outbox.is_empty()) {
            self.end(conn);
        }
    }

    /// A consumer that does not keep up: what it has not begun to receive is dropped and counted.
    pub(super) fn close_slow(&mut self, now: Tick, conn: ConnId) {
        self.close_dropping(
            now,
            conn,
            CloseReason::SlowConsumer,
            DropReason::SlowConsumer,
        );
    }

    fn close_dropping(&mut self, now: Tick, conn: ConnId, reason: CloseReason, drop: DropReason) {
        let Some(session) = self
            .connections
            .get(conn)
            .and_then(|connection| connection.session)
        else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let dropped = entry.outbox.drop_unsent();
        self.stats.dropped(drop, dropped);
        self.close(now, conn, reason, reason.entry().text);
    }

    pub(super) fn begin_closing(
        &mut self,
        now: Tick,
        conn: ConnId,
        reason: CloseReason,
        peer_closed: bool,
        deaf: bool,
    ) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.is_ending() {
            return;
        }
        connection.stage = Stage::Closing {
            peer_closed,
            deaf,
            half_closed: false,
        };
        connection.reason.get_or_insert(reason);
        let session = connection.session;
        self.note_farewell(conn);
        self.forget_post(conn);
        self.forget_admission(now, conn);
        if deaf {
            self.drop_unread(conn);
        }
        self.read_on(conn);
        self.wheel
            .set(conn.index, now.plus(self.limits.close_handshake_ms));
        if let Some(session) = session {
            self.leave(session);
            if let Some(entry) = self.sessions.get_mut(session) {
                entry.flush.closing = true;
            }
        }
    }

    /// Lets the socket of a paused connection be read: to see it end.
    fn read_on(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let pause = connection.pause.take();
        if pause.is_some() {
            self.readable.push_back(conn);
        }
        if pause == Some(Pause::Lease)
            && let Some(session) = connection.session
        {
            self.leave_gate(session);
        }
    }

    /// All is sent on a connection that is being closed.
    pub(super) fn flushed(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        match &mut connection.stage {
            Stage::Closing {
                peer_closed: true, ..
            } => self.end(conn),
            // Closing the socket with unread bytes would reset it, and the peer might never see why.
            Stage::Closing {
                deaf: true,
                half_closed,
                ..
            } if !*half_closed => {
                *half_closed = true;
                self.closes.push_back((conn, Ending::HalfClose));
            }
            _ => {}
        }
    }

    /// Shuts the socket; the connection lives until the shell says that it has ended.
    pub(super) fn end(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage == Stage::Ending {
            return;
        }
        let is_first = !connection.is_ending();
        connection.stage = Stage::Ending;
        let session = connection.session;
        if is_first {
            self.note_farewell(conn);
        }
        self.forget_post(conn);
        self.drop_unread(conn);
        self.read_on(conn);
        self.wheel.cancel(conn.index);
        if let Some(session) = session {
            self.leave(session);
        }
        self.closes.push_back((conn, Ending::Shutdown));
    }

    pub(super) fn ended(&mut self, conn: ConnId) {
        self.forget_post(conn);
        self.drop_unread(conn);
        self.read_on(conn);
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        let session = connection.session;
        if !connection.is_ending() {
            self.note_farewell(conn);
        }
        if let Some(session) = session {
            self.leave(session);
            if let Some(entry) = self.sessions.remove(session) {
                let is_stream = matches!(entry.dialect, DialectState::Events(_));
                self.event_streams -= usize::from(is_stream);
                self.stats
                    .dropped(DropReason::PeerGone, entry.outbox.messages());
            }
        }
        let Some(mut connection) = self.connections.remove(conn) else {
            return;
        };
        if connection.limited.is_some() {
            self.discount(self.now, &mut connection, conn);
        }
        self.wheel.cancel(conn.index);
        self.codecs.close(conn.index);
        self.let_transport_go(conn);
        self.meter.release(connection.parser.held_bytes());
        self.stats
            .closed(connection.reason.unwrap_or(CloseReason::PeerGone));
        self.stats.connections.set(self.connections.len() as u64);
    }

    /// Notes for the log that a connection begins to end, while its room is still known.
    fn note_farewell(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get(conn) else {
            return;
        };
        let reason = connection.reason.unwrap_or(CloseReason::PeerGone);
        let (now, sessions, rooms) = (self.now, &self.sessions, &self.rooms);
        self.farewells.note(now, reason, &self.stats, || {
            let session = connection.session.and_then(|key| sessions.get(key));
            let membership = session.and_then(|session| session.membership);
            let room = membership.and_then(|membership| rooms.get(membership.room));
            Farewell {
                conn,
                reason,
                detail: String::new(),
                room: room.map(|room| room.name.clone()),
                open_s: (now.0 / 1_000).saturating_sub(connection.accepted_s.into()),
            }
        });
    }

    /// Closes the largest holders when the shard's memory is used up.
    pub(super) fn evict(&mut self, now: Tick, lane_bytes: usize) {
        if self.meter.bytes() + lane_bytes <= self.limits.memory_bytes_max {
            return;
        }
        let open = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.is_ending());
        let mut held: Vec<_> = open
            .map(|(conn, connection)| (self.held_by(conn, connection), conn))
            .collect();
        let most = TURN_EVICTIONS_MAX.min(held.len());
        if most == 0 {
            return;
        }
        held.select_nth_unstable_by_key(most - 1, |&(bytes, _)| std::cmp::Reverse(bytes));
        held.truncate(most);
        held.sort_unstable_by_key(|&(bytes, _)| std::cmp::Reverse(bytes));
        for (bytes, conn) in held {
            if bytes == 0 || self.meter.bytes() + lane_bytes <= self.limits.memory_bytes_max {
                break;
            }
            self.let_transport_go(conn);
            if let Some(connection) = self.connections.get_mut(conn)
                && connection.session.is_none()
            {
                connection.reason = Some(CloseReason::MemoryFull);
                self.end(conn);
                continue;
            }
            self.close_dropping(now, conn, CloseReason::MemoryFull, DropReason::MemoryFull);
            // An unfinished message is let go at once; the peer's rest of it is not parsed any more.
            if let Some(connection) = self.connections.get_mut(conn) {
                self.meter.release(connection.parser.held_bytes());
                connection.parser = Default::default();
                if let Stage::Closing { deaf, .. } = &mut connection.stage {
                    *deaf = true;
                }
            }
        }
    }
}
