//! Accepting connections, and refusing them in a way that they can read.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Poll;

use ringmain_core::Refusal;
use ringmain_rt::{Sending, Socket, batch::send_now};

use crate::connection;
use crate::listening::{Door, Listening};
use crate::shell::{Reading, Shell};
use crate::tls::TlsSocket;
use crate::transport::Transport;
use crate::{ACCEPT_RETRY_MS, DESCRIPTORS_RESERVED, TURN_ACCEPTS_MAX};

/// What an attempt to accept has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// Nobody waits.
    Empty,
    /// There may be more.
    More,
    /// Nobody can be accepted until a descriptor is free.
    Stuck,
    /// Nobody may be accepted for so many milliseconds: who comes too fast waits in the system's queue.
    TooFast(u64),
    /// There is no queue any more.
    Gone,
}

/// Accepts by a door, if there is one, until the drain has shut it.
pub async fn accept(shell: Rc<Shell>, door: Door) {
    let Some(listening) = shell.listening(door) else {
        return;
    };
    let listener = listening.listener().clone();
    // Kept over several polls: a wait that is dropped stays in the ring until it completes.
    let mut readable = None;
    loop {
        let is_last = poll_fn(|context| {
            if listening.poll_emptying(context).is_ready() {
                return Poll::Ready(Ok(true));
            }
            let wait = readable.get_or_insert_with(|| Box::pin(listener.readable()));
            wait.as_mut().poll(context).map_ok(|()| false)
        })
        .await;
        let is_last = match is_last {
            Ok(is_last) => is_last,
            Err(error) => return failed(&shell, listening, &error),
        };
        if !is_last {
            readable = None;
        }
        match accept_some(&shell, door, listening, is_last) {
            // No turn in between: whoever comes now would be reset.
            Queue::Empty | Queue::Gone if is_last => return shell.stop_listening(listening),
            Queue::Gone => {
                return failed(&shell, listening, &io::Error::from_raw_os_error(EINVAL));
            }
            Queue::Stuck => shell.may_accept_in(ACCEPT_RETRY_MS).await,
            // The drain may begin meanwhile.
            Queue::TooFast(wait_ms) => shell.may_accept_in(wait_ms.min(ACCEPT_RETRY_MS)).await,
            Queue::Empty | Queue::More => {}
        }
        shell.next_turn().await;
    }
}

fn failed(shell: &Shell, listening: &Listening, error: &io::Error) {
    tracing::error!(%error, "the listener has failed: this shard accepts no more connections");
    shell.stop_listening(listening);
}

/// EINVAL: the listener does not listen.
const EINVAL: i32 = 22;

/// Accepts some; with `is_last`, when the listener's end has come, as fast as they come: who waited longer would be reset.
fn accept_some(shell: &Rc<Shell>, door: Door, listening: &Listening, is_last: bool) -> Queue {
    for _ in 0..TURN_ACCEPTS_MAX {
        if !is_last && let Some(wait_ms) = shell.accept_pace_ms() {
            return Queue::TooFast(wait_ms);
        }
        if shell.refusals() >= DESCRIPTORS_RESERVED {
            // The reserve is used up: who comes now waits in the system's queue.
            return Queue::Stuck;
        }
        match listening.listener().accept() {
            Ok(fd) => {
                shell.count_accepted();
                admit(shell, door, fd);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Queue::Empty,
            Err(error) if is_out_of_descriptors(&error) => {
                tracing::warn!(%error, "accepting pauses until a connection ends");
                return Queue::Stuck;
            }
            Err(error) if error.raw_os_error() == Some(EINVAL) => return Queue::Gone,
            // The peer was gone before it was accepted.
            Err(_) => {}
        }
    }
    Queue::More
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

fn admit(shell: &Rc<Shell>, door: Door, fd: OwnedFd) {
    let Ok(socket) = Socket::new(fd) else { return };
    let Some(transport) = transport(shell, door, socket) else {
        return;
    };
    let transport = Rc::new(transport);
    let admitted = if shell.is_full() {
        Err(Refusal::ConnectionsMax)
    } else if door == Door::Tls && shell.has_all_handshakes() {
        Err(Refusal::TlsHandshakesMax)
    } else {
        shell.turn(|core, now| core.admit(now))
    };
    match admitted {
        Ok(conn) => {
            shell.opened(conn, transport.clone());
            ringmain_rt::spawn(connection::serve(shell.clone(), transport, conn));
        }
        Err(refusal) => {
            shell.tell_refusal(refusal, transport.peer());
            ringmain_rt::spawn(refuse(shell.clone(), transport, refusal));
        }
    }
}

fn transport(shell: &Shell, door: Door, socket: Socket) -> Option<Transport> {
    if door == Door::Plain {
        return Some(Transport::Plain(socket));
    }
    // Without certificates nobody listens there.
    let config = shell.policy().tls.as_ref()?.config();
    match TlsSocket::new(socket, config) {
        Ok(tls) => Some(Transport::Tls(Box::new(tls))),
        Err(error) => {
            tracing::error!(%error, "a connection cannot be given TLS: it is closed");
            None
        }
    }
}

/// Answers the request with 503 and lets the peer read it: a socket that is closed with unread bytes
/// is reset, and the answer may be lost with it. Who says nothing is shut after a second.
async fn refuse(shell: Rc<Shell>, transport: Rc<Transport>, refusal: Refusal) {
    shell.refuse(transport.clone());
    let answer = match &*transport {
        Transport::Plain(_) => answer(refusal).into_bytes(),
        // To say more would take the handshake that there is no room for.
        Transport::Tls(_) => INTERNAL_ERROR.to_vec(),
    };
    let socket = transport.socket();
    // After its first bytes: some clients take an answer before they have asked for a broken server.
    let mut is_answered = false;
    while socket.readable().await.is_ok() {
        if shell.receive_raw(socket, |_| Reading::Open) == Reading::Ended {
            break;
        }
        if !std::mem::replace(&mut is_answered, true) {
            let _ = send_now(&Sending {
                fd: socket.fd(),
                slices: &[IoSlice::new(&answer)],
            });
            socket.shutdown(Shutdown::Write);
        }
    }
    shell.refusal_done(&transport);
}

/// TLS's fatal alert `internal_error` (RFC 8446, sections 5.1 and 6).
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

fn answer(refusal: Refusal) -> String {
    let text = format!("{refusal}; try again later, or on another node\n");
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}
