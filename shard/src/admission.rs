//! Who is let in: whose a connection is, whether that one has too many or is blocked, and what a refused one is told.
//!
//! A connection whose address is known when it is accepted is counted before TLS and HTTP. Behind a proxy it is known once
//! the proxy has said it: at the beginning of the connection (PROXY protocol), or in each request (`X-Forwarded-For`).

use std::io::{ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use http::{HeaderMap, Request, StatusCode};
use ringmain_core::forwarded::client_address;
use ringmain_core::{ConnId, Input, Refusal, Verdict};
use ringmain_proto::proxy::{self, ProxyError, ProxyHeader};
use ringmain_router::Subject;
use ringmain_rt::{Sending, Socket, batch::send_now};

use crate::gate::Admitted;
use crate::http::routes::Asked;
use crate::http::{Outcome, Plain};
use crate::journal::Refused;
use crate::shell::{Reading, Shell};
use crate::transport::Transport;

/// What a proxy that trusts us says of a connection.
enum Announced {
    From(SocketAddr),
    Nothing,
    Wrong(ProxyError),
    Ended,
}

/// Lets a connection that was just accepted in, or answers it; then it is at its end.
pub async fn admit(shell: &Shell, transport: &Rc<Transport>, conn: ConnId) -> Option<Outcome> {
    let policy = shell.policy();
    let counts = policy.limits.counts_addresses();
    if !counts && !policy.proxy_protocol {
        return None;
    }
    // The drain may come while it waits.
    shell.exchanges().begin(conn);
    let mut address = transport.peer()?.ip();
    if policy.trusted_proxies.contains(address) {
        if policy.proxy_protocol {
            match announced(shell, transport.socket()).await {
                Announced::From(client) => {
                    shell.note_client(conn, client);
                    address = client.ip();
                }
                Announced::Nothing => {}
                Announced::Wrong(error) => {
                    refuse_proxy(shell, transport, conn, error);
                    return Some(Outcome::Done);
                }
                Announced::Ended => return Some(Outcome::Ended),
            }
        }
        if policy.trusted_proxies.contains(address) {
            // Of whom it is a request will say, or nobody will: then it is not counted.
            return None;
        }
    }
    if !counts {
        return None;
    }
    match counted(shell, conn, Subject::Address(address)).await {
        Ok(()) => None,
        Err(None) => Some(Outcome::Ended),
        Err(Some((refusal, retry_s))) => {
            shell.tell_refusal(refusal, shell.peer(conn));
            Some(refuse(shell, transport, conn, refusal, retry_s).await)
        }
    }
}

/// Counts a request that makes its connection a client's: for the address that a trusted proxy names, or its own if it is not
/// counted yet; and for its user.
///
/// # Errors
/// The answer that says why it is refused.
pub async fn count<B>(
    shell: &Shell,
    conn: ConnId,
    request: &Request<B>,
    asked: &Asked,
    admitted: &Admitted,
) -> Result<(), Plain> {
    if !matches!(asked, Asked::Upgrade(..) | Asked::Events(_)) {
        return Ok(());
    }
    let limits = &shell.policy().limits;
    if limits.counts_addresses()
        && let Some(address) = client(shell, conn, request.headers())
    {
        ask(shell, conn, Subject::Address(address)).await?;
    }
    let user = admitted.user.as_deref();
    if let Some(user) = user {
        // An order to close all of the user's is for this one too, while it waits.
        shell.owned(conn, user);
        if limits.counts_users() {
            ask(shell, conn, Subject::User(user)).await?;
        }
    }
    shell.tell_admitted(conn, user);
    Ok(())
}

/// Whose address a message counts for that a request publishes, if such are rated or blocked.
pub fn publisher(shell: &Shell, conn: ConnId, headers: &HeaderMap) -> Option<IpAddr> {
    shell.policy().limits.address_gate()?;
    client(shell, conn, headers)
}

/// The address that a request comes from, as far as it is known.
fn client(shell: &Shell, conn: ConnId, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = shell.peer(conn)?.ip();
    let values = headers.get_all("x-forwarded-for").iter();
    client_address(
        peer,
        &shell.policy().trusted_proxies,
        values.map(|it| it.as_bytes()),
    )
}

async fn ask(shell: &Shell, conn: ConnId, subject: Subject<'_>) -> Result<(), Plain> {
    let (refusal, retry_s) = match counted(shell, conn, subject).await {
        Ok(()) => return Ok(()),
        Err(refused) => refused.unwrap_or((Refusal::Uncounted, 1)),
    };
    shell.stats().refusals[refusal as usize].add(1);
    let close = &[("connection", "close")];
    Err(Plain::new(status(refusal), text(refusal, retry_s))
        .with(close)
        .retry_after(retry_s))
}

/// Counts a connection for a subject. `Err(None)` if it is closed instead.
async fn counted(
    shell: &Shell,
    conn: ConnId,
    subject: Subject<'_>,
) -> Result<(), Option<(Refusal, u32)>> {
    shell.turn(|core, now| core.handle(now, Input::Count { conn, subject }));
    match shell.verdict(conn).await {
        Some(Verdict::Refused { refusal, retry_s }) => Err(Some((refusal, retry_s))),
        Some(_) => Ok(()),
        None => Err(None),
    }
}

fn status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::AddressConnections
        | Refusal::UserConnections
        | Refusal::UserConnectionsInCluster
        | Refusal::Blocked => StatusCode::TOO_MANY_REQUESTS,
        Refusal::MemoryFull
        | Refusal::ConnectionsMax
        | Refusal::TlsHandshakesMax
        | Refusal::Uncounted => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn text(refusal: Refusal, retry_s: u32) -> String {
    format!("{refusal}; try again in {retry_s} s\n")
}

/// Answers with plain HTTP: after the first bytes, since some clients take an answer before they have asked for a broken
/// server. Whoever says nothing is shut after a while.
async fn refuse(
    shell: &Shell,
    transport: &Transport,
    conn: ConnId,
    refusal: Refusal,
    retry_s: u32,
) -> Outcome {
    let socket = transport.socket();
    if socket.readable().await.is_err()
        || shell.receive_raw(socket, |_| Reading::Open) == Reading::Ended
    {
        return Outcome::Ended;
    }
    let text = text(refusal, retry_s);
    respond(shell, transport, conn, status(refusal), &text, retry_s);
    Outcome::Done
}

fn refuse_proxy(shell: &Shell, transport: &Transport, conn: ConnId, error: ProxyError) {
    let why = format!("{error}\n");
    let refused = Refused {
        status: StatusCode::BAD_REQUEST.as_u16(),
        path: "",
        why: &why,
    };
    shell.stats().proxy_headers_refused.add(1);
    shell.tell_refused_request(conn, refused);
    respond(shell, transport, conn, StatusCode::BAD_REQUEST, &why, 0);
}

/// TLS's fatal alert `access_denied` (RFC 8446, section 6): to say more would take the handshake that is refused.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

fn respond(
    shell: &Shell,
    transport: &Transport,
    conn: ConnId,
    status: StatusCode,
    text: &str,
    retry_s: u32,
) {
    if transport.tls().is_some() {
        // A socket that was just accepted takes as much; who is gone need not know.
        let _ = send_now(&Sending {
            fd: transport.fd(),
            slices: &[IoSlice::new(&ACCESS_DENIED)],
        });
        return;
    }
    let retry = match retry_s {
        0 => String::new(),
        seconds => format!("retry-after: {seconds}\r\n"),
    };
    let answer = format!(
        "HTTP/1.1 {} {}\r\n{retry}connection: close\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{text}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        text.len()
    );
    let bytes = answer.into();
    shell.turn(|core, now| core.handle(now, Input::Respond { conn, bytes }));
}

/// Reads what a proxy says first, and not a byte more.
async fn announced(shell: &Shell, socket: &Socket) -> Announced {
    let mut header = Vec::new();
    loop {
        let more = match proxy::needed(&header) {
            Ok(0) => break,
            Ok(more) => more,
            Err(error) => return Announced::Wrong(error),
        };
        if socket.readable().await.is_err() {
            return Announced::Ended;
        }
        let begun = header.len();
        header.resize(begun + more, 0);
        match socket.receive(&mut header[begun..]) {
            Ok(0) => return Announced::Ended,
            Ok(bytes) => header.truncate(begun + bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => header.truncate(begun),
            Err(_) => return Announced::Ended,
        }
        if shell.must_yield() {
            shell.next_turn().await;
        }
    }
    match proxy::parse(&header) {
        Ok(Some((ProxyHeader::From(client), _))) => Announced::From(client),
        Ok(_) => Announced::Nothing,
        Err(error) => Announced::Wrong(error),
    }
}
