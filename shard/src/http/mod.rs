//! HTTP until the upgrade: hyper, fed from memory.
//!
//! hyper reads from and writes to a [`Pipe`]; the bytes between pipe and socket are moved here. So no
//! socket operation of hyper's is in flight when it answers 101, and the client's first frame cannot
//! vanish into one.

mod finish;
mod pipe;
mod routes;

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
use ringmain_core::{ConnId, Input, Target, Verdict};
use ringmain_rt::Socket;

use crate::shell::{Reading, Shell};
pub use finish::Exchanges;
use finish::Finish;
use pipe::Pipe;

/// What came of a connection's HTTP.
pub enum Outcome {
    /// The 101 is handed over; these bytes came behind the request.
    Upgraded {
        /// The first bytes of the WebSocket.
        first_bytes: Vec<u8>,
    },
    /// The last response is handed over.
    Done,
    /// What came in is no HTTP. There may be a response that says so.
    Failed,
    /// The socket is at its end.
    Ended,
}

/// What hyper's service and the connection's task tell each other.
struct Exchange {
    finish: Rc<Finish>,
    asked: RefCell<Option<Target>>,
    verdict: Cell<Option<Verdict>>,
    upgraded: Cell<bool>,
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

/// Serves requests until one upgrades the connection, or the last is answered.
pub async fn exchange(shell: &Rc<Shell>, socket: &Rc<Socket>, conn: ConnId) -> Outcome {
    let pipe = Pipe::default();
    let exchange = Rc::new(Exchange {
        finish: shell.exchanges().begin(conn),
        asked: RefCell::default(),
        verdict: Cell::default(),
        upgraded: Cell::default(),
    });
    let head_bytes_max = shell.policy().limits.request_head_bytes_max;
    let mut server = http1::Builder::new()
        .max_buf_size(head_bytes_max)
        .header_read_timeout(None)
        .serve_connection(
            pipe.clone(),
            Routes {
                shell: shell.clone(),
                conn,
                exchange: exchange.clone(),
            },
        );
    // Kept over several polls: a wait that is dropped stays in the ring until it completes.
    let mut readable = None;
    loop {
        let step = poll_fn(|context| {
            if let Poll::Ready(result) = server.poll_without_shutdown(context) {
                return Poll::Ready(Step::Finished(result));
            }
            if pipe.has_written() || exchange.asked.borrow().is_some() {
                return Poll::Ready(Step::Outward);
            }
            if exchange.finish.poll_over(context) {
                return Poll::Ready(Step::Finished(Ok(())));
            }
            // hyper may have woken this task to be polled once more, so it is polled on every wake.
            let wait = readable.get_or_insert_with(|| Box::pin(socket.readable()));
            wait.as_mut().poll(context).map(|_| Step::Readable)
        })
        .await;
        let written = pipe.take_written();
        if !written.is_empty() {
            shell.turn(|core, now| {
                core.handle(
                    now,
                    Input::Respond {
                        conn,
                        bytes: Bytes::from(written),
                    },
                )
            });
        }
        match step {
            Step::Finished(Err(error)) if error.is_parse() => return Outcome::Failed,
            Step::Finished(_) => break,
            Step::Outward => {
                let asked = exchange.asked.take();
                if let Some(target) = asked {
                    shell.turn(|core, now| core.handle(now, Input::Upgrade { conn, target }));
                    let Some(verdict) = shell.verdict(conn).await else {
                        return Outcome::Ended;
                    };
                    exchange.verdict.set(Some(verdict));
                }
            }
            Step::Readable => {
                readable = None;
                let reading = shell.receive(socket, |bytes| {
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

/// hyper's service: routes a request, and lets an upgrade wait for its verdict.
struct Routes {
    shell: Rc<Shell>,
    conn: ConnId,
    exchange: Rc<Exchange>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>>>>;

impl Service<Request<Incoming>> for Routes {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        match routes::route(&request) {
            Err(plain) => {
                if let Some(refused) = plain.refused(request.uri().path()) {
                    self.shell.tell_refused_request(self.conn, refused);
                }
                let response = self.exchange.finish.answered(plain.respond());
                Box::pin(std::future::ready(Ok(response)))
            }
            Ok((target, accept)) => {
                let exchange = self.exchange.clone();
                exchange.asked.replace(Some(target));
                Box::pin(poll_fn(move |_| {
                    // No waker is kept: the task polls again once it has the verdict.
                    let Some(verdict) = exchange.verdict.take() else {
                        return Poll::Pending;
                    };
                    exchange.upgraded.set(verdict == Verdict::Granted);
                    let answer = routes::upgrade_answer(verdict, &accept);
                    Poll::Ready(Ok(exchange.finish.answered(answer)))
                }))
            }
        }
    }
}
