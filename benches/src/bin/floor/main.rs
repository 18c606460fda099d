//! The physical floor: the cheapest program on io_uring that puts the same bytes on the wire as the engine does.
//!
//! It has no timers, no limits, no rights, no ping and no metrics. What the engine costs above it is the price of
//! being a product; where the engine is below it, this program is not the floor and wants mending.

mod echo;
mod fanout;
mod io;
mod quiet;
mod ring;
mod room_log;
mod server;
mod socket;

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use quiet::Quiet;
use ringmain_benches::process::{self, EndSignal};

/// The physical floor: a bare io_uring WebSocket server.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  floor echo --listen 127.0.0.1:9001 --cpu 0\n  \
    floor fanout --listen 127.0.0.1:9001 --cpu 0 --send syscall --receive poll\n  \
    floor accept --listen 127.0.0.1:9001 --cpu 0 --then close"
)]
struct Arguments {
    /// What to do with each message.
    job: Job,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// How bytes leave.
    #[arg(long, default_value = "ring")]
    send: SendBy,
    /// How bytes arrive.
    #[arg(long, default_value = "poll")]
    receive: ReceiveBy,
    /// With `accept`: what becomes of a connection whose handshake was answered.
    #[arg(long, default_value = "keep")]
    then: Then,
    /// The core to run on; any, unless given.
    #[arg(long)]
    cpu: Option<usize>,
}

/// What a floor does with each message.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Job {
    /// Sends it back.
    Echo,
    /// Sends it to every other connection.
    Fanout,
    /// Nothing: it accepts and answers handshakes.
    Accept,
    /// Nothing: it holds what it accepted, each by a one-shot poll.
    Idle,
}

/// What becomes of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Then {
    /// It is held until the peer ends it.
    Keep,
    /// It is closed at once.
    Close,
}

/// How bytes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SendBy {
    /// A send operation on the ring.
    Ring,
    /// A send(2) from the loop.
    Syscall,
}

/// How bytes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReceiveBy {
    /// A receive operation on the ring, with a buffer for each connection.
    Ring,
    /// The same, told not to try before the socket is readable.
    RingPollFirst,
    /// A one-shot poll on the ring, then a recv(2) into one shared buffer.
    Poll,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> std::io::Result<()> {
    process::raise_descriptor_limit()?;
    if let Some(cpu) = arguments.cpu {
        process::pin(cpu)?;
    }
    let end = EndSignal::new()?;
    let address = arguments.listen;
    let listener = TcpListener::bind(address).map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("cannot listen on {address}: {error}; choose another --listen"),
        )
    })?;
    socket::prepare_listener(&listener)?;
    let receive = match arguments.job {
        Job::Idle => ReceiveBy::Poll,
        _ => arguments.receive,
    };
    let io = io::Io::new(arguments.send, receive)?;
    eprintln!("floor: {:?} listening on {address}", arguments.job);
    match arguments.job {
        Job::Echo => server::Server::new(io, listener, end, echo::Echo::default()).run(),
        Job::Fanout => server::Server::new(io, listener, end, fanout::Fanout::new()).run(),
        Job::Accept => server::Server::new(io, listener, end, Quiet::new(arguments.then)).run(),
        Job::Idle => server::Server::new(io, listener, end, Quiet::new(Then::Keep)).run(),
    }
}
