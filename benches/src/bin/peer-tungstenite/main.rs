//! tokio and tokio-tungstenite as a peer that the engine is measured against.

use std::process::ExitCode;

use futures_util::future::{self, Either};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ringmain_benches::peer::rooms::Rooms;
use ringmain_benches::peer::{self, Route};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// The library fills its read buffer with zeroes before each read. Its default of 128 KiB is for few connections with
/// much to read, and costs several times the rest of an echo; this holds two of the largest messages here.
const READ_BUFFER_BYTES: usize = 32 * 1024;

fn main() -> ExitCode {
    let rooms = Rooms::default();
    peer::run("peer-tungstenite", move |stream| {
        serve(stream, rooms.clone())
    })
}

async fn serve(stream: TcpStream, rooms: Rooms<Message>) {
    let mut route = None;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let callback = route_into(&mut route);
    let Ok(socket) = accept_hdr_async_with_config(stream, callback, Some(config)).await else {
        return;
    };
    // A connection that ends in an error is none of the others' business.
    let _ = match route {
        Some(Route::Room(room)) => member(socket, &rooms, room).await,
        _ => echo(socket).await,
    };
}

#[allow(clippy::result_large_err)] // The callback's type is the library's.
fn route_into(
    route: &mut Option<Route>,
) -> impl FnOnce(&Request, Response) -> Result<Response, ErrorResponse> + Unpin {
    move |request, response| {
        *route = Route::of(request.uri().path());
        if route.is_some() {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("try /echo or /raw/ROOM".to_owned()));
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        Err(refusal)
    }
}

/// As in the library's echo server: flushed when nothing more is to be read.
async fn echo(socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    let (write, read) = socket.split();
    read.try_filter(|message| future::ready(is_data(message)))
        .forward(write)
        .await
}

/// As in the library's chat server: a channel for each member, forwarded to its socket.
async fn member(
    socket: WebSocketStream<TcpStream>,
    rooms: &Rooms<Message>,
    room: String,
) -> Result<(), Error> {
    let (membership, mut messages) = rooms.join(room);
    let (write, read) = socket.split();
    let publish = read.try_for_each(|message| {
        if is_data(&message) {
            membership.publish(&message);
        }
        future::ready(Ok(()))
    });
    let deliver = stream::poll_fn(move |context| messages.poll_recv(context))
        .map(Ok)
        .forward(write);
    match future::select(std::pin::pin!(publish), std::pin::pin!(deliver)).await {
        Either::Left((result, _)) | Either::Right((result, _)) => result,
    }
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}
