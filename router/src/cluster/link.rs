//! The cluster link: one node's side of the protocol, as a state machine.

mod closing;
mod leaving;
mod plain;
mod users;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::bucket::Bucket;
use super::bundle::Bundle;
use super::counters::{Counters, LinkDrop, RoomClass};
use super::deliveries::Deliveries;
use super::envelope::{ENVELOPE_BYTES_MAX, Envelope, Source, WireError};
use super::interest::RoomsHere;
use super::limits::{ANNOUNCE_MS, PAUSE_MS, REPEAT_MESSAGES_MAX, REPEAT_ROOMS_MAX};
use super::membership::{Change, Membership};
use super::notice::{Announcement, Notice};
use super::orders::Orders;
use super::outbound::{Message, Outbound, OutboundLimits};
use super::plain::{PlainGate, PlainLimits};
use super::sending::Sending;
use super::streams::Arrival;
use super::subject::{Address, ClusterName, NodeName, Subjects};
use super::users::Users;
use crate::cell::RoomCell;
use crate::frame::ShardFrame;
use crate::id::PeerId;
use crate::order::CloseRequest;
use crate::publication::{PayloadKind, Publication};
use crate::room::{RoomId, RoomKey, RoomName};
use crate::tick::Tick;

/// What a link is told when it is made.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The cluster.
    pub cluster: ClusterName,
    /// This node's name in it.
    pub node: NodeName,
    /// Larger with each start of the node.
    pub incarnation: u64,
    /// Where clients connect to this node.
    pub address: String,
    /// The engine's version.
    pub version: String,
    /// The node's secret for room ids.
    pub room_secret: RoomKey,
    /// What may wait for the broker.
    pub outbound: OutboundLimits,
    /// What plain messages are held to.
    pub plain: PlainLimits,
    /// How many shards the node has.
    pub shards: usize,
}

/// What happens to a link.
#[derive(Debug)]
pub enum Input {
    /// The broker is there, and takes payloads of so many bytes.
    Connected {
        /// Bytes.
        payload_bytes_max: usize,
    },
    /// The broker is gone, or was never there.
    Disconnected,
    /// A frame of a shard: a publication for other nodes, or which rooms have members.
    Frame(ShardFrame),
    /// The broker has sent something.
    Received(Inbound),
    /// How many connections the node has.
    Load {
        /// Open connections.
        connections: u64,
    },
    /// Plain messages are held to this from now on.
    Limit(PlainLimits),
    /// Other nodes are to close connections.
    Close(CloseRequest),
    /// What became of messages that were polled.
    Carried(Carried),
    /// Time has passed.
    Turn,
    /// The node ends: the others are told, after all that it has sent.
    Leave,
}

/// What became of messages that [`ClusterLink::poll_message`] gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Publications that the broker's client has taken.
    pub sent: u64,
    /// Publications that had waited for too long when their turn came.
    pub expired: u64,
    /// Messages of any kind that the client did not take.
    pub failed: u64,
}

/// A message that the broker has sent.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Its subject.
    pub subject: String,
    /// Where its sender waits for an answer.
    pub reply: Option<String>,
    /// What it is.
    pub payload: Bytes,
}

/// Something to listen to at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// What nodes tell of themselves.
    Nodes,
    /// Last sequences.
    Last,
    /// Plain messages; each goes to one of the nodes that share this.
    Publish,
    /// Publications of a bucket's rooms.
    Bucket(Bucket),
}

/// What is to be done. The rest is in [`ClusterLink::poll_message`] and [`ClusterLink::send_frames`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Listen to this. It is said once; a client library that connects again restores it.
    Subscribe(Subscription),
    /// Listen to it no longer.
    Unsubscribe(Subscription),
    /// Another node has come or gone: for the log.
    Changed(Change),
}

/// One node's side of the cluster.
#[derive(Debug)]
pub struct ClusterLink {
    me: Source,
    address: String,
    version: String,
    room_secret: RoomKey,
    subjects: Subjects,
    plain: PlainGate,
    payload_bytes_max: usize,
    is_connected: bool,
    is_leaving: bool,
    connections: u64,
    announced: Tick,
    turned: Tick,
    interrupted: Option<Tick>,
    rooms: RoomsHere,
    sending: Sending,
    membership: Membership,
    outbound: Outbound,
    deliveries: Deliveries,
    orders: Orders,
    users: Users,
    shards: usize,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl ClusterLink {
    /// A link that is not connected yet.
    pub fn new(config: LinkConfig, now: Tick) -> Self {
        let always = [
            Subscription::Nodes,
            Subscription::Last,
            Subscription::Publish,
        ];
        ClusterLink {
            me: Source {
                node: config.node,
                incarnation: config.incarnation,
            },
            address: config.address,
            version: config.version,
            room_secret: config.room_secret,
            subjects: Subjects::new(&config.cluster),
            plain: PlainGate::new(config.plain, config.shards),
            payload_bytes_max: usize::MAX,
            is_connected: false,
            is_leaving: false,
            connections: 0,
            announced: now,
            turned: now,
            interrupted: Some(now),
            rooms: RoomsHere::default(),
            sending: Sending::default(),
            membership: Membership::default(),
            outbound: Outbound::new(config.outbound),
            deliveries: Deliveries::new(),
            orders: Orders::default(),
            users: Users::new(now),
            shards: config.shards,
            outputs: always.map(Output::Subscribe).into(),
            counters: Counters::default(),
        }
    }

    /// The one way in. Drain `poll_output`, `poll_message` and `send_frames` after it.
    pub fn handle(&mut self, now: Tick, input: Input) {
        match input {
            Input::Connected { payload_bytes_max } => self.connected(now, payload_bytes_max),
            Input::Disconnected => self.disconnected(now),
            Input::Frame(ShardFrame::ToCluster { cell, publication }) => {
                self.send(now, cell.room(), cell.name(), &publication);
            }
            Input::Frame(ShardFrame::Members { cell, are_there }) => {
                self.members(now, cell, are_there);
            }
            Input::Frame(ShardFrame::Lease(grant)) => {
                self.plain.lent(now, *grant);
                self.pass_plain(now);
            }
            Input::Frame(ShardFrame::UserHere { user, connections }) => {
                self.users.here(user, connections);
            }
            // Nothing else is for this peer.
            Input::Frame(_) => {}
            Input::Received(inbound) => self.received(now, inbound),
            Input::Load { connections } => self.connections = connections,
            Input::Limit(limits) => self.plain.limit(limits),
            Input::Close(request) => self.give_order(now, request),
            Input::Carried(carried) => {
                self.counters.sent += carried.sent;
                self.counters
                    .dropped(LinkDrop::QueueExpired, carried.expired);
                self.counters.dropped(LinkDrop::SendFailed, carried.failed);
            }
            Input::Turn => self.turn(now),
            Input::Leave => self.leave(now),
        }
    }

    fn connected(&mut self, now: Tick, payload_bytes_max: usize) {
        self.payload_bytes_max = payload_bytes_max;
        if !self.is_connected {
            self.is_connected = true;
            self.interrupted = None;
            self.membership.forgive_silence(now);
            self.outbound.expire(now, &mut self.counters);
            self.users.tell_all();
            self.announce(now);
        }
    }

    fn disconnected(&mut self, now: Tick) {
        if self.is_connected {
            self.is_connected = false;
            self.interrupted = Some(now);
            self.counters.interruptions += 1;
            self.counters.room_interruptions += self.rooms.len() as u64;
            self.outbound.forget_notices();
        }
    }

    fn members(&mut self, now: Tick, cell: Arc<RoomCell>, are_there: bool) {
        if !are_there {
            self.rooms.remove(cell.room(), now);
        } else if let Some(bucket) = self.rooms.add(cell) {
            let bucket = Subscription::Bucket(bucket);
            self.outputs.push_back(Output::Subscribe(bucket));
        }
    }

    /// Sends a publication of this node to the others.
    fn send(&mut self, now: Tick, id: RoomId, name: &RoomName, publication: &Publication) {
        if publication.payload.len() + ENVELOPE_BYTES_MAX > self.payload_bytes_max {
            self.counters.dropped(LinkDrop::TooLarge, 1);
            return;
        }
        let place = self.sending.next(id, name, now);
        let part = (publication.kind, &publication.payload[..]);
        let new = || {
            let subject = self.subjects.room(Bucket::of(name), name);
            Bundle::new((id, subject), &self.me, place, part, now)
        };
        let limits = (now, self.payload_bytes_max);
        self.outbound
            .publish(id, place, part, limits, new, &mut self.counters);
    }

    fn received(&mut self, now: Tick, inbound: Inbound) {
        let address = match self.subjects.address(&inbound.subject) {
            Some(Ok(address)) => address,
            Some(Err(error)) => return self.refuse(now, &inbound, &error),
            None => return self.counters.dropped(LinkDrop::Unreadable, 1),
        };
        let read = match address {
            Address::Room(name) => self.room_received(&name, &inbound.payload, now),
            Address::Publish(name) => {
                self.published(now, name, inbound);
                Ok(())
            }
            Address::Nodes | Address::Last => self.noticed(now, &inbound.payload),
        };
        if let Err(error) = read {
            self.unreadable(error);
        }
    }

    fn unreadable(&mut self, error: WireError) {
        if matches!(error, WireError::Version(_)) {
            self.counters.other_versions += 1;
        }
        self.counters.dropped(LinkDrop::Unreadable, 1);
    }

    fn room_received(
        &mut self,
        name: &RoomName,
        bytes: &Bytes,
        now: Tick,
    ) -> Result<(), WireError> {
        let id = self.room_secret.id(name);
        if self.rooms.get_mut(id).is_none() {
            self.counters.not_for_us += 1;
            return Ok(());
        }
        let envelope = Envelope::decode(bytes)?;
        if envelope.source == self.me {
            self.counters.echoes += 1;
            return Ok(());
        }
        let source = (envelope.source.incarnation, envelope.generation);
        let first = std::iter::once((envelope.kind, envelope.payload));
        for (at, (kind, payload)) in first.chain(envelope.more).enumerate() {
            let sequence = envelope.sequence.saturating_add(at as u64);
            self.arrived(now, id, source, sequence, publication(kind, payload));
        }
        Ok(())
    }

    /// A publication of another node's stream, for a room with members here.
    fn arrived(
        &mut self,
        now: Tick,
        id: RoomId,
        (incarnation, generation): (u64, u64),
        sequence: u64,
        publication: Publication,
    ) {
        let Some(room) = self.rooms.get_mut(id) else {
            return;
        };
        let membership = &self.membership;
        let arrival = room
            .streams
            .arrive(incarnation, generation, sequence, |incarnation| {
                membership.standing(incarnation, now)
            });
        let streams = self.counters.of(RoomClass::Relay);
        match arrival {
            Some(Arrival::Next { missed }) => {
                streams.missed = streams.missed.saturating_add(missed)
            }
            None => self.counters.streams_unfollowed += 1,
            Some(Arrival::Duplicate) => {
                streams.duplicates += 1;
                return self.counters.dropped(LinkDrop::Duplicate, 1);
            }
            Some(Arrival::Late) => {
                streams.reordered += 1;
                return self.counters.dropped(LinkDrop::Late, 1);
            }
        }
        self.counters.received += 1;
        let cell = room.cell.clone();
        self.deliver(now, &cell, publication);
    }

    /// Hands a publication to every shard with members.
    fn deliver(&mut self, now: Tick, cell: &RoomCell, publication: Publication) {
        let audience = cell.audience();
        let publication = Arc::new(publication);
        for shard in PeerId::in_mask(audience.mask & !PeerId::CONTROL.bit()) {
            let frame = ShardFrame::Publish {
                room: cell.room(),
                generation: audience.generation,
                publication: publication.clone(),
            };
            self.deliveries.push(shard, frame, now, &mut self.counters);
        }
    }

    fn noticed(&mut self, now: Tick, bytes: &Bytes) -> Result<(), WireError> {
        let (source, notice) = Notice::decode(bytes)?;
        if source == self.me {
            self.counters.echoes += 1;
            return Ok(());
        }
        let change = match notice {
            Notice::Announcement(told) => self.membership.announced(&self.me, &source, told, now),
            Notice::Leave => self.membership.left(&source, now),
            Notice::Close(order) => {
                self.take_order(&source, order);
                None
            }
            Notice::Users(told) => {
                self.users_told(&source, &told);
                None
            }
            Notice::Last(rooms) => {
                for last in rooms {
                    let id = self.room_secret.id(&last.room);
                    let Some(room) = self.rooms.get_mut(id) else {
                        continue;
                    };
                    let membership = &self.membership;
                    let told = room.streams.told(
                        source.incarnation,
                        last.generation,
                        last.sequence,
                        now,
                        |incarnation| membership.standing(incarnation, now),
                    );
                    // Another node says the numbers, and may say anything.
                    let streams = self.counters.of(RoomClass::Relay);
                    streams.missed = streams.missed.saturating_add(told.missed);
                    streams.overruled += u64::from(told.is_overruled);
                }
                None
            }
        };
        self.changed(change);
        Ok(())
    }

    fn turn(&mut self, now: Tick) {
        // This node itself was not there: what others have said meanwhile is still to be read.
        if now.since(std::mem::replace(&mut self.turned, now)) >= PAUSE_MS {
            self.membership.forgive_silence(now);
        }
        self.outbound.expire(now, &mut self.counters);
        self.deliveries.expire(now, &mut self.counters);
        self.plain.turn(now);
        self.pass_plain(now);
        while let Some(bucket) = self.rooms.poll_abandoned(now) {
            let bucket = Subscription::Bucket(bucket);
            self.outputs.push_back(Output::Unsubscribe(bucket));
        }
        let is_due = now.since(self.announced) >= ANNOUNCE_MS;
        if is_due {
            self.announce(now);
            self.sending.tidy(now);
        }
        self.tell_users(now);
        if is_due {
            self.users.announced(now);
        }
        if self.is_connected {
            while let Some(change) = self.membership.poll_gone(now) {
                self.changed(Some(change));
            }
        }
    }

    /// Says that this node is there, and where its streams stand.
    fn announce(&mut self, now: Tick) {
        self.announced = now;
        if !self.is_connected || self.is_leaving {
            return;
        }
        let announcement = Announcement {
            address: self.address.clone(),
            version: self.version.clone(),
            connections: self.connections,
            rooms: self.rooms.len() as u64,
            time_ms: now.0,
            heard: self.membership.heard(now),
        };
        self.notice(&Notice::Announcement(announcement), now);
        let rooms_max = REPEAT_ROOMS_MAX * REPEAT_MESSAGES_MAX;
        let mut left = self.sending.untold().min(rooms_max);
        while !self.outbound.is_half_full() {
            let last = self.sending.repeat(&mut left);
            if last.is_empty() {
                break;
            }
            let message = Message {
                subject: self.subjects.last(),
                payload: Notice::Last(last).encode(&self.me),
                publications: 0,
            };
            self.outbound.push_behind(message, now);
        }
    }

    /// Tells the other nodes, before all that waits.
    fn notice(&mut self, notice: &Notice, now: Tick) {
        let message = Message {
            subject: self.subjects.nodes(),
            payload: notice.encode(&self.me),
            publications: 0,
        };
        self.outbound.push_notice(message, now);
    }

    /// What else is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next message for other nodes, while the broker is there, and since when it waits: one that is
    /// [overdue](OutboundLimits::is_overdue) when its turn comes is not sent any more. [`Input::Carried`] says what became of it.
    pub fn poll_message(&mut self) -> Option<(Tick, Message)> {
        if !self.is_connected {
            return None;
        }
        self.outbound.pop()
    }

    /// Whether [`poll_message`](Self::poll_message) has one.
    pub fn has_messages(&self) -> bool {
        self.is_connected && !self.outbound.is_empty()
    }

    /// Hands publications of other nodes to the shards, and questions to lenders, by `send`, which gives a frame back when the
    /// lane is full.
    pub fn send_frames(
        &mut self,
        now: Tick,
        mut send: impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        self.plain.send_frames(now, &mut send);
        self.users.send_frames(self.shards, &mut send);
        self.deliveries.send(now, send);
    }

    /// The subject, or the pattern of subjects, of a subscription.
    pub fn subject(&self, subscription: Subscription) -> String {
        match subscription {
            Subscription::Nodes => self.subjects.nodes(),
            Subscription::Last => self.subjects.last(),
            Subscription::Publish => self.subjects.publish_all(),
            Subscription::Bucket(bucket) => self.subjects.bucket(bucket),
        }
    }

    /// This node.
    pub fn me(&self) -> &Source {
        &self.me
    }

    /// Since when the broker is not there; `None` while it is.
    pub fn interrupted(&self) -> Option<Tick> {
        self.interrupted
    }

    /// The other nodes.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The rooms with members here.
    pub fn rooms(&self) -> &RoomsHere {
        &self.rooms
    }

    /// What waits for the broker.
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// What it has counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// A message of another node, or of a client of the broker: nobody here has sent it.
fn publication(kind: PayloadKind, payload: Bytes) -> Publication {
    Publication {
        kind,
        payload,
        exclude: None,
        began: None,
    }
}
