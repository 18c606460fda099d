//! The part of a handshake that has to wait for its turn: up to the answer to the client's hello.

use std::io::IoSlice;
use std::rc::Rc;

use ringmain_core::ConnId;
use ringmain_rt::{Sending, batch::send_now};

use super::TlsSocket;
use crate::journal::Refused;
use crate::shell::{Reading, Shell};
use crate::transport::Transport;

/// What has come of a hello.
pub enum Greeting {
    /// It is answered, or the peer was told why not: what follows is read as everything is.
    Answered,
    /// The peer speaks plain HTTP, and was told.
    PlainHttp,
    /// The socket is at its end.
    Ended,
}

/// What a plain request on the TLS address is answered with.
const PLAIN_HTTP: &str = "this address speaks TLS: use https:// or wss://\n";

/// Reads until the hello is answered.
pub async fn greet(
    shell: &Shell,
    transport: &Rc<Transport>,
    tls: &TlsSocket,
    conn: ConnId,
) -> Greeting {
    while tls.session().awaits_answer() {
        if tls.socket().readable().await.is_err() {
            return Greeting::Ended;
        }
        shell.signing().turn().await;
        // There is nothing to take before the client has confirmed.
        let reading = shell.receive(conn, transport, |_| Reading::Open);
        shell.signed();
        if reading == Reading::Ended {
            return Greeting::Ended;
        }
        if tls.session().is_plain() {
            tell_plain(shell, tls, conn);
            return Greeting::PlainHttp;
        }
    }
    Greeting::Answered
}

fn tell_plain(shell: &Shell, tls: &TlsSocket, conn: ConnId) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{PLAIN_HTTP}",
        PLAIN_HTTP.len()
    );
    // A socket that was just accepted takes as much; who is gone need not know.
    let _ = send_now(&Sending {
        fd: tls.socket().fd(),
        slices: &[IoSlice::new(answer.as_bytes())],
    });
    shell.tell_refused_request(
        conn,
        Refused {
            status: 400,
            path: "",
            why: PLAIN_HTTP,
        },
    );
}
