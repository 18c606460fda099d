//! tokio, hyper and fastwebsockets as a peer that the engine is measured against.

use std::convert::Infallible;
use std::process::ExitCode;

use bytes::Bytes;
use fastwebsockets::upgrade::{self, UpgradeFut};
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError,
    WebSocketWrite,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use ringmain_benches::peer::rooms::{Membership, Rooms};
use ringmain_benches::peer::{self, Route};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;

/// A message, or a reply such as a pong, whose bytes all members share.
type Shared = (OpCode, Bytes);

fn main() -> ExitCode {
    let rooms = Rooms::default();
    peer::run("peer-fastwebsockets", move |stream| {
        serve(stream, rooms.clone())
    })
}

async fn serve(stream: TcpStream, rooms: Rooms<Shared>) {
    let service = service_fn(move |request| {
        let response = answer(request, &rooms);
        async { Ok::<_, Infallible>(response) }
    });
    // A connection that ends in an error is none of the others' business.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

fn answer(mut request: Request<Incoming>, rooms: &Rooms<Shared>) -> Response<Empty<Bytes>> {
    let Some(route) = Route::of(request.uri().path()) else {
        return refusal(StatusCode::NOT_FOUND);
    };
    let Ok((response, upgraded)) = upgrade::upgrade(&mut request) else {
        return refusal(StatusCode::BAD_REQUEST);
    };
    let rooms = rooms.clone();
    tokio::spawn(async move {
        let _ = match route {
            Route::Echo => echo(upgraded).await,
            Route::Room(room) => member(upgraded, &rooms, room).await,
        };
    });
    response
}

fn refusal(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

/// As in the library's echo server.
async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// Reading cannot be given up half-way, so one task reads and another writes what the member's channel holds.
async fn member(
    upgraded: UpgradeFut,
    rooms: &Rooms<Shared>,
    room: String,
) -> Result<(), WebSocketError> {
    let (read, write) = upgraded.await?.split(tokio::io::split);
    let (membership, messages) = rooms.join(room);
    let delivery = tokio::spawn(deliver(write, messages));
    let result = publish(FragmentCollectorRead::new(read), &membership).await;
    // The channel's end ends the other task, once it has written what is in there.
    drop(membership);
    let _ = delivery.await;
    result
}

async fn publish<S: tokio::io::AsyncRead + Unpin>(
    mut read: FragmentCollectorRead<S>,
    membership: &Membership<Shared>,
) -> Result<(), WebSocketError> {
    let mut reply = |frame: Frame<'_>| {
        membership.reply((frame.opcode, Bytes::copy_from_slice(&frame.payload)));
        std::future::ready(Ok::<_, Infallible>(()))
    };
    loop {
        let frame = read.read_frame(&mut reply).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                membership.publish(&(frame.opcode, shared(frame.payload)));
            }
            _ => {}
        }
    }
}

async fn deliver<S: AsyncWrite + Unpin>(
    mut write: WebSocketWrite<S>,
    mut messages: Receiver<Shared>,
) -> Result<(), WebSocketError> {
    while let Some((opcode, bytes)) = messages.recv().await {
        let frame = Frame::new(true, opcode, None, Payload::Borrowed(&bytes));
        write.write_frame(frame).await?;
    }
    Ok(())
}

fn shared(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Bytes(bytes) => bytes.freeze(),
        other => Bytes::from(Vec::from(other)),
    }
}
