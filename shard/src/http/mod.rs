//! HTTP until the upgrade: hyper, fed from memory.
//!
//! hyper reads from and writes to a [`Pipe`]; the bytes between pipe and socket are moved here. So no
//! socket operation of hyper's is in flight when it answers 101, and the client's first frame cannot
//! vanish into one.

mod compression;
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
use ringmain_proto::ws::deflate::Agreement;
use ringmain_proto::ws::handshake::Accept;
use ringmain_rt::Socket;

use crate::shell::{Reading, Shell};
use pipe::Pipe;
use routes::Plain;

/// What came of a connection's HTTP.
pub enum Outcome {
    /// The 101 is handed over; these bytes came behind the request.
    Upgraded {
        /// The first bytes of the WebSocket.
        first_bytes: Vec<u8>,
    },
    /// The last response is handed over.
    Done,
    /// The socket is at its end.
    Ended,
}

/// What hyper's service and the connection's task tell each other.
#[derive(Default)]
struct Exchange {
    asked: RefCell<Option<Asked>>,
    /// What compression the upgrade that was asked for has got.
    compression: Cell<Option<Agreement>>,
    verdict: Cell<Option<Verdict>>,
    upgraded: Cell<bool>,
}

/// An upgrade that a request asks for.
struct Asked {
    target: Target,
    compression: Option<Agreement>,
}

/// What the exchange goes on with.
enum Step {
    /// hyper is done.
    Finished,
    /// hyper has written, or asks for an upgrade.
    Outward,
    /// The socket has something to read.
    Readable,
}

/// Serves requests until one upgrades the connection, or the last is answered.
pub async fn exchange(shell: &Rc<Shell>, socket: &Rc<Socket>, conn: ConnId) -> Outcome {
    let pipe = Pipe::default();
    let exchange = Rc::new(Exchange::default());
    let head_bytes_max = shell.policy().limits.request_head_bytes_max;
    let mut server = http1::Builder::new()
        .max_buf_size(head_bytes_max)
        .header_read_timeout(None)
        .serve_connection(
            pipe.clone(),
            Routes {
                exchange: exchange.clone(),
                shell: shell.clone(),
            },
        );
    // Kept over several polls: a wait that is dropped stays in the ring until it completes.
    let mut readable = None;
    loop {
        let step = poll_fn(|context| {
            if server.poll_without_shutdown(context).is_ready() {
                return Poll::Ready(Step::Finished);
            }
            if pipe.has_written() || exchange.asked.borrow().is_some() {
                return Poll::Ready(Step::Outward);
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
            Step::Finished => break,
            Step::Outward => {
                let asked = exchange.asked.take();
                if let Some(asked) = asked {
                    exchange.compression.set(upgrade(shell, conn, asked));
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

/// Hands an upgrade in; returns what compression it has got.
fn upgrade(shell: &Shell, conn: ConnId, asked: Asked) -> Option<Agreement> {
    shell.turn(|core, now| {
        let compression = asked.compression.map(|wanted| core.affordable(wanted));
        let upgrade = Input::Upgrade {
            conn,
            target: asked.target,
            compression,
        };
        core.handle(now, upgrade);
        compression
    })
}

/// hyper's service: routes a request, and lets an upgrade wait for its verdict.
struct Routes {
    exchange: Rc<Exchange>,
    shell: Rc<Shell>,
}

impl Routes {
    /// What a request asks for, and what answers its handshake.
    fn asked(&self, request: &Request<Incoming>) -> Result<(Asked, Accept), Plain> {
        let (target, accept) = routes::route(request)?;
        let policy = self.shell.policy();
        let compression =
            compression::negotiate(request.headers(), policy.limits.compression.as_ref())?;
        let asked = Asked {
            target,
            compression,
        };
        Ok((asked, accept))
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>>>>;

impl Service<Request<Incoming>> for Routes {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        match self.asked(&request) {
            Err(plain) => Box::pin(std::future::ready(Ok(plain.respond()))),
            Ok((asked, accept)) => {
                let exchange = self.exchange.clone();
                exchange.asked.replace(Some(asked));
                Box::pin(poll_fn(move |_| {
                    // No waker is kept: the task polls again once it has the verdict.
                    let Some(verdict) = exchange.verdict.take() else {
                        return Poll::Pending;
                    };
                    exchange.upgraded.set(verdict == Verdict::Granted);
                    let compression = exchange.compression.get();
                    Poll::Ready(Ok(routes::upgrade_answer(verdict, &accept, compression)))
                }))
            }
        }
    }
}
