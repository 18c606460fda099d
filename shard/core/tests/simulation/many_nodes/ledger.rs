//! What has been sent into each node's streams and what of it has come in: how many losses have to be counted.

use std::collections::{BTreeMap, BTreeSet};

/// A life of a node; its link's incarnation.
pub type Life = u64;

/// The stream of one node into one room, as another node sees it.
#[derive(Default)]
struct Seen {
    first: u64,
    last: u64,
    came: u64,
}

#[derive(Default)]
pub struct Ledger {
    /// Publications that a node's link was given, by room: their last sequence.
    sent: BTreeMap<(Life, String), u64>,
    /// By receiver, room and sender.
    seen: BTreeMap<(Life, String, Life), Seen>,
    /// Rooms with members, as the links know it.
    here: BTreeSet<(Life, String)>,
    /// By receiver, of streams that it follows no longer: what it has missed, at least.
    missed_before: BTreeMap<Life, u64>,
    /// By receiver: all that was of use.
    came: BTreeMap<Life, u64>,
    /// By receiver: what came again or too late.
    stale: BTreeMap<Life, u64>,
    /// Those that have left in order: all that they sent is accounted for.
    left: BTreeSet<Life>,
}

impl Ledger {
    pub fn sent(&mut self, life: Life, room: &str) {
        *self.sent.entry((life, room.to_owned())).or_default() += 1;
    }

    pub fn members(&mut self, life: Life, room: &str, are_there: bool) {
        let key = (life, room.to_owned());
        if are_there {
            self.here.insert(key);
        } else if self.here.remove(&key) {
            let is_of = |(to, of, _): &(Life, String, Life)| *to == life && of == room;
            let over: Vec<_> = self.seen.keys().filter(|key| is_of(key)).cloned().collect();
            for key in over {
                let seen = self.seen.remove(&key).expect("there");
                let missed = seen.last + 1 - seen.first - seen.came;
                *self.missed_before.entry(life).or_default() += missed;
            }
        }
    }

    /// A node has ended in order.
    pub fn left(&mut self, life: Life) {
        self.left.insert(life);
    }

    /// A publication has come in.
    pub fn arrived(&mut self, life: Life, room: &str, from: Life, sequence: u64) {
        if !self.here.contains(&(life, room.to_owned())) {
            return;
        }
        let seen = self.seen.entry((life, room.to_owned(), from)).or_default();
        if seen.first == 0 {
            seen.first = sequence;
        } else if sequence <= seen.last {
            *self.stale.entry(life).or_default() += 1;
            return;
        }
        seen.last = sequence;
        seen.came += 1;
        *self.came.entry(life).or_default() += 1;
    }

    /// How many a node has to have counted as missed, at least and at most. The beginnings of streams are no losses, and
    /// nobody knows what those that are dead have sent last.
    pub fn missed(&self, life: Life, living: &[Life]) -> [u64; 2] {
        let mut least = self.missed_before.get(&life).copied().unwrap_or(0);
        for ((to, room, from), seen) in &self.seen {
            if *to == life {
                let last = match living.contains(from) || self.left.contains(from) {
                    true => self.sent[&(*from, room.clone())],
                    false => seen.last,
                };
                least += last + 1 - seen.first - seen.came;
            }
        }
        let others = self.sent.iter().filter(|((from, _), _)| *from != life);
        let sent: u64 = others.map(|(_, sent)| sent).sum();
        [least, sent - self.came.get(&life).copied().unwrap_or(0)]
    }

    /// What came again or too late.
    pub fn stale(&self, life: Life) -> u64 {
        self.stale.get(&life).copied().unwrap_or(0)
    }
}
