//! What has to hold of a node at rest.

use ringmain_core::{DropReason, ShardStats};

use super::{Node, is_policy};
use crate::oracle::{Client, Kind};

impl Node {
    pub fn check_members(&self) {
        for core in &self.cores {
            let mut drops = DropReason::NAMES.iter().zip(&core.stats.drops);
            assert!(
                drops.all(|((_, reason), dropped)| is_policy(*reason) || dropped.get() == 0)
                    || self.any_left(),
                "nothing is dropped but by a policy"
            );
            assert_eq!(core.stats.room_gaps.get(), 0);
        }
        for (index, client) in self.clients.iter().enumerate() {
            let socket = &self.sockets[index];
            if socket.is_ended || client.is_closed {
                continue;
            }
            if client.kind == Kind::Publisher {
                assert!(
                    !socket.is_posting,
                    "client {index}: every message is answered"
                );
                continue;
            }
            assert!(socket.joined, "client {index}: every join is answered");
            for (other, publisher) in self.clients.iter().enumerate() {
                // Who left abruptly may have taken unread messages along.
                if publisher.room == client.room && !self.sockets[other].is_ended {
                    client.check(self.first + other, publisher.begun, other == index);
                }
            }
        }
    }

    pub(super) fn any_left(&self) -> bool {
        self.sockets.iter().any(|socket| socket.is_ended)
    }

    /// Half of the clients leave politely.
    pub fn close_all(&mut self) {
        for client in 0..self.sockets.len() {
            self.leave(client, client.is_multiple_of(2));
        }
    }

    /// Everything that was queued for a member has been received or is counted as dropped. Returns what the two
    /// policies have dropped.
    pub fn check_counts(&self) -> [u64; 2] {
        let sum = |of: &dyn Fn(&ShardStats) -> u64| -> u64 {
            self.cores.iter().map(|core| of(&core.stats)).sum()
        };
        let dropped = |reason: DropReason| sum(&|stats| stats.drops[reason as usize].get());
        let queued = sum(&|stats| stats.messages_out.get());
        let received: u64 = self.clients.iter().map(Client::received).sum();
        let lost: u64 = DropReason::NAMES
            .iter()
            // What a lane did not take, such as a slow link's, was queued for no member.
            .filter(|(_, reason)| *reason != DropReason::LaneFull)
            .map(|&(_, reason)| dropped(reason))
            .sum();
        assert_eq!(
            queued,
            received + lost,
            "every loss is counted, and nothing else"
        );
        let by_policy = [DropReason::DropOldest, DropReason::KeepLatest].map(dropped);
        let may_miss = self.clients.iter().any(|client| client.may_miss);
        assert!(may_miss || by_policy == [0, 0], "nobody was slow");
        by_policy
    }

    pub fn check_empty(&self) {
        for (index, core) in self.cores.iter().enumerate() {
            assert_eq!(
                core.core.rooms(),
                (0, 0),
                "core {index}: rooms that nobody holds"
            );
            assert_eq!(
                core.core.connections(),
                0,
                "core {index}: connections that are gone"
            );
            assert_eq!(
                core.core.memory_bytes(),
                0,
                "core {index}: memory that nobody holds"
            );
        }
    }
}
