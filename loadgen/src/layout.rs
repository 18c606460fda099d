//! Who is where: threads, rooms and publishers of the connections, reckoned from their numbers alone.

use std::ops::Range;

use crate::settings::{Settings, Work};

/// The layout as one thread sees it. A connection has an id, unique in the run, and at its thread a
/// link number. Connection `id` belongs to thread `id % threads` and to room `id % rooms`. The first
/// connections publish; the first `steady` must receive every message; the ones from `initial` on are
/// visitors.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    connections: u32,
    initial: u32,
    steady: u32,
    threads: u32,
    thread: u32,
    rooms: u32,
    publishers: u32,
    /// The most publishers of one room.
    publishers_per_room: usize,
}

impl Layout {
    /// The layout of a run for its thread number `thread`.
    pub fn new(settings: &Settings, threads: usize, thread: usize) -> Self {
        let connections = settings.connections_and_visitors();
        let (rooms, publishers) = match settings.work {
            // Each for itself.
            Work::Echo { .. } => (settings.connections, settings.connections),
            Work::Fanout {
                rooms, publishers, ..
            } => (rooms, publishers),
            Work::Idle { rooms, .. } => (rooms, rooms),
        };
        Layout {
            connections,
            initial: settings.connections,
            steady: settings.steady(),
            threads: threads as u32,
            thread: thread as u32,
            rooms,
            publishers,
            publishers_per_room: publishers.div_ceil(rooms) as usize,
        }
    }

    /// Connections of this thread.
    pub fn links(&self) -> usize {
        self.of_this_thread(self.connections)
    }

    /// Connections of this thread that are opened at the beginning: its first links.
    pub fn initial_links(&self) -> usize {
        self.of_this_thread(self.initial)
    }

    /// Connections of this thread that stay and read as fast as they can: its first links.
    pub fn steady_links(&self) -> usize {
        self.of_this_thread(self.steady)
    }

    /// Connections of this thread that stay and read slowly.
    pub fn slow_links(&self) -> Range<usize> {
        self.steady_links()..self.initial_links()
    }

    /// Connections of this thread that come and go.
    pub fn visitor_links(&self) -> Range<usize> {
        self.initial_links()..self.links()
    }

    /// The number of a visitor among all visitors of the run.
    pub fn visitor(&self, link: usize) -> u32 {
        self.id(link) - self.initial
    }

    /// Publishers of this thread: its first links.
    pub fn local_publishers(&self) -> usize {
        self.of_this_thread(self.publishers)
    }

    fn of_this_thread(&self, ids: u32) -> usize {
        ids.saturating_sub(self.thread).div_ceil(self.threads) as usize
    }

    /// Rooms of the run.
    pub fn rooms(&self) -> usize {
        self.rooms as usize
    }

    /// Publishers of the run.
    pub fn publishers(&self) -> u32 {
        self.publishers
    }

    /// This thread's number, and how many there are.
    pub fn thread(&self) -> (usize, usize) {
        (self.thread as usize, self.threads as usize)
    }

    /// The id of a link of this thread.
    #[inline]
    pub fn id(&self, link: usize) -> u32 {
        link as u32 * self.threads + self.thread
    }

    /// The thread of a connection, and its link number there.
    #[inline]
    pub fn place(&self, id: u32) -> (usize, usize) {
        ((id % self.threads) as usize, (id / self.threads) as usize)
    }

    /// Whether a connection belongs to this thread.
    #[inline]
    pub fn is_local(&self, id: u32) -> bool {
        id % self.threads == self.thread
    }

    /// The room of a connection.
    #[inline]
    pub fn room(&self, id: u32) -> u32 {
        id % self.rooms
    }

    /// The publishers of a room.
    pub fn publishers_of(&self, room: u32) -> impl Iterator<Item = u32> + use<> {
        (room..self.publishers).step_by(self.rooms as usize)
    }

    /// Pairs of a link and a publisher whose messages it receives.
    pub fn pairs(&self) -> usize {
        self.links() * self.publishers_per_room
    }

    /// Of these, the ones of steady links, which come first.
    pub fn steady_pairs(&self) -> usize {
        self.steady_links() * self.publishers_per_room
    }

    /// The most publishers of one room.
    pub fn publishers_per_room(&self) -> usize {
        self.publishers_per_room
    }

    /// The number of the pair of a link and a publisher; `None` if there is no such publisher in the
    /// link's room.
    #[inline]
    pub fn pair(&self, link: usize, publisher: u32) -> Option<usize> {
        if publisher >= self.publishers || self.room(publisher) != self.room(self.id(link)) {
            return None;
        }
        let rank = (publisher / self.rooms) as usize;
        Some(link * self.publishers_per_room + rank)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn layouts() -> impl Strategy<Value = Vec<Layout>> {
        (1u32..200, 1u32..9)
            .prop_flat_map(|(connections, threads)| {
                (
                    Just(connections),
                    Just(threads),
                    1..=connections,
                    1..=connections,
                )
            })
            .prop_map(|(connections, threads, rooms, publishers)| {
                let of_thread = |thread| Layout {
                    connections,
                    initial: connections,
                    steady: connections,
                    threads,
                    thread,
                    rooms,
                    publishers,
                    publishers_per_room: publishers.div_ceil(rooms) as usize,
                };
                (0..threads).map(of_thread).collect()
            })
    }

    proptest! {
        #[test]
        fn every_connection_has_one_place(layouts in layouts()) {
            let mut ids = HashSet::new();
            for (thread, layout) in layouts.iter().enumerate() {
                for link in 0..layout.links() {
                    let id = layout.id(link);
                    prop_assert!(ids.insert(id) && layout.is_local(id));
                    prop_assert_eq!(layout.place(id), (thread, link));
                    prop_assert_eq!(link < layout.local_publishers(), id < layout.publishers);
                }
            }
            prop_assert_eq!(ids.len(), layouts[0].connections as usize);
            prop_assert_eq!(ids.into_iter().max(), Some(layouts[0].connections - 1));
        }

        #[test]
        fn every_receiver_has_a_pair_of_its_own_with_each_publisher_of_its_room(layouts in layouts()) {
            for layout in &layouts {
                let mut pairs = HashSet::new();
                for link in 0..layout.links() {
                    let room = layout.room(layout.id(link));
                    let in_room: Vec<u32> = layout.publishers_of(room).collect();
                    for publisher in 0..layout.publishers + 3 {
                        let pair = layout.pair(link, publisher);
                        prop_assert_eq!(pair.is_some(), in_room.contains(&publisher));
                        if let Some(pair) = pair {
                            prop_assert!(pair < layout.pairs() && pairs.insert(pair));
                        }
                    }
                }
            }
        }
    }
}
