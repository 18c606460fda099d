//! The shell's side of TLS: what it receives is opened, what it sends is sealed.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::rc::Rc;

use ringmain_core::{ConnId, Input, TlsHandshake, Write, WriteOutcome};
use ringmain_rt::Sending;
use rustls::HandshakeKind;

use super::{Reading, SHELL, Shell};
use crate::sockets::Sockets;
use crate::tls::{Opened, SEALED_BYTES_MAX, Sealed, Session, SigningQueue, TlsSocket, is_busy};
use crate::transport::Transport;

/// What the TLS connections of a shard share.
#[derive(Default)]
pub struct TlsSide {
    queue: SigningQueue,
    /// What was received, decrypted.
    opened: RefCell<Vec<u8>>,
    /// What is to be sent, side by side, and encrypted.
    sealing: RefCell<(Vec<u8>, Sealed)>,
    /// Connections whose transport keeps another amount than the core was told.
    changed: RefCell<Vec<(ConnId, Rc<Transport>)>>,
}

/// What a write has become.
enum Offer {
    /// It goes as it is.
    Plain,
    /// So much of it, encrypted.
    Sealed(usize, Range<usize>),
    /// It has to wait until what was kept is sent.
    Behind,
    /// It has to wait for the next flush.
    Later,
    /// It cannot be sent.
    Gone,
}

impl Shell {
    /// Whose hello is answered next.
    pub fn signing(&self) -> &SigningQueue {
        &self.tls.queue
    }

    /// A hello was answered, or not.
    pub fn signed(&self) {
        // Who comes next waits for a turn to begin, and what comes from it is no reason for one.
        if self.tls.queue.done() || !self.tls.queue.is_open() {
            self.turns.request();
        }
    }

    /// Counts a TLS connection that is accepted.
    pub fn tls_opened(&self, tls: &TlsSocket) {
        tls.session().is_counted = true;
        self.stats.tls_connections.add(1);
        self.stats.tls_handshaking.add(1);
    }

    /// Counts a TLS connection that is at its end.
    pub(super) fn tls_ended(&self, tls: &TlsSocket) {
        self.handshake_over(&mut tls.session(), TlsHandshake::Unfinished);
        tls.say_farewell();
        let stats = &self.stats.tls_connections;
        stats.set(stats.get().saturating_sub(1));
    }

    /// A handshake has come to this end, unless it had come to another before.
    fn handshake_over(&self, session: &mut Session, how: TlsHandshake) {
        if !std::mem::take(&mut session.is_counted) {
            return;
        }
        self.stats.tls_handshakes[how as usize].add(1);
        let under_way = &self.stats.tls_handshaking;
        under_way.set(under_way.get().saturating_sub(1));
    }

    /// Whether as many handshakes are under way in the node as may.
    pub fn has_all_handshakes(&self) -> bool {
        let all = self.node_stats.iter();
        let under_way: u64 = all.map(|stats| stats.tls_handshaking.get()).sum();
        under_way >= self.policy.borrow().tls_handshakes_max as u64
    }

    /// Reads what is there, and hands what it says to `take`.
    pub(super) fn receive_tls(
        &self,
        conn: ConnId,
        transport: &Rc<Transport>,
        tls: &TlsSocket,
        take: impl FnOnce(&mut [u8]) -> Reading,
    ) -> Reading {
        let mut session = tls.session();
        if session.is_peer_closed() {
            return Reading::Ended;
        }
        let mut buffer = self.received.borrow_mut();
        let kept = session.kept().len();
        buffer[..kept].copy_from_slice(session.kept());
        let bytes = match tls.socket().receive(&mut buffer[kept..]) {
            Ok(0) => return Reading::Ended,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Reading::Open,
            Err(_) => return Reading::Ended,
        };
        let opened = &mut *self.tls.opened.borrow_mut();
        opened.clear();
        let result = session.open(&mut buffer[..kept + bytes], opened);
        drop(buffer);
        let how = match &result {
            Ok(Opened::Established(HandshakeKind::Resumed)) => Some(TlsHandshake::Resumed),
            Ok(Opened::Established(_)) => Some(TlsHandshake::Full),
            Ok(Opened::PlainHttp) => Some(TlsHandshake::PlainHttp),
            Ok(_) => None,
            Err(_) => Some(TlsHandshake::Failed),
        };
        if let Some(how) = how {
            self.handshake_over(&mut session, how);
        }
        let is_closed = session.is_peer_closed();
        let has_leaving = !session.leaving().is_empty();
        drop(session);
        if has_leaving {
            self.send_kept(conn, transport, tls);
        }
        self.note_held(conn, transport, &mut tls.session());
        let mut reading = Reading::Open;
        if !opened.is_empty() {
            reading = take(opened);
        }
        if let Err(error) = result {
            let why = error.to_string();
            self.turn(|core, now| core.handle(now, Input::TlsFailed { conn, why }));
        }
        match reading {
            Reading::Open if is_closed => Reading::Ended,
            // Unless the connection is not read at present: then the end is found when it is.
            reading => reading,
        }
    }

    /// Sends what a connection keeps; what the socket does not take, when it does.
    fn send_kept(&self, conn: ConnId, transport: &Rc<Transport>, tls: &TlsSocket) {
        if !tls.session().is_awaited && matches!(tls.send_kept(), Ok(false)) {
            await_leaving(conn, transport, &mut tls.session());
        }
    }

    /// Notes that the core is to be told how much a transport keeps, if that has changed.
    fn note_held(&self, conn: ConnId, transport: &Rc<Transport>, session: &mut Session) {
        let held = session.held_bytes();
        if held != std::mem::replace(&mut session.told_bytes, held) {
            self.tls
                .changed
                .borrow_mut()
                .push((conn, transport.clone()));
            self.turns.request();
        }
    }

    /// Tells the core how much transports keep.
    pub(super) fn tell_held(&self, mut tell: impl FnMut(Input<'_>)) {
        for (conn, transport) in self.tls.changed.take() {
            if let Some(tls) = transport.tls() {
                let bytes = tls.session().told_bytes;
                tell(Input::TransportHolds { conn, bytes });
            }
        }
    }

    /// Makes writes of which some are to be encrypted.
    pub(super) fn send_sealed(
        &self,
        sockets: &Sockets,
        writes: &[Write<'_>],
        outcomes: &mut Vec<WriteOutcome>,
    ) {
        let (plain, sealed) = &mut *self.tls.sealing.borrow_mut();
        sealed.clear();
        let offers: Vec<Offer> = writes
            .iter()
            .map(|write| match sockets.get(write.conn) {
                Some(transport) => match transport.tls() {
                    Some(tls) => offer(&mut tls.session(), write, plain, sealed),
                    None => Offer::Plain,
                },
                None => Offer::Gone,
            })
            .collect();
        let slices: Vec<IoSlice<'_>> = offers
            .iter()
            .map(|offer| match offer {
                Offer::Sealed(_, range) => IoSlice::new(sealed.get(range.clone())),
                _ => IoSlice::new(&[]),
            })
            .collect();
        let sendings: Vec<Sending<'_>> = writes
            .iter()
            .zip(&offers)
            .zip(slices.chunks(1))
            .filter_map(|((write, offer), sealed)| {
                let slices = match offer {
                    Offer::Plain => write.slices,
                    Offer::Sealed(..) => sealed,
                    _ => return None,
                };
                let fd = sockets.fd(write.conn);
                Some(Sending { fd, slices })
            })
            .collect();
        let mut results = Vec::with_capacity(sendings.len());
        self.sender.borrow_mut().send(&sendings, &mut results);
        let mut results = results.into_iter();
        for (write, offer) in writes.iter().zip(offers) {
            let outcome = match offer {
                Offer::Behind => WriteOutcome::Kept(0),
                Offer::Later => WriteOutcome::Took(0),
                Offer::Gone => WriteOutcome::Gone,
                Offer::Plain => {
                    let result = results.next().unwrap_or(Ok(0));
                    self.wrote(sockets, write, result)
                }
                Offer::Sealed(bytes, range) => {
                    let result = results.next().unwrap_or(Ok(0));
                    self.wrote_sealed(sockets, write, bytes, sealed.get(range), result)
                }
            };
            outcomes.push(outcome);
        }
    }

    fn wrote_sealed(
        &self,
        sockets: &Sockets,
        write: &Write<'_>,
        bytes: usize,
        sealed: &[u8],
        result: io::Result<usize>,
    ) -> WriteOutcome {
        let taken = match result {
            Ok(taken) => taken,
            Err(error) if is_busy(&error) => 0,
            Err(_) => return WriteOutcome::Gone,
        };
        if taken == sealed.len() {
            return match bytes == write.bytes() {
                true => WriteOutcome::Wrote(bytes),
                false => WriteOutcome::Took(bytes),
            };
        }
        let Some(transport) = sockets.get(write.conn) else {
            return WriteOutcome::Gone;
        };
        if let Some(tls) = transport.tls() {
            let mut session = tls.session();
            session.keep_leaving(&sealed[taken..]);
            await_leaving(write.conn, transport, &mut session);
            self.note_held(write.conn, transport, &mut session);
        }
        WriteOutcome::Kept(bytes)
    }
}

fn offer(
    session: &mut Session,
    write: &Write<'_>,
    plain: &mut Vec<u8>,
    sealed: &mut Sealed,
) -> Offer {
    if !session.leaving().is_empty() {
        return Offer::Behind;
    }
    let begin = sealed.len();
    if begin >= SEALED_BYTES_MAX {
        return Offer::Later;
    }
    match session.seal(write.slices, plain, sealed) {
        Some(bytes) => Offer::Sealed(bytes, begin..sealed.len()),
        None => Offer::Gone,
    }
}

/// Sends what a connection keeps as its socket takes it, and then lets the core go on.
fn await_leaving(conn: ConnId, transport: &Rc<Transport>, session: &mut Session) {
    if std::mem::replace(&mut session.is_awaited, true) {
        return;
    }
    let shell = SHELL.with(|shell| shell.borrow().clone());
    let transport = transport.clone();
    ringmain_rt::spawn(async move {
        let Some(tls) = transport.tls() else { return };
        // A failed socket is writable too, and takes nothing.
        while tls.socket().writable().await.is_ok() && matches!(tls.send_kept(), Ok(false)) {}
        tls.session().is_awaited = false;
        if let Some(shell) = shell {
            shell.note_held(conn, &transport, &mut tls.session());
            shell.turn(|core, now| core.handle(now, Input::Writable { conn }));
        }
    });
}
