//! The subjects that are kept by one shard: how many connections each has on every shard of the node.

use std::collections::VecDeque;

use crate::frame::ShardFrame;
use crate::id::PeerId;
use crate::subject::{SubjectId, SubjectMap};

/// Why a keeper does not grant all that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The subject has as many connections as it may.
    Full,
    /// With its connections on other nodes the subject has as many as it may in the cluster.
    FullInCluster,
    /// The subject is blocked.
    Blocked {
        /// For so long.
        for_ms: u64,
    },
}

/// A shard's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of whom.
    pub subject: SubjectId,
    /// The shard.
    pub from: PeerId,
    /// How many it wants in all.
    pub wanted: u32,
}

/// An answer to a shard that wanted more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How many it has in all.
    pub granted: u32,
    /// Why these are not all that it wanted.
    pub denial: Option<Denial>,
}

/// Counts connections by subject and shard. A subject is here only while it has some.
///
/// Bounded by what the shards hold: at most one answer a subject and shard is due, since a shard asks no second question
/// before it has the answer to the first.
#[derive(Debug, Default)]
pub struct SlotTable {
    subjects: SubjectMap<Vec<(PeerId, u32)>>,
    due: VecDeque<(PeerId, SubjectId, Grant)>,
}

impl SlotTable {
    /// Takes a wish. Who wants less has less; who wants more is granted as much as `most` leaves in all, or nothing if
    /// `block` says so.
    pub fn wish(&mut self, wish: Wish, most: u32, block: Option<Denial>) -> Option<Grant> {
        let shares = self.subjects.entry(wish.subject).or_default();
        let all: u32 = shares.iter().map(|(_, share)| share).sum();
        let at = shares.iter().position(|(shard, _)| *shard == wish.from);
        let held = at.map_or(0, |at| shares[at].1);
        let more = wish.wanted.saturating_sub(held);
        let (granted, denial) = match block {
            _ if more == 0 => (wish.wanted, None),
            Some(block) => (held, Some(block)),
            None => match more.min(most.saturating_sub(all)) {
                free if free < more => (held + free, Some(Denial::Full)),
                _ => (wish.wanted, None),
            },
        };
        match at {
            Some(at) if granted == 0 => drop(shares.swap_remove(at)),
            Some(at) => shares[at].1 = granted,
            None if granted > 0 => shares.push((wish.from, granted)),
            None => {}
        }
        if shares.is_empty() {
            self.subjects.remove(&wish.subject);
        }
        (more > 0).then_some(Grant { granted, denial })
    }

    /// An answer is to be sent to another shard.
    pub fn queue(&mut self, to: PeerId, subject: SubjectId, grant: Grant) {
        self.due.push_back((to, subject, grant));
    }

    /// Sends the answers that are due, each if `send` takes it; one that it gives back stays due. Returns how many were sent.
    pub fn send_answers(
        &mut self,
        mut send: impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) -> u64 {
        let mut sent = 0;
        // One look at each: a peer whose lane is full must not hold up the others.
        for _ in 0..self.due.len() {
            let Some((to, subject, grant)) = self.due.pop_front() else {
                break;
            };
            if send(to, ShardFrame::Slots { subject, grant }).is_ok() {
                sent += 1;
            } else {
                self.due.push_back((to, subject, grant));
            }
        }
        sent
    }

    /// Connections that a subject has, on all shards.
    pub fn held(&self, subject: SubjectId) -> u32 {
        let shares = self.subjects.get(&subject);
        shares.map_or(0, |shares| shares.iter().map(|(_, share)| share).sum())
    }

    /// Subjects that have any.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether none has any.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(from: usize, wanted: u32) -> Wish {
        Wish {
            subject: SubjectId(7),
            from: PeerId::shard(from).unwrap(),
            wanted,
        }
    }

    fn granted(granted: u32, denial: Option<Denial>) -> Option<Grant> {
        Some(Grant { granted, denial })
    }

    #[test]
    fn all_shards_together_have_no_more_than_there_is() {
        let mut table = SlotTable::default();
        assert_eq!(table.wish(wish(0, 2), 3, None), granted(2, None));
        assert_eq!(
            table.wish(wish(1, 2), 3, None),
            granted(1, Some(Denial::Full))
        );
        assert_eq!(
            table.wish(wish(2, 1), 3, None),
            granted(0, Some(Denial::Full))
        );
        assert_eq!(table.wish(wish(0, 1), 3, None), None);
        assert_eq!(table.wish(wish(2, 1), 3, None), granted(1, None));
        assert_eq!(table.held(SubjectId(7)), 3);
        for shard in 0..3 {
            assert_eq!(table.wish(wish(shard, 0), 3, None), None);
        }
        assert!(table.is_empty());
    }

    #[test]
    fn what_is_granted_stays_when_there_is_less_or_the_subject_is_blocked() {
        let mut table = SlotTable::default();
        assert_eq!(table.wish(wish(0, 5), 9, None), granted(5, None));
        assert_eq!(
            table.wish(wish(0, 6), 2, None),
            granted(5, Some(Denial::Full))
        );
        let block = Denial::Blocked { for_ms: 10 };
        assert_eq!(
            table.wish(wish(1, 1), 9, Some(block)),
            granted(0, Some(block))
        );
        assert_eq!(table.wish(wish(0, 4), 9, Some(block)), None);
        assert_eq!(table.held(SubjectId(7)), 4);
    }
}
