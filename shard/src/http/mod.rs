//! HTTP until the upgrade, the event stream or the end of the connection: hyper, fed from memory.
//!
//! hyper reads from and writes to a [`Pipe`]; the bytes between pipe and socket are moved here. So no
//! socket operation of hyper's is in flight when it answers 101, and the client's first frame cannot
//! vanish into one.

mod checks;
mod compression;
mod cors;
pub mod credentials;
mod events;
mod finish;
mod pipe;
mod publish;
pub mod routes;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use ringmain_core::{Access, ConnId, Input, Target, Verdict};
use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::handshake::Accept;

use crate::admission;
use crate::journal::Refused;
use crate::shell::{Reading, Shell};
use crate::transport::Transport;
pub use finish::Exchanges;
use finish::Finish;
use pipe::Pipe;
use routes::Asked;
pub use routes::Plain;

/// What came of a connection's HTTP.
pub enum Outcome {
    /// The 101 is handed over; these bytes came behind the request.
    Upgraded {
        /// The first bytes of the WebSocket.
        first_bytes: Vec<u8>,
    },
    /// The head of an event stream's response is handed over.
    Streaming,
    /// The last response is handed over.
    Done,
    /// What came in is no HTTP. There may be a response that says so.
    Failed,
    /// The socket is at its end.
    Ended,
}

/// A response that hyper writes.
type Answer = Response<Full<Bytes>>;

/// What hyper's service and the connection's task tell each other.
struct Exchange {
    finish: Rc<Finish>,
    /// A join that the task is to wait for.
    join: RefCell<Option<Join>>,
    /// What compression the upgrade that was asked for has got.
    compression: Cell<Option<Agreement>>,
    verdict: Cell<Option<Verdict>>,
    upgraded: Cell<bool>,
    /// A request is being served.
    is_serving: Cell<bool>,
    /// The last request is answered, and nothing of another has come in.
    is_idle: Cell<bool>,
}

/// A request to be a member.
struct Join {
    target: Target,
    /// The compression that the handshake agreed on.
    compression: Option<Agreement>,
    /// What it may do.
    access: Access,
    /// The head of an event stream's response, to be sent when it is granted.
    stream_head: Option<Bytes>,
}

/// What the exchange goes on with.
enum Step {
    /// hyper is done; or it could not read what came.
    Finished(Result<(), hyper::Error>),
    /// hyper has written, or asks for an upgrade.
    Outward,
    /// The socket has something to read.
    Readable,
}

/// Serves requests until one upgrades the connection or makes it an event stream, or the last is answered.
pub async fn exchange(shell: &Rc<Shell>, transport: &Rc<Transport>, conn: ConnId) -> Outcome {
    let pipe = Pipe::default();
    let exchange = Rc::new(Exchange {
        finish: shell.exchanges().begin(conn),
        join: RefCell::default(),
        compression: Cell::default(),
        verdict: Cell::default(),
        upgraded: Cell::default(),
        is_serving: Cell::default(),
        is_idle: Cell::default(),
    });
    let head_bytes_max = shell.policy().limits.request_head_bytes_max;
    let routes = Routes {
        exchange: exchange.clone(),
        shell: shell.clone(),
        conn,
    };
    let mut server = http1::Builder::new()
        .max_buf_size(head_bytes_max)
        .header_read_timeout(None)
        // Who has asked may close that half, and read the answer.
        .half_close(true)
        .serve_connection(pipe.clone(), routes);
    // Kept over several polls: a wait that is dropped stays in the ring until it completes.
    let mut readable = None;
    loop {
        let step = poll_fn(|context| {
            if let Poll::Ready(result) = server.poll_without_shutdown(context) {
                return Poll::Ready(Step::Finished(result));
            }
            if pipe.has_written() || exchange.join.borrow().is_some() {
                return Poll::Ready(Step::Outward);
            }
            if exchange.finish.poll_over(context) {
                return Poll::Ready(Step::Finished(Ok(())));
            }
            // hyper may have woken this task to be polled once more, so it is polled on every wake. Until it has taken
            // all, no more is received; and at its end there is nothing to wait for but the answer.
            if pipe.has_received() || pipe.is_at_end() && exchange.is_serving.get() {
                return Poll::Pending;
            }
            let wait = readable.get_or_insert_with(|| Box::pin(transport.socket().readable()));
            wait.as_mut().poll(context).map(|_| Step::Readable)
        })
        .await;
        let written = pipe.take_written();
        let written = Bytes::from(written);
        if !written.is_empty() {
            respond(shell, conn, written.clone());
        }
        match step {
            Step::Finished(Err(error)) if error.is_parse() => {
                tell_failed(shell, conn, &written, &error);
                return Outcome::Failed;
            }
            Step::Finished(_) => break,
            Step::Outward => {
                let Some(join) = exchange.join.take() else {
                    continue;
                };
                let stream_head = ask(shell, conn, &exchange, join);
                let Some(verdict) = shell.verdict(conn).await else {
                    return Outcome::Ended;
                };
                if verdict == Verdict::Granted
                    && let Some(head) = stream_head
                {
                    respond(shell, conn, head);
                    return Outcome::Streaming;
                }
                exchange.verdict.set(Some(verdict));
            }
            Step::Readable => {
                readable = None;
                let reading = shell.receive(conn, transport, |bytes| {
                    pipe.received(bytes);
                    exchange.finish.received();
                    Reading::Open
                });
                if reading == Reading::Ended {
                    if pipe.is_at_end() {
                        return Outcome::Ended;
                    }
                    // hyper may still have something to say to what came before.
                    pipe.end();
                } else if exchange.is_idle.take() {
                    shell.turn(|core, now| core.handle(now, Input::RequestBegun { conn }));
                }
            }
        }
    }
    if !exchange.upgraded.get() {
        return if pipe.is_at_end() {
            Outcome::Ended
        } else {
            Outcome::Done
        };
    }
    let mut first_bytes = Vec::from(server.into_parts().read_buf);
    first_bytes.extend_from_slice(&pipe.take_received());
    Outcome::Upgraded { first_bytes }
}

/// Counts what is no request, or too long for one, by what hyper has answered it with; that has no body.
fn tell_failed(shell: &Shell, conn: ConnId, written: &[u8], error: &hyper::Error) {
    // Of either version: hyper answers in that of the request before.
    const BEGINNING: &[u8] = b"HTTP/1.";
    let mut places = written.windows(BEGINNING.len());
    let head = places.rposition(|bytes| bytes == BEGINNING);
    let status = head.and_then(|at| written.get(at + 9..at + 12));
    let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    // Who speaks HTTP/2 without having asked is not answered.
    let Some(status) = status.filter(|_| !error.is_parse_version_h2()) else {
        return;
    };
    let refused = Refused {
        status,
        path: "",
        why: &error.to_string(),
    };
    shell.tell_refused_request(conn, refused);
}

fn respond(shell: &Shell, conn: ConnId, bytes: Bytes) {
    shell.turn(|core, now| core.handle(now, Input::Respond { conn, bytes }));
}

/// Hands a join in, and notes what compression it has got. Returns the head of the stream's response, if it is for one.
fn ask(shell: &Shell, conn: ConnId, exchange: &Exchange, join: Join) -> Option<Bytes> {
    shell.turn(|core, now| {
        if let Access::Awaited { .. } = join.access {
            shell.await_token(conn, join.target.clone());
        }
        let compression = join.compression.map(|wanted| core.affordable(wanted));
        exchange.compression.set(compression);
        let upgrade = Input::Upgrade {
            conn,
            target: join.target,
            compression,
            access: join.access,
        };
        core.handle(now, upgrade);
    });
    join.stream_head
}

/// hyper's service: checks a request, and answers it, or lets it wait for its verdict.
struct Routes {
    exchange: Rc<Exchange>,
    shell: Rc<Shell>,
    conn: ConnId,
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, Infallible>>>>;

impl Service<Request<Incoming>> for Routes {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let (exchange, shell, conn) = (self.exchange.clone(), self.shell.clone(), self.conn);
        exchange.is_serving.set(true);
        exchange.finish.received();
        if exchange.is_idle.take() {
            shell.turn(|core, now| core.handle(now, Input::RequestBegun { conn }));
        }
        Box::pin(async move {
            let answer = serve(&exchange, &shell, conn, request).await;
            exchange.is_serving.set(false);
            if !exchange.upgraded.get() {
                exchange.is_idle.set(true);
                shell.turn(|core, now| core.handle(now, Input::RequestDone { conn }));
            }
            Ok(exchange.finish.answered(answer))
        })
    }
}

/// Answers one request.
async fn serve(
    exchange: &Exchange,
    shell: &Shell,
    conn: ConnId,
    request: Request<Incoming>,
) -> Answer {
    let uri = request.uri().clone();
    let respond = |plain: Plain| {
        if let Some(refused) = plain.refused(uri.path()) {
            shell.tell_refused_request(conn, refused);
        }
        plain.respond()
    };
    let (cors, checked) = match checks::check(shell, &request).await {
        Ok(checked) => checked,
        Err(plain) => return respond(plain),
    };
    let (asked, access) = match checked {
        Ok((asked, admitted)) => {
            let counted = admission::count(shell, conn, &request, &asked, &admitted).await;
            (counted.map(|()| asked), admitted.access)
        }
        Err(plain) => (Err(plain), Access::default()),
    };
    let mut methods = None;
    let answer = match asked {
        Ok(Asked::Root) => Err(routes::root()),
        Ok(Asked::Upgrade(target, accept)) => {
            upgrade(exchange, shell, &request, target, &accept, access).await
        }
        Ok(Asked::Events(room)) => {
            let head = events::response_head(|headers| cors.dress(headers, None));
            // Whoever is granted the stream is not answered here any more.
            let join = Join {
                target: Target::Events { room },
                compression: None,
                access,
                stream_head: Some(head),
            };
            joined(exchange, join).await;
            Err(routes::collision())
        }
        Ok(Asked::EventsHead(_)) => Ok(events::head_only()),
        Ok(Asked::Publish(room)) => publish::publish(shell, conn, room, request).await,
        Ok(Asked::Methods(all)) => {
            methods = Some(all);
            Ok(routes::methods(all))
        }
        Err(plain) => Err(plain),
    };
    let mut answer = answer.unwrap_or_else(respond);
    cors.dress(answer.headers_mut(), methods);
    answer
}

/// Answers an upgrade's request, once it is decided.
async fn upgrade<B>(
    exchange: &Exchange,
    shell: &Shell,
    request: &Request<B>,
    target: Target,
    accept: &Accept,
    access: Access,
) -> Result<Answer, Plain> {
    let policy = shell.policy();
    let compression =
        compression::negotiate(request.headers(), policy.limits.compression.as_ref())?;
    let join = Join {
        target,
        compression,
        access,
        stream_head: None,
    };
    let verdict = joined(exchange, join).await;
    exchange.upgraded.set(verdict == Verdict::Granted);
    let compression = exchange.compression.get();
    let mut answer = routes::upgrade_answer(verdict, accept, compression);
    if let Some(subprotocol) = credentials::subprotocol(request.headers())
        && verdict == Verdict::Granted
    {
        let name = http::header::SEC_WEBSOCKET_PROTOCOL;
        answer.headers_mut().insert(name, subprotocol);
    }
    Ok(answer)
}

/// Lets the connection's task ask for a membership, and waits for what comes of it.
async fn joined(exchange: &Exchange, join: Join) -> Verdict {
    exchange.join.replace(Some(join));
    // No waker is kept: the task polls again once it has the verdict.
    poll_fn(|_| exchange.verdict.take().map_or(Poll::Pending, Poll::Ready)).await
}
