//! The transports of a shard, by the place of their connection.

use std::os::fd::RawFd;
use std::rc::Rc;

use crate::transport::Transport;
use ringmain_core::ConnId;

/// Finds a connection's transport. A page is never moved, as in the core's tables.
#[derive(Default)]
pub struct Sockets {
    pages: Vec<Vec<Option<Entry>>>,
    len: usize,
}

/// A transport, and beside it what a write needs of it: that is found without another look.
#[derive(Clone)]
struct Entry {
    fd: RawFd,
    is_tls: bool,
    transport: Rc<Transport>,
}

/// What no socket has.
const NO_DESCRIPTOR: RawFd = -1;

const PAGE_ENTRIES: usize = 512;

impl Sockets {
    /// Puts in a connection's transport.
    pub fn insert(&mut self, conn: ConnId, transport: Rc<Transport>) {
        let (page, place) = (
            conn.index as usize / PAGE_ENTRIES,
            conn.index as usize % PAGE_ENTRIES,
        );
        while self.pages.len() <= page {
            self.pages.push(vec![None; PAGE_ENTRIES]);
        }
        self.len += 1;
        self.pages[page][place] = Some(Entry {
            fd: transport.fd(),
            is_tls: transport.tls().is_some(),
            transport,
        });
    }

    fn entry(&self, conn: ConnId) -> Option<&Entry> {
        self.pages
            .get(conn.index as usize / PAGE_ENTRIES)?
            .get(conn.index as usize % PAGE_ENTRIES)?
            .as_ref()
    }

    /// The transport of a connection that has not ended.
    pub fn get(&self, conn: ConnId) -> Option<&Rc<Transport>> {
        self.entry(conn).map(|entry| &entry.transport)
    }

    /// Whether what it is sent is to be encrypted.
    pub fn is_tls(&self, conn: ConnId) -> bool {
        self.entry(conn).is_some_and(|entry| entry.is_tls)
    }

    /// Its descriptor, or one that no socket has.
    pub fn fd(&self, conn: ConnId) -> RawFd {
        self.entry(conn).map_or(NO_DESCRIPTOR, |entry| entry.fd)
    }

    /// Takes out the transport of a connection that ends.
    pub fn remove(&mut self, conn: ConnId) -> Option<Rc<Transport>> {
        let page = self.pages.get_mut(conn.index as usize / PAGE_ENTRIES)?;
        let entry = page.get_mut(conn.index as usize % PAGE_ENTRIES)?.take()?;
        self.len -= 1;
        Some(entry.transport)
    }

    /// Transports in the table.
    pub fn len(&self) -> usize {
        self.len
    }
}
