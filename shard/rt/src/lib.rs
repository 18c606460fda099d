//! What a pinned thread runs on: its core, its descriptor table, its ring or epoll, its sockets and
//! its doorbell. All of monoio is in here, and all of the `unsafe`.
#![allow(unsafe_code)]

pub mod alarm;
pub mod batch;
pub mod clock;
pub mod connect;
pub mod cpu;
pub mod descriptors;
pub mod doorbell;
pub mod driver;
pub mod process;
pub mod socket;
pub mod thread;
pub mod turns;
pub mod watch;

pub use alarm::Alarm;
pub use batch::{BatchReceiver, BatchSender, Sending};
pub use doorbell::{Bell, SocketDoorbell, doorbell};
pub use driver::{Backend, IoChoice};
pub use socket::{Listener, Socket, TcpOptions};
pub use turns::{Next, Turns};
pub use watch::{Ready, ReadyList, Watch};

pub use ringmain_router::{Doorbell, SleepWord};

/// Runs a future on the thread's runtime, beside the one that [`driver::run`] was given.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(future));
}

/// Waits at least this long. Fires only when the thread goes to sleep; see [`turns`].
pub async fn sleep(duration: std::time::Duration) {
    monoio::time::sleep(duration).await;
}
