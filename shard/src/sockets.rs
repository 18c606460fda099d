//! The sockets of a shard, by the place of their connection.

use std::os::fd::RawFd;
use std::rc::Rc;

use ringmain_core::ConnId;
use ringmain_rt::Socket;

/// Finds a connection's socket. A page is never moved, as in the core's tables.
#[derive(Default)]
pub struct Sockets {
    pages: Vec<Vec<Option<Entry>>>,
    len: usize,
}

/// A socket, and its descriptor beside it: a write needs nothing else, and finds it without another look.
#[derive(Clone)]
struct Entry {
    fd: RawFd,
    socket: Rc<Socket>,
}

/// What no socket has.
const NO_DESCRIPTOR: RawFd = -1;

const PAGE_ENTRIES: usize = 512;

impl Sockets {
    /// Puts in a connection's socket.
    pub fn insert(&mut self, conn: ConnId, socket: Rc<Socket>) {
        let (page, place) = (
            conn.index as usize / PAGE_ENTRIES,
            conn.index as usize % PAGE_ENTRIES,
        );
        while self.pages.len() <= page {
            self.pages.push(vec![None; PAGE_ENTRIES]);
        }
        self.len += 1;
        let fd = socket.fd();
        self.pages[page][place] = Some(Entry { fd, socket });
    }

    fn entry(&self, conn: ConnId) -> Option<&Entry> {
        self.pages
            .get(conn.index as usize / PAGE_ENTRIES)?
            .get(conn.index as usize % PAGE_ENTRIES)?
            .as_ref()
    }

    /// The socket of a connection that has not ended.
    pub fn get(&self, conn: ConnId) -> Option<&Rc<Socket>> {
        self.entry(conn).map(|entry| &entry.socket)
    }

    /// Its descriptor, or one that no socket has.
    pub fn fd(&self, conn: ConnId) -> RawFd {
        self.entry(conn).map_or(NO_DESCRIPTOR, |entry| entry.fd)
    }

    /// Takes out the socket of a connection that ends.
    pub fn remove(&mut self, conn: ConnId) {
        let page = self.pages.get_mut(conn.index as usize / PAGE_ENTRIES);
        if let Some(entry) = page.and_then(|page| page.get_mut(conn.index as usize % PAGE_ENTRIES))
            && entry.take().is_some()
        {
            self.len -= 1;
        }
    }

    /// Sockets in the table.
    pub fn len(&self) -> usize {
        self.len
    }
}
