//! Messages that this shard may let through of what is rated for the whole node.

use std::collections::VecDeque;

use crate::tick::Tick;

/// How long a peer keeps messages that it was lent for the whole node's rate, before it gives back what is left. Also: how
/// much of a second's messages all peers may have at a time.
pub const LEASE_MS: u64 = 50;
/// After so long a peer asks again whose rate was used up: the rate may have changed.
pub const LEASE_WAIT_MS: u64 = 1_000;

/// What the next message may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Pass.
    Open,
    /// Not pass: the rate is used up until then.
    Closed(Tick),
    /// Wait until the lender has said.
    Unknown,
}

/// One shard's lease of one rate, and who waits for it. Given back when it is not used up soon.
#[derive(Debug)]
pub struct Lease<W> {
    messages: u64,
    /// When what is left is given back.
    ends: Tick,
    closed_until: Tick,
    /// How many messages the next question asks for, at least.
    portion: u64,
    unused: u64,
    is_asking: bool,
    /// Those who want to know, in any case.
    hasty: VecDeque<W>,
    /// Those who wait until they may pass.
    patient: VecDeque<W>,
    /// How many of those who wait are gone, at most.
    gone: usize,
    /// It stands in a queue of those whose lender has to be told.
    pub is_queued: bool,
    /// When it will be looked at.
    pub alarm: Option<Tick>,
}

/// What the lender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// How many more messages are wanted; with none it is no question.
    pub wanted: u64,
    /// How many of those that it had are given back.
    pub unused: u64,
}

impl<W> Default for Lease<W> {
    fn default() -> Self {
        Lease {
            messages: 0,
            ends: Tick(0),
            closed_until: Tick(0),
            portion: 1,
            unused: 0,
            is_asking: false,
            hasty: VecDeque::new(),
            patient: VecDeque::new(),
            gone: 0,
            is_queued: false,
            alarm: None,
        }
    }
}

impl<W> Lease<W> {
    /// What the next message may do now.
    pub fn gate(&self, now: Tick) -> Gate {
        match () {
            () if self.messages > 0 => Gate::Open,
            () if now < self.closed_until => Gate::Closed(self.closed_until),
            () => Gate::Unknown,
        }
    }

    /// A message has passed.
    pub fn pass(&mut self) {
        self.messages = self.messages.saturating_sub(1);
    }

    /// Lets somebody wait until it may pass; or, if it is hasty, only until the lender has said whether it may.
    pub fn wait(&mut self, who: W, is_hasty: bool) {
        if is_hasty {
            self.hasty.push_back(who);
        } else {
            self.patient.push_back(who);
        }
    }

    /// Who is to look again: as many as may pass, and the hasty if it is known that nobody may.
    pub fn wake(&mut self, now: Tick) -> Vec<W> {
        let mut woken = Vec::new();
        self.wake_up_to(u64::MAX, now, |who| {
            woken.push(who);
            true
        });
        woken
    }

    /// The same, and no more than so many of those who may pass. `goes_on` is told each, and says whether it is still there:
    /// who is gone takes nobody's place.
    pub fn wake_up_to(&mut self, most: u64, now: Tick, mut goes_on: impl FnMut(W) -> bool) {
        match self.gate(now) {
            Gate::Unknown => {}
            Gate::Closed(_) => {
                for who in self.hasty.drain(..) {
                    goes_on(who);
                }
            }
            Gate::Open => {
                let mut places = self.messages.min(most);
                while places > 0
                    && let Some(who) = self.hasty.pop_front().or_else(|| self.patient.pop_front())
                {
                    places -= u64::from(goes_on(who));
                }
            }
        }
    }

    /// One of those who wait is gone. They are forgotten once they may be half of all; `waits` tells who still waits.
    pub fn leave(&mut self, mut waits: impl FnMut(&W) -> bool) {
        self.gone += 1;
        if 2 * self.gone >= self.waiting() {
            self.gone = 0;
            self.hasty.retain(&mut waits);
            self.patient.retain(&mut waits);
        }
    }

    /// Everybody who waits.
    pub fn wake_all(&mut self) -> Vec<W> {
        self.hasty.drain(..).chain(self.patient.drain(..)).collect()
    }

    /// How many wait. Among them may be some who are gone.
    pub fn waiting(&self) -> usize {
        self.hasty.len() + self.patient.len()
    }

    /// Whether the lender has to be told something now. `most` is the largest portion.
    pub fn untold(&self, now: Tick, most: u64) -> Option<Question> {
        let wants = self.waiting() > 0 && self.gate(now) == Gate::Unknown;
        if self.is_asking || !wants && self.unused == 0 {
            return None;
        }
        let portion = self.portion.max(self.waiting() as u64);
        Some(Question {
            wanted: if wants {
                portion.clamp(1, most.max(1))
            } else {
                0
            },
            unused: self.unused,
        })
    }

    /// The lender was told so.
    pub fn told(&mut self, question: Question, most: u64) {
        self.unused = 0;
        self.is_asking = question.wanted > 0;
        if self.is_asking {
            // What was used up before its end was too little; what is left over at its end was too much.
            self.portion = (2 * self.portion).min(most.max(1));
        }
    }

    /// The lender's answer: so many messages, or none for so long. Returns when to look again.
    pub fn answered(&mut self, now: Tick, messages: u64, wait_ms: u64) -> Tick {
        self.is_asking = false;
        if messages > 0 {
            self.messages += messages;
            self.ends = now.plus(LEASE_MS);
            return self.ends;
        }
        self.closed_until = now.plus(wait_ms.clamp(1, LEASE_WAIT_MS));
        self.closed_until
    }

    /// Gives back what was not used in time. Returns when to look again, if there is a reason.
    pub fn end(&mut self, now: Tick) -> Option<Tick> {
        if self.messages == 0 {
            return None;
        }
        if now < self.ends {
            return Some(self.ends);
        }
        self.unused += std::mem::take(&mut self.messages);
        self.portion = 1;
        None
    }

    /// Whether it says nothing any more: it may be forgotten.
    pub fn is_idle(&self, now: Tick) -> bool {
        self.messages == 0
            && self.unused == 0
            && !self.is_asking
            && !self.is_queued
            && self.waiting() == 0
            && self.closed_until <= now
    }
}
