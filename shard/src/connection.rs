//! The task of one connection.

use std::rc::Rc;

use ringmain_core::{ConnId, Input};

use crate::admission;
use crate::http::{self, Outcome};
use crate::shell::{Reading, Shell};
use crate::tls::{self, Greeting};
use crate::transport::Transport;

/// Serves a connection from accept to end. While it is idle, this future and its wait for
/// readability are all that it has in the shell.
#[expect(
    clippy::manual_async_fn,
    reason = "an async function keeps its arguments twice, in every idle connection"
)]
pub fn serve(shell: Rc<Shell>, transport: Rc<Transport>, conn: ConnId) -> impl Future<Output = ()> {
    async move {
        // Boxed, for it is large and soon gone.
        let mut reading = Box::pin(begin(&shell, &transport, conn)).await;
        while reading != Reading::Ended {
            if reading == Reading::Paused {
                shell.resumed(conn).await;
            } else if transport.socket().readable().await.is_err() {
                break;
            }
            reading = shell.receive(conn, &transport, |bytes| received(&shell, conn, bytes));
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
}

/// The HTTP that a connection begins with, until it is a WebSocket or an event stream, or at its end.
async fn begin(shell: &Rc<Shell>, transport: &Rc<Transport>, conn: ConnId) -> Reading {
    let outcome = exchange(shell, transport, conn).await;
    shell.exchanges().end(conn);
    let input = match outcome {
        Outcome::Upgraded { first_bytes } => return upgraded(shell, conn, first_bytes),
        Outcome::Streaming => Input::Upgraded { conn },
        Outcome::Done => Input::HttpDone { conn },
        Outcome::Failed => Input::HttpFailed { conn },
        Outcome::Ended => return Reading::Ended,
    };
    shell.turn(|core, now| core.handle(now, input));
    Reading::Open
}

/// All that comes before the connection is what it was opened for.
async fn exchange(shell: &Rc<Shell>, transport: &Rc<Transport>, conn: ConnId) -> Outcome {
    if let Some(outcome) = admission::admit(shell, transport, conn).await {
        return outcome;
    }
    if let Some(tls) = transport.tls() {
        // A drain may ask for the end before there is HTTP.
        shell.exchanges().begin(conn);
        // In a box of its own, so that connections without TLS have no larger one meanwhile.
        match Box::pin(tls::greet(shell, transport, tls, conn)).await {
            Greeting::Answered => {}
            Greeting::PlainHttp => return Outcome::Failed,
            Greeting::Ended => return Outcome::Ended,
        }
    }
    http::exchange(shell, transport, conn).await
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
