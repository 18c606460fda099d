//! What waits for the broker: bounded by bytes and by time.

use std::collections::VecDeque;

use bytes::Bytes;

use super::bundle::Bundle;
use super::counters::{Counters, LinkDrop};
use super::limits::{BUNDLE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES, NOTICES_MAX, REPLIES_MAX};
use super::sending::Place;
use crate::publication::PayloadKind;
use crate::room::RoomId;
use crate::tick::Tick;

/// One message for the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub subject: String,
    /// What it is.
    pub payload: Bytes,
    /// How many publications of a room it carries, which are counted; 0: it is the link's own.
    pub publications: u64,
}

impl Message {
    /// What it counts for in the queue.
    fn bytes(&self) -> usize {
        self.payload.len() + MESSAGE_OVERHEAD_BYTES
    }
}

/// How much may wait, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboundLimits {
    /// Bytes, those around the payloads included; or one larger message.
    pub bytes_max: usize,
    /// Time, in milliseconds.
    pub wait_ms: u64,
}

impl OutboundLimits {
    /// Whether what has waited since then has waited for too long.
    pub fn is_overdue(&self, since: Tick, now: Tick) -> bool {
        now.since(since) >= self.wait_ms
    }
}

/// The queue of one node.
#[derive(Debug)]
pub struct Outbound {
    limits: OutboundLimits,
    waiting: VecDeque<(Tick, Message)>,
    /// The newest, behind these, as long as more may join it.
    open: Option<Bundle>,
    bytes: usize,
    /// Answers to plain messages: small, and as many as others ask for, so they are kept apart from the link's own. They go
    /// the way that the messages come.
    replies: VecDeque<(Tick, Message)>,
    /// The link's own: few, small, and before all others.
    notices: VecDeque<(Tick, Message)>,
}

impl Outbound {
    /// An empty queue.
    pub fn new(limits: OutboundLimits) -> Self {
        Outbound {
            limits,
            waiting: VecDeque::new(),
            open: None,
            bytes: 0,
            replies: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    /// Adds a publication, to those before it if it is their next and they still wait. The oldest make room for it.
    pub(super) fn publish(
        &mut self,
        room: RoomId,
        place: Place,
        part: (PayloadKind, &[u8]),
        (now, bytes_max): (Tick, usize),
        new: impl FnOnce() -> Bundle,
        counters: &mut Counters,
    ) {
        let bytes_max = bytes_max.min(BUNDLE_BYTES_MAX);
        let joined = self
            .open
            .as_mut()
            .filter(|open| open.since == now)
            .and_then(|open| open.append(room, place, part, bytes_max));
        match joined {
            Some(bytes) => self.bytes += bytes,
            None => {
                self.seal();
                let bundle = new();
                self.bytes += bundle.bytes();
                self.open = Some(bundle);
            }
        }
        self.make_room(counters);
    }

    /// Adds a publication that is a message already. The oldest make room for it.
    pub fn push(&mut self, message: Message, now: Tick, counters: &mut Counters) {
        self.push_last(message, now);
        self.make_room(counters);
    }

    fn make_room(&mut self, counters: &mut Counters) {
        // The newest stays: what alone is larger than all that may wait would else never be sent.
        while self.bytes > self.limits.bytes_max
            && self.len() > 1
            && let Some(dropped) = self.drop_oldest()
        {
            counters.dropped(LinkDrop::QueueFull, dropped.publications);
        }
    }

    /// Nothing more joins the newest.
    fn seal(&mut self) {
        if let Some(open) = self.open.take() {
            self.waiting.push_back((open.since, open.into_message()));
        }
    }

    /// Adds a message of the link's own that tells of the publications before it, and so has to stay behind them: a
    /// receiver would take those that still wait for lost. While much waits it is left out.
    pub fn push_behind(&mut self, message: Message, now: Tick) {
        if !self.is_half_full() {
            self.push_last(message, now);
        }
    }

    /// Adds a message of the link's own behind all that waits, however much that is: the one that is the last.
    pub fn push_last(&mut self, message: Message, now: Tick) {
        self.seal();
        self.bytes += message.bytes();
        self.waiting.push_back((now, message));
    }

    /// Adds a message of the link's own. The oldest of these make room for it.
    pub fn push_notice(&mut self, message: Message, now: Tick) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back((now, message));
    }

    /// Adds the answer to a plain message. The oldest of these make room for it.
    pub fn push_reply(&mut self, message: Message, now: Tick, counters: &mut Counters) {
        if self.replies.len() >= REPLIES_MAX {
            self.replies.pop_front();
            counters.dropped(LinkDrop::QueueFull, 1);
        }
        self.replies.push_back((now, message));
    }

    /// The next message to hand to the broker's client, and since when it waits.
    pub fn pop(&mut self) -> Option<(Tick, Message)> {
        let own = self.notices.pop_front();
        own.or_else(|| self.pop_waiting())
    }

    /// The next answer to a plain message, and since when it waits.
    pub fn pop_reply(&mut self) -> Option<(Tick, Message)> {
        self.replies.pop_front()
    }

    /// Whether answers wait.
    pub fn has_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Drops what has waited for too long.
    pub fn expire(&mut self, now: Tick, counters: &mut Counters) {
        self.seal();
        while let Some((since, _)) = self.replies.front()
            && self.limits.is_overdue(*since, now)
        {
            self.replies.pop_front();
            counters.dropped(LinkDrop::QueueExpired, 1);
        }
        while let Some((since, _)) = self.waiting.front()
            && self.limits.is_overdue(*since, now)
            && let Some(dropped) = self.drop_oldest()
        {
            counters.dropped(LinkDrop::QueueExpired, dropped.publications);
        }
    }

    fn drop_oldest(&mut self) -> Option<Message> {
        Some(self.pop_waiting()?.1)
    }

    fn pop_waiting(&mut self) -> Option<(Tick, Message)> {
        if self.waiting.is_empty() {
            self.seal();
        }
        let (since, message) = self.waiting.pop_front()?;
        self.bytes -= message.bytes();
        Some((since, message))
    }

    /// Drops the link's own messages: they are of the moment, and a new connection gets new ones.
    pub fn forget_notices(&mut self) {
        self.notices.clear();
    }

    /// Whether half of what may wait does.
    pub fn is_half_full(&self) -> bool {
        self.bytes > self.limits.bytes_max / 2
    }

    /// Messages with publications that wait, and what tells of them.
    pub fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.open.is_some())
    }

    /// Whether nothing waits for other nodes, the link's own included.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.notices.is_empty()
    }

    /// Bytes of the publications that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
