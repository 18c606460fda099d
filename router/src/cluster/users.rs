//! How many connections users have on other nodes, as far as these have told.
//!
//! Each node tells how many each of its users has whenever that changes, and all of them again in rounds. What it has
//! told is a lease: it holds until the node is gone, or has not told it again for a whole round. So what is lost on the
//! way is mended by itself, and a node that dies takes nobody's place for longer than it is remembered.

use std::collections::{BTreeMap, VecDeque};

use super::envelope::WireError;
use super::limits::{
    USERS_FRAMES_MAX, USERS_IN_NOTICE_MAX, USERS_MAX, USERS_REPEATED_MAX, USERS_ROUND_MS,
    USERS_UNTOLD_MAX,
};
use super::wire::{Reader, list, put_varint};
use crate::frame::ShardFrame;
use crate::id::PeerId;
use crate::placement::keeper_shard;
use crate::subject::{SubjectId, SubjectMap};
use crate::tick::Tick;

/// What a node tells of its users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsersTold {
    /// In which of its rounds.
    pub round: u64,
    /// Some users, and how many connections each has there.
    pub users: Vec<(SubjectId, u32)>,
}

impl UsersTold {
    pub(super) fn put(&self, to: &mut Vec<u8>) {
        let users = &self.users[..self.users.len().min(USERS_IN_NOTICE_MAX)];
        put_varint(to, self.round);
        put_varint(to, users.len() as u64);
        for (user, connections) in users {
            to.extend_from_slice(&user.0.to_be_bytes());
            put_varint(to, (*connections).into());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(UsersTold {
            round: reader.varint()?,
            users: list(reader, USERS_IN_NOTICE_MAX, |reader| {
                let mut user = [0; 16];
                user.copy_from_slice(reader.take(16)?);
                let connections = u32::try_from(reader.varint()?).map_err(|_| WireError::Number)?;
                Ok((SubjectId(u128::from_be_bytes(user)), connections))
            })?,
        })
    }
}

/// Subjects to be seen to, each once.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<SubjectId>,
    queued: SubjectMap<()>,
}

impl Queue {
    fn push(&mut self, user: SubjectId) {
        if self.queued.insert(user, ()).is_none() {
            self.waiting.push_back(user);
        }
    }

    fn retain(&mut self, is_kept: impl Fn(&SubjectId) -> bool) {
        self.waiting.retain(&is_kept);
        self.queued.retain(|user, ()| is_kept(user));
    }

    fn pop(&mut self) -> Option<SubjectId> {
        let user = self.waiting.pop_front()?;
        self.queued.remove(&user);
        Some(user)
    }
}

/// What another node has told of a user.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// The node's incarnation.
    node: u64,
    connections: u32,
    /// In which of its rounds it told this last.
    round: u64,
}

/// The users of this node, and what others have told of theirs.
///
/// Bounded by [`USERS_MAX`]: users beyond it are counted on their node alone.
#[derive(Debug)]
pub(super) struct Users {
    mine: SubjectMap<u32>,
    /// Of mine, what other nodes have to be told.
    untold: Queue,
    round: u64,
    round_began: Tick,
    /// Of mine, who is still to be told again in this round.
    repeated: VecDeque<SubjectId>,
    has_newcomer: bool,
    /// Others have been told of some of mine.
    has_told: bool,
    /// A round has begun in which there is nobody to tell of: that is to be told.
    is_nobody_here: bool,
    others: SubjectMap<Vec<Share>>,
    /// The newest round of each other node.
    rounds: BTreeMap<u64, u64>,
    /// Of others, of whom a shard has to be told.
    changed: Queue,
}

impl Users {
    pub fn new(now: Tick) -> Self {
        Users {
            mine: SubjectMap::default(),
            untold: Queue::default(),
            round: 0,
            round_began: now,
            repeated: VecDeque::new(),
            has_newcomer: false,
            has_told: false,
            is_nobody_here: false,
            others: SubjectMap::default(),
            rounds: BTreeMap::new(),
            changed: Queue::default(),
        }
    }

    /// A user has so many connections here.
    pub fn here(&mut self, user: SubjectId, connections: u32) {
        if connections == 0 {
            if self.mine.remove(&user).is_none() {
                return;
            }
        } else if self.mine.len() < USERS_MAX || self.mine.contains_key(&user) {
            let before = self.mine.insert(user, connections);
            if before == Some(connections) {
                // Somebody was refused: that is nothing to tell all nodes of.
                return;
            }
        } else {
            return;
        }
        self.untold.push(user);
        if self.untold.waiting.len() > USERS_UNTOLD_MAX {
            // In a long outage. Others forget by themselves who is not told again.
            let mine = &self.mine;
            self.untold.retain(|user| mine.contains_key(user));
        }
    }

    /// A node has come that knows nothing. It is told all behind the next announcement: it listens only to nodes that it
    /// knows itself.
    pub fn welcome(&mut self) {
        self.has_newcomer = true;
    }

    /// Others may have forgotten all: they are told again.
    pub fn tell_all(&mut self) {
        for &user in self.mine.keys() {
            self.untold.push(user);
        }
    }

    /// The node has announced itself: goes on with the round, some users each time, or tells a newcomer all.
    pub fn announced(&mut self, now: Tick) {
        if std::mem::take(&mut self.has_newcomer) {
            self.tell_all();
        }
        if !self.untold.waiting.is_empty() {
            // There is too much to be sent: with the number of a later round, others would forget who is not told yet.
            return;
        }
        if self.repeated.is_empty() && now.since(self.round_began) >= USERS_ROUND_MS {
            self.round += 1;
            self.round_began = now;
            self.repeated.extend(self.mine.keys());
            // Others forget who is not told again when they hear of later rounds, of which else nothing would tell.
            self.is_nobody_here = self.mine.is_empty() && self.has_told;
        }
        for _ in 0..USERS_REPEATED_MAX {
            let Some(user) = self.repeated.pop_front() else {
                return;
            };
            self.untold.push(user);
        }
    }

    /// What other nodes have to be told next.
    pub fn poll(&mut self) -> Option<UsersTold> {
        let mut users = Vec::new();
        while users.len() < USERS_IN_NOTICE_MAX
            && let Some(user) = self.untold.pop()
        {
            users.push((user, self.mine.get(&user).copied().unwrap_or(0)));
        }
        self.has_told |= !users.is_empty();
        let is_nobody_here = std::mem::take(&mut self.is_nobody_here);
        let round = self.round;
        (is_nobody_here || !users.is_empty()).then_some(UsersTold { round, users })
    }

    /// Another node has told of its users. Returns how many of them are not followed, because there are too many.
    pub fn told(&mut self, node: u64, told: &UsersTold) -> u64 {
        let before = self.rounds.insert(node, told.round);
        if before.is_some_and(|before| before != told.round) {
            // Of two that are far apart, one was claimed in the node's name: it does not hold for longer than the node's own.
            let rounds = told.round.saturating_sub(1)..=told.round.saturating_add(1);
            self.forget(|share| share.node == node && !rounds.contains(&share.round));
        }
        let mut unfollowed = 0;
        for &(user, connections) in &told.users {
            if self.others.len() >= USERS_MAX && !self.others.contains_key(&user) {
                unfollowed += u64::from(connections > 0);
                continue;
            }
            let shares = self.others.entry(user).or_default();
            let at = shares.iter().position(|share| share.node == node);
            let before = at.map_or(0, |at| shares[at].connections);
            let share = Share {
                node,
                connections,
                round: told.round,
            };
            match at {
                Some(at) if connections == 0 => drop(shares.swap_remove(at)),
                Some(at) => shares[at] = share,
                None if connections > 0 => shares.push(share),
                None => {}
            }
            if shares.is_empty() {
                self.others.remove(&user);
            }
            if before != connections {
                self.changed.push(user);
            }
        }
        unfollowed
    }

    /// Nodes that are gone have no connections any more.
    pub fn keep_only(&mut self, is_there: impl Fn(u64) -> bool) {
        self.rounds.retain(|&node, _| is_there(node));
        self.forget(|share| !is_there(share.node));
    }

    fn forget(&mut self, is_void: impl Fn(&Share) -> bool) {
        let changed = &mut self.changed;
        self.others.retain(|&user, shares| {
            let before = shares.len();
            shares.retain(|share| !is_void(share));
            if shares.len() != before {
                changed.push(user);
            }
            !shares.is_empty()
        });
    }

    /// Connections that a user has on other nodes.
    pub fn elsewhere(&self, user: SubjectId) -> u32 {
        let shares = self.others.get(&user).into_iter().flatten();
        shares.fold(0, |all: u32, share| all.saturating_add(share.connections))
    }

    /// Tells shards of the users that they keep, by `send`, which gives a frame back when the lane is full. When a node has
    /// gone there may be very many: they take some turns.
    pub fn send_frames(
        &mut self,
        shards: usize,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        for _ in 0..self.changed.waiting.len().min(USERS_FRAMES_MAX) {
            let Some(user) = self.changed.pop() else {
                return;
            };
            let connections = self.elsewhere(user);
            let frame = ShardFrame::UserElsewhere { user, connections };
            if send(keeper_shard(user, shards), frame).is_err() {
                self.changed.push(user);
            }
        }
    }

    /// Users with connections here, and users with some on other nodes.
    pub fn len(&self) -> (usize, usize) {
        (self.mine.len(), self.others.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_who_come_and_go_in_an_outage_cost_a_bounded_memory() {
        let mut users = Users::new(Tick(0));
        let stays = SubjectId(u128::MAX);
        users.here(stays, 1);
        for number in 0..2 * USERS_UNTOLD_MAX as u128 {
            users.here(SubjectId(number), 1);
            users.here(SubjectId(number), 0);
            assert!(users.untold.waiting.len() <= USERS_UNTOLD_MAX + 1);
        }
        assert_eq!(users.untold.queued.len(), users.untold.waiting.len());
        assert!(
            users.untold.queued.contains_key(&stays),
            "who is there is told of"
        );
    }

    #[test]
    fn a_round_that_is_claimed_in_a_nodes_name_holds_only_until_the_node_tells_again() {
        let mut users = Users::new(Tick(0));
        let tell = |users: &mut Users, round, told: &[(SubjectId, u32)]| {
            let users_told = told.to_vec();
            users.told(
                7,
                &UsersTold {
                    round,
                    users: users_told,
                },
            );
        };
        let [anna, bert, mallory] = [1, 2, 3].map(SubjectId);
        tell(&mut users, 5, &[(anna, 2), (bert, 1)]);
        tell(&mut users, u64::MAX, &[(mallory, 1_000)]);
        for round in 6..9 {
            tell(&mut users, round, &[(anna, 2)]);
        }
        let elsewhere = [anna, bert, mallory].map(|user| users.elsewhere(user));
        assert_eq!(elsewhere, [2, 0, 0]);
    }
}
