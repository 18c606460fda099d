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
use crate::shell::{Reading, Shell};
use crate::{DESCRIPTORS_RESERVED, TURN_ACCEPTS_MAX};

/// What an attempt to accept has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// Nobody waits.
    Empty,
    /// There may be more.
    More,
    /// Nobody can be accepted until a descriptor is free.
    Stuck,
    /// There is no queue any more.
    Gone,
}

/// Accepts until the drain has shut the listener.
pub async fn accept(shell: Rc<Shell>) {
    let listening = shell.listening();
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
            Err(error) => return failed(&shell, &error),
        };
        if !is_last {
            readable = None;
        }
        match accept_some(&shell) {
            // No turn in between: whoever comes now would be reset.
            Queue::Empty | Queue::Gone if is_last => return shell.stop_listening(),
            Queue::Gone => {
                return failed(&shell, &io::Error::from_raw_os_error(EINVAL));
            }
            Queue::Stuck => shell.descriptor_freed().await,
            Queue::Empty | Queue::More => {}
        }
        shell.next_turn().await;
    }
}

fn failed(shell: &Shell, error: &io::Error) {
    tracing::error!(%error, "the listener has failed: this shard accepts no more connections");
    shell.stop_listening();
}

/// EINVAL: the listener does not listen.
const EINVAL: i32 = 22;

fn accept_some(shell: &Rc<Shell>) -> Queue {
    for _ in 0..TURN_ACCEPTS_MAX {
        if shell.refusals() >= DESCRIPTORS_RESERVED {
            // The reserve is used up: who comes now waits in the system's queue.
            return Queue::Stuck;
        }
        match shell.listening().listener().accept() {
            Ok(fd) => admit(shell, fd),
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

fn admit(shell: &Rc<Shell>, fd: OwnedFd) {
    let Ok(socket) = Socket::new(fd) else { return };
    let socket = Rc::new(socket);
    let admitted = if shell.is_full() {
        Err(Refusal::ConnectionsMax)
    } else {
        shell.turn(|core, now| core.admit(now))
    };
    match admitted {
        Ok(conn) => {
            shell.opened(conn, socket.clone());
            ringmain_rt::spawn(connection::serve(shell.clone(), socket, conn));
        }
        Err(refusal) => {
            shell.tell_refusal(refusal, &socket);
            ringmain_rt::spawn(refuse(shell.clone(), socket, refusal));
        }
    }
}

/// Answers the request with 503 and lets the peer read it: a socket that is closed with unread bytes
/// is reset, and the answer may be lost with it. Who says nothing is shut after a second.
async fn refuse(shell: Rc<Shell>, socket: Rc<Socket>, refusal: Refusal) {
    shell.refuse(socket.clone());
    let text = format!("{refusal}; try again later, or on another node\n");
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    // After its first bytes: some clients take an answer before they have asked for a broken server.
    let mut is_answered = false;
    while socket.readable().await.is_ok() {
        if shell.receive(&socket, |_| Reading::Open) == Reading::Ended {
            break;
        }
        if !std::mem::replace(&mut is_answered, true) {
            let _ = send_now(&Sending {
                fd: socket.fd(),
                slices: &[IoSlice::new(answer.as_bytes())],
            });
            socket.shutdown(Shutdown::Write);
        }
    }
    shell.refusal_done(&socket);
}
