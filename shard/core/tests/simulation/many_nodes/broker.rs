//! A made-up broker: it delays, reorders across connections and subjects, loses, repeats, and is split.

use std::collections::{BTreeMap, HashMap};

use ringmain_core::Tick;
use ringmain_router::cluster::{Inbound, Message};

use crate::Random;

/// A message on its way to one node.
pub struct Parcel {
    /// The life of the node that it is for.
    pub to: u64,
    pub inbound: Inbound,
}

/// A node's connection, as the broker sees it.
pub struct Listener<'a> {
    /// Which life of which node.
    pub life: u64,
    /// On which side of the split it is.
    pub side: bool,
    pub subscriptions: &'a [String],
}

#[derive(Default)]
pub struct Broker {
    /// The longest that a message is on its way.
    pub delay_max: usize,
    /// One in so many is lost on its way to a node; none if 0.
    pub loses_one_in: usize,
    /// One in so many comes a second time; none if 0.
    pub repeats_one_in: usize,
    /// Whether its two sides do not reach each other.
    pub is_split: bool,
    passing: BTreeMap<(Tick, u64), Parcel>,
    /// When the last one of a sender arrives, by subject and receiver: that is the order which NATS keeps.
    last: HashMap<(u64, u64, String), Tick>,
    serial: u64,
}

impl Broker {
    /// One that works.
    pub fn new(delay_max: usize) -> Self {
        Broker {
            delay_max,
            ..Broker::default()
        }
    }

    /// Passes a message on to all that listen, but not back.
    pub fn pass_on(
        &mut self,
        from: (u64, bool),
        message: &Message,
        listeners: &[Listener],
        now: Tick,
        random: &mut Random,
    ) {
        for to in listeners {
            let mut subscriptions = to.subscriptions.iter();
            let wants = subscriptions.any(|pattern| matches(pattern, &message.subject));
            let is_lost = self.loses_one_in > 0 && random.one_in(self.loses_one_in);
            let is_apart = self.is_split && from.1 != to.side;
            if to.life == from.0 || !wants || is_lost || is_apart {
                continue;
            }
            let key = (from.0, to.life, message.subject.clone());
            let last = self.last.entry(key).or_default();
            let at = now.plus(random.below(self.delay_max) as u64).max(*last);
            *last = at;
            self.send(to.life, message, at);
            if self.repeats_one_in > 0 && random.one_in(self.repeats_one_in) {
                self.send(to.life, message, at.plus(random.below(50) as u64));
            }
        }
    }

    /// Sends to one node.
    pub fn send(&mut self, to: u64, message: &Message, at: Tick) {
        self.serial += 1;
        let inbound = Inbound {
            subject: message.subject.clone(),
            reply: None,
            payload: message.payload.clone(),
        };
        let parcel = Parcel { to, inbound };
        self.passing.insert((at, self.serial), parcel);
    }

    /// The next that has arrived.
    pub fn poll(&mut self, now: Tick) -> Option<Parcel> {
        let first = self.passing.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(stem) => subject
            .strip_prefix(stem)
            .is_some_and(|token| !token.contains('.')),
        None => pattern == subject,
    }
}
