//! A node that ends in order.

use ringmain_core::shard::Input;
use ringmain_router::ShardFrame;

use super::{Node, OPEN_WINDOW};

impl Node {
    /// All cores are told to end; from now on clients go when they are told.
    pub fn stop(&mut self) {
        self.is_stopping = true;
        for core in &mut self.cores {
            core.core.handle(self.now, Input::Frame(ShardFrame::Stop));
        }
        for client in 0..self.sockets.len() {
            self.set_window(client, OPEN_WINDOW);
        }
    }

    /// Clients that were told to go do so.
    pub(super) fn end_closed(&mut self, index: usize) {
        if self.is_stopping {
            let here: Vec<usize> = self.cores[index].clients.values().copied().collect();
            for client in here {
                if self.clients[client].is_closed {
                    self.end(client);
                }
            }
        }
    }

    /// Whether all cores would end their threads.
    pub fn is_stopped(&self) -> bool {
        self.cores.iter().all(|core| core.core.is_stopped())
    }

    /// What the cores have published, and have not dropped on its way to the link: at least, and at most.
    pub fn published(&self) -> [u64; 2] {
        let taken = self.cores.iter().map(|core| core.stats.messages_in.get());
        let most = taken.sum::<u64>() - self.unpublished;
        [most - self.unknown - self.lane_full(), most]
    }
}
