//! The sockets of a shard, by the place of their connection.

use std::rc::Rc;

use ringmain_core::ConnId;
use ringmain_rt::Socket;

/// Finds a connection's socket. A page is never moved, as in the core's tables.
#[derive(Default)]
pub struct Sockets {
    pages: Vec<Vec<Option<Rc<Socket>>>>,
    len: usize,
}

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
        self.pages[page][place] = Some(socket);
    }

    /// The socket of a connection that has not ended.
    pub fn get(&self, conn: ConnId) -> Option<&Rc<Socket>> {
        self.pages
            .get(conn.index as usize / PAGE_ENTRIES)?
            .get(conn.index as usize % PAGE_ENTRIES)?
            .as_ref()
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
