//! Plain messages, which any client of the broker publishes: how large they may be, and how many may pass.
//!
//! Two rates hold: the node's for all of them, whose limiter is here, and their room's, whose limiter is at the room's home. The
//! link is lent messages by it as a shard is, so what comes from the broker and what comes from clients is rated together.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::counters::LinkDrop;
use super::limits::{PLAIN_LEASES_MAX, PLAIN_WAIT_MS, PLAIN_WAITING_BYTES_MAX, PLAIN_WAITING_MAX};
use crate::frame::ShardFrame;
use crate::gcra::{Gcra, Rate};
use crate::id::PeerId;
use crate::lease::held::{Gate, LEASE_MS, Lease};
use crate::lease::{LeaseGrant, LeaseRequest, Rated, RatedMap};
use crate::room::{RoomId, RoomName};
use crate::tick::Tick;

/// Which rate each room has.
pub trait RoomRates: fmt::Debug + Send + Sync {
    /// The rate of what a room takes from all its publishers on this node together.
    fn rate(&self, room: &RoomName) -> Option<Rate>;
}

/// No room has a rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRates;

impl RoomRates for NoRates {
    fn rate(&self, _: &RoomName) -> Option<Rate> {
        None
    }
}

/// What plain messages are held to.
#[derive(Clone, Debug)]
pub struct PlainLimits {
    /// The largest one.
    pub message_bytes_max: usize,
    /// How many this node takes.
    pub rate: Option<Rate>,
    /// How many each room takes.
    pub rooms: Arc<dyn RoomRates>,
}

/// A plain message.
#[derive(Debug)]
pub(super) struct Plain {
    pub room: RoomId,
    pub name: RoomName,
    pub payload: Bytes,
    pub reply: Option<String>,
    since: Tick,
}

impl Plain {
    pub fn new(
        (room, name): (RoomId, RoomName),
        payload: Bytes,
        reply: Option<String>,
        now: Tick,
    ) -> Self {
        Plain {
            room,
            name,
            payload,
            reply,
            since: now,
        }
    }
}

/// Why a plain message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PlainRefusal {
    #[error("the message has {size} bytes; at most {max} are allowed")]
    TooLarge { size: usize, max: usize },
    #[error("this node takes no more messages from NATS at present: try again in {0} ms")]
    NodeRate(u64),
    #[error("the room takes no more messages at present: try again in {0} ms")]
    RoomRate(u64),
    #[error("this node is too busy to look at the room's rate: try again later")]
    RateUnknown,
    #[error("this node ends, and has not looked at the room's rate yet: try again")]
    Ends,
}

impl PlainRefusal {
    /// What it is counted as.
    pub fn drop(self) -> LinkDrop {
        match self {
            PlainRefusal::TooLarge { .. } => LinkDrop::Refused,
            PlainRefusal::NodeRate(_) => LinkDrop::NodeRate,
            PlainRefusal::RoomRate(_) => LinkDrop::RoomRate,
            PlainRefusal::RateUnknown | PlainRefusal::Ends => LinkDrop::RateUnknown,
        }
    }
}

/// Holds plain messages to their limits.
#[derive(Debug)]
pub(super) struct PlainGate {
    limits: PlainLimits,
    shards: usize,
    passed: Gcra,
    leases: RatedMap<Held>,
    /// Those whose lender has to be told; each stands here once.
    untold: VecDeque<Rated>,
    waiting: usize,
    waiting_bytes: usize,
    decided: VecDeque<(Plain, Result<(), PlainRefusal>)>,
}

#[derive(Debug)]
struct Held {
    lease: Lease<Plain>,
    rate: Rate,
    /// Since when the oldest waits, or one before it did.
    oldest: Option<Tick>,
}

impl Held {
    fn portion(&self, shards: usize) -> u64 {
        self.rate.in_ms(LEASE_MS) / shards.max(1) as u64
    }
}

impl PlainGate {
    pub fn new(limits: PlainLimits, shards: usize) -> Self {
        PlainGate {
            limits,
            shards,
            passed: Gcra::default(),
            leases: RatedMap::default(),
            untold: VecDeque::new(),
            waiting: 0,
            waiting_bytes: 0,
            decided: VecDeque::new(),
        }
    }

    pub fn limit(&mut self, limits: PlainLimits) {
        self.limits = limits;
    }

    /// The next message that was decided.
    pub fn poll(&mut self) -> Option<(Plain, Result<(), PlainRefusal>)> {
        self.decided.pop_front()
    }

    /// Takes a message, to be decided now or later.
    pub fn take(&mut self, now: Tick, plain: Plain) {
        match self.look(now, &plain) {
            Ok(None) => self.decided.push_back((plain, Ok(()))),
            Ok(Some(rate)) => self.take_rated(now, plain, rate),
            Err(refusal) => self.decided.push_back((plain, Err(refusal))),
        }
    }

    /// What can be said of a message without its room's lender, and its room's rate.
    fn look(&mut self, now: Tick, plain: &Plain) -> Result<Option<Rate>, PlainRefusal> {
        let (size, max) = (plain.payload.len(), self.limits.message_bytes_max);
        if size > max {
            return Err(PlainRefusal::TooLarge { size, max });
        }
        if let Some(rate) = self.limits.rate
            && !self.passed.take(now, rate, 1)
        {
            return Err(PlainRefusal::NodeRate(self.passed.wait_ms(now, rate, 1)));
        }
        Ok(self.limits.rooms.rate(&plain.name))
    }

    fn take_rated(&mut self, now: Tick, plain: Plain, rate: Rate) {
        let of = Rated::Room(plain.room);
        if self.leases.len() >= PLAIN_LEASES_MAX && !self.leases.contains_key(&of) {
            return self
                .decided
                .push_back((plain, Err(PlainRefusal::RateUnknown)));
        }
        let held = self.leases.entry(of).or_insert_with(|| Held {
            lease: Lease::default(),
            rate,
            oldest: None,
        });
        held.rate = rate;
        match held.lease.gate(now) {
            Gate::Open => {
                held.lease.pass();
                self.decided.push_back((plain, Ok(())));
            }
            Gate::Closed(until) => {
                let refusal = PlainRefusal::RoomRate(until.since(now));
                self.decided.push_back((plain, Err(refusal)));
            }
            Gate::Unknown
                if self.waiting >= PLAIN_WAITING_MAX
                    || self.waiting_bytes + plain.payload.len() > PLAIN_WAITING_BYTES_MAX =>
            {
                self.decided
                    .push_back((plain, Err(PlainRefusal::RateUnknown)));
            }
            Gate::Unknown => {
                held.oldest.get_or_insert(plain.since);
                self.waiting += 1;
                self.waiting_bytes += plain.payload.len();
                held.lease.wait(plain, true);
                self.tell_lender(now, of);
            }
        }
    }

    /// The lender's answer.
    pub fn lent(&mut self, now: Tick, grant: LeaseGrant) {
        let LeaseGrant {
            of,
            messages,
            wait_ms,
        } = grant;
        let Some(held) = self.leases.get_mut(&of) else {
            return;
        };
        held.lease.answered(now, messages, wait_ms);
        for plain in held.lease.wake(now) {
            let verdict = match held.lease.gate(now) {
                Gate::Open => {
                    held.lease.pass();
                    Ok(())
                }
                Gate::Closed(until) => Err(PlainRefusal::RoomRate(until.since(now))),
                Gate::Unknown => Err(PlainRefusal::RateUnknown),
            };
            self.waiting -= 1;
            self.waiting_bytes -= plain.payload.len();
            self.decided.push_back((plain, verdict));
        }
        self.tell_lender(now, of);
    }

    /// Gives back what was not used, and refuses what has waited for too long.
    pub fn turn(&mut self, now: Tick) {
        let leases: Vec<Rated> = self.leases.keys().copied().collect();
        for of in leases {
            self.refuse_overdue(now, of);
            if let Some(held) = self.leases.get_mut(&of) {
                held.lease.end(now);
            }
            self.tell_lender(now, of);
            if (self.leases.get(&of)).is_some_and(|held| held.lease.is_idle(now)) {
                self.leases.remove(&of);
            }
        }
    }

    /// The node ends, and listens to no lender any more.
    pub fn end(&mut self) {
        for held in self.leases.values_mut() {
            for plain in held.lease.wake_all() {
                self.decided.push_back((plain, Err(PlainRefusal::Ends)));
            }
        }
        (self.waiting, self.waiting_bytes) = (0, 0);
    }

    fn refuse_overdue(&mut self, now: Tick, of: Rated) {
        let Some(held) = self.leases.get_mut(&of) else {
            return;
        };
        if held
            .oldest
            .is_none_or(|since| now.since(since) < PLAIN_WAIT_MS)
        {
            return;
        }
        held.oldest = None;
        for plain in held.lease.wake_all() {
            if now.since(plain.since) < PLAIN_WAIT_MS {
                held.oldest.get_or_insert(plain.since);
                held.lease.wait(plain, true);
                continue;
            }
            self.waiting -= 1;
            self.waiting_bytes -= plain.payload.len();
            self.decided
                .push_back((plain, Err(PlainRefusal::RateUnknown)));
        }
    }

    /// Tells a lender what has to be told, with the next frames.
    fn tell_lender(&mut self, now: Tick, of: Rated) {
        let shards = self.shards;
        if let Some(held) = self.leases.get_mut(&of)
            && held.lease.untold(now, held.portion(shards)).is_some()
            && !std::mem::replace(&mut held.lease.is_queued, true)
        {
            self.untold.push_back(of);
        }
    }

    /// Tells lenders, by `send`, which gives a frame back when the lane is full.
    pub fn send_frames(
        &mut self,
        now: Tick,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        for _ in 0..self.untold.len() {
            let Some(of) = self.untold.pop_front() else {
                return;
            };
            let Some(held) = self.leases.get_mut(&of) else {
                continue;
            };
            held.lease.is_queued = false;
            let portion = held.portion(self.shards);
            let Some(question) = held.lease.untold(now, portion) else {
                continue;
            };
            let request = LeaseRequest {
                of,
                from: PeerId::CONTROL,
                terms: held.rate.terms(),
                wanted: question.wanted,
                unused: question.unused,
            };
            let frame = ShardFrame::LeaseWanted(Box::new(request));
            if send(of.lender(self.shards), frame).is_ok() {
                held.lease.told(question, portion);
            } else {
                held.lease.is_queued = true;
                self.untold.push_back(of);
            }
        }
    }
}
