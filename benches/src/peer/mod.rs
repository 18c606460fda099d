//! What the peers on tokio share: command line, place, the accept loop, and rooms.
//!
//! Everything about WebSocket is the library's that is measured, used as its own examples do.

pub mod rooms;

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::process;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A WebSocket server on one thread of tokio: /echo answers each message with itself, /raw/ROOM passes it on to the
/// others in the room.
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Example, the same for both peers:\n  target/release/peer-tungstenite --listen 127.0.0.1:9001 --cpu 0"
)]
pub struct Arguments {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:9001")]
    pub listen: SocketAddr,
    /// The core to run on; any, unless given.
    #[arg(long)]
    pub cpu: Option<usize>,
}

/// Where a request wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Each message comes back.
    Echo,
    /// Each message goes to the others in the room.
    Room(String),
}

impl Route {
    /// The route of a request's path, if it is one.
    pub fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("/raw/") {
            Some(room) if !room.is_empty() => Some(Self::Room(room.to_owned())),
            _ => (path == "/echo").then_some(Self::Echo),
        }
    }
}

/// Runs a peer until a signal ends the process: `serve` makes the task of each connection.
pub fn run<F, C>(name: &str, serve: F) -> ExitCode
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let arguments = Arguments::parse();
    match listen_and_serve(name, &arguments, serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn listen_and_serve<F, C>(name: &str, arguments: &Arguments, serve: F) -> std::io::Result<()>
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    process::raise_descriptor_limit()?;
    if let Some(cpu) = arguments.cpu {
        process::pin(cpu)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let address = arguments.listen;
        let listener = listen(address).map_err(|error| {
            let words = format!("cannot listen on {address}: {error}; choose another --listen");
            std::io::Error::new(error.kind(), words)
        })?;
        eprintln!("{name}: listening on {address}");
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_routes_are_known_and_no_other() {
        assert_eq!(Route::of("/echo"), Some(Route::Echo));
        assert_eq!(
            Route::of("/raw/bench"),
            Some(Route::Room("bench".to_owned()))
        );
        for path in ["/", "/raw/", "/raw", "/echo/", "/chat"] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
