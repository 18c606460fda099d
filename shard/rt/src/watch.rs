//! Many sockets, waited for together.
//!
//! One wait of the runtime and one system call for all sockets that are ready, instead of an operation
//! that is armed anew for each of them and a task that it wakes. Where every message arrives on another
//! socket, that saves a sixth of the receiver's CPU time, and each idle socket needs no task. The price is
//! that a socket must be read until it is empty. For the load generator, which must cost less than what
//! it loads.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::socket::Socket;

const EVENTS: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;

/// A set of sockets of the thread that made it.
pub struct Watch {
    set: Socket,
}

/// What has become of one socket since it was last reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token that it was added with.
    pub token: u64,
    /// Something may have arrived: read until a read comes back short.
    pub readable: bool,
    /// Bytes can be written, if they could not before.
    pub writable: bool,
    /// The other side has ended it, or it has failed: read until the end or the error shows.
    pub ended: bool,
}

/// Room for what [`Watch::take`] reports.
pub struct ReadyList {
    events: Vec<libc::epoll_event>,
    len: usize,
}

impl ReadyList {
    /// Room for so many sockets.
    pub fn new(capacity: usize) -> Self {
        ReadyList {
            events: vec![libc::epoll_event { events: 0, u64: 0 }; capacity],
            len: 0,
        }
    }

    /// What was reported last.
    pub fn iter(&self) -> impl Iterator<Item = Ready> {
        self.events[..self.len].iter().map(|event| {
            let has = |flags: libc::c_int| event.events & flags as u32 != 0;
            Ready {
                token: event.u64,
                readable: has(libc::EPOLLIN),
                writable: has(libc::EPOLLOUT),
                ended: has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR),
            }
        })
    }
}

impl Watch {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no memory.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just opened it, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Watch {
            set: Socket::new(fd)?,
        })
    }

    /// Adds a socket, which must not block. What it is ready for now is reported, and from then on each
    /// change. It leaves the set when it is closed.
    ///
    /// # Errors
    /// The system call's.
    pub fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: EVENTS,
            u64: token,
        };
        // SAFETY: `event` is readable, and both descriptors are open.
        let result = unsafe {
            libc::epoll_ctl(
                self.set.fd(),
                libc::EPOLL_CTL_ADD,
                socket.as_raw_fd(),
                &raw mut event,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Waits until a socket of the set has something to report.
    ///
    /// # Errors
    /// The runtime could not wait for it.
    pub async fn ready(&self) -> io::Result<()> {
        self.set.readable().await
    }

    /// Fills the list with what there is to report, without waiting. What finds no room is reported the
    /// next time.
    ///
    /// # Errors
    /// The system call's.
    pub fn take(&self, list: &mut ReadyList) -> io::Result<()> {
        list.len = 0;
        let room = libc::c_int::try_from(list.events.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the list is writable for as many events as it has room for.
        let count = unsafe { libc::epoll_wait(self.set.fd(), list.events.as_mut_ptr(), room, 0) };
        match usize::try_from(count) {
            Ok(count) => {
                list.len = count;
                Ok(())
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::driver::{self, Backend};

    #[test]
    fn it_reports_each_change_once() {
        for backend in [Backend::Epoll, Backend::Uring] {
            let Ok(()) = driver::run(backend, changes()) else {
                continue;
            };
        }
    }

    async fn changes() {
        let watch = Watch::new().unwrap();
        let mut list = ReadyList::new(1);
        let mut pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
        for (token, (near, _)) in (7..).zip(&pairs) {
            near.set_nonblocking(true).unwrap();
            watch.add(near.as_fd(), token).unwrap();
        }
        let mut next = async || {
            watch.ready().await.unwrap();
            watch.take(&mut list).unwrap();
            list.iter().collect::<Vec<_>>()
        };
        // Both can be written to, and the list has room for one.
        let mut tokens = [next().await[0].token, next().await[0].token];
        tokens.sort_unstable();
        assert_eq!(tokens, [7, 8]);

        pairs[1].1.write_all(b"x").unwrap();
        let [ready] = next().await[..] else {
            panic!("one socket has something to read");
        };
        assert!(ready.token == 8 && ready.readable && !ready.ended);
        // Not read, and yet not reported again: the next report is the other one's.
        let (near, far) = pairs.remove(0);
        drop(far);
        let [ready] = next().await[..] else {
            panic!("one socket has ended");
        };
        assert!(ready.token == 7 && ready.ended);
        assert_eq!(pairs[0].0.read(&mut [0; 2]).unwrap(), 1);
        drop(near);
    }
}
