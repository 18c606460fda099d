//! The task of one connection.

use std::rc::Rc;

use ringmain_core::{ConnId, Input};
use ringmain_rt::Socket;

use crate::http::{self, Outcome};
use crate::shell::{Reading, Shell};

/// Serves a connection from accept to end. While it is idle, this future and its wait for
/// readability are all that it has in the shell.
pub async fn serve(shell: Rc<Shell>, socket: Rc<Socket>, conn: ConnId) {
    // Boxed, for it is large and soon gone.
    let outcome = Box::pin(http::exchange(&shell, &socket, conn)).await;
    shell.exchanges().end(conn);
    let mut reading = match outcome {
        Outcome::Upgraded { first_bytes } => upgraded(&shell, conn, first_bytes),
        Outcome::Streaming => {
            shell.turn(|core, now| core.handle(now, Input::Upgraded { conn }));
            Reading::Open
        }
        Outcome::Done => {
            shell.turn(|core, now| core.handle(now, Input::HttpDone { conn }));
            Reading::Open
        }
        Outcome::Failed => {
            shell.turn(|core, now| core.handle(now, Input::HttpFailed { conn }));
            Reading::Open
        }
        Outcome::Ended => Reading::Ended,
    };
    while reading != Reading::Ended {
        if reading == Reading::Paused {
            shell.resumed(conn).await;
        } else if socket.readable().await.is_err() {
            break;
        }
        reading = shell.receive(&socket, |bytes| received(&shell, conn, bytes));
        if shell.must_yield() && reading == Reading::Open {
            shell.next_turn().await;
        }
    }
    // The peer may have closed its half alone, and still read what it has asked for.
    while shell.turn(|core, _| core.is_flushing(conn)) {
        shell.next_turn().await;
    }
    shell.ended(conn);
}

/// The 101 is on its way; what came behind the request is the first of the WebSocket.
fn upgraded(shell: &Shell, conn: ConnId, mut first_bytes: Vec<u8>) -> Reading {
    shell.turn(|core, now| core.handle(now, Input::Upgraded { conn }));
    if first_bytes.is_empty() {
        Reading::Open
    } else {
        received(shell, conn, &mut first_bytes)
    }
}

fn received(shell: &Shell, conn: ConnId, bytes: &mut [u8]) -> Reading {
    shell.turn(|core, now| {
        core.handle(now, Input::Received { conn, bytes });
        if core.is_reading(conn) {
            Reading::Open
        } else {
            Reading::Paused
        }
    })
}
