//! Rates of the whole node: of rooms, and of addresses that publish by HTTP.

use std::collections::VecDeque;

use ringmain_router::lease::{LeaseGrant, LeaseRequest, Rated, RatedMap};
use ringmain_router::{PeerId, ShardFrame, SubjectId};

use super::ShardCore;
use super::paces::Alarm;
use crate::connection::{Connection, Pause};
use crate::dialect::DialectState;
use crate::gcra::Rate;
use crate::lease::{Gate, Lease};
use crate::lender::Lender;
use crate::limits::LEASE_MS;
use crate::rates::{RateAction, RateLimit};
use crate::room::RoomKey;
use crate::table::Table;
use crate::tick::Tick;
use crate::{ConnId, SessionId};

/// A shard's leases, and the limiters that it has.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: RatedMap<Held>,
    /// Those whose lender, another shard, has to be told; each stands here once.
    untold: VecDeque<Rated>,
    lender: Lender,
    /// Answers to other shards: at most one for each of them and each lease.
    due: VecDeque<(PeerId, ShardFrame)>,
    /// Messages that have passed, of all leases.
    passed: u64,
}

/// A connection's turn at a gate, and how many messages had passed when it came.
pub(super) struct Turn {
    of: Rated,
    passed: u64,
}

#[derive(Debug)]
struct Held {
    lease: Lease<ConnId>,
    rate: Rate,
}

impl ShardCore {
    /// The largest portion of a rate that a shard has at a time: what all of them have together is a small part of a second's.
    fn portion(&self, rate: Rate) -> u64 {
        rate.in_ms(LEASE_MS) / self.shards as u64
    }

    /// Whether a message may pass. If that is not known the lender is asked, and whoever waits will be told.
    fn gate(&mut self, now: Tick, of: Rated, rate: Rate) -> Gate {
        let held = self.leases.held.entry(of).or_insert_with(|| Held {
            lease: Lease::default(),
            rate,
        });
        held.rate = rate;
        let gate = held.lease.gate(now);
        if gate != Gate::Unknown || of.lender(self.shards) != self.me {
            return gate;
        }
        // The limiter is here: one by one, without a lease.
        let lent = self.lend(now, of, rate, 1, 0);
        let Some(held) = self.leases.held.get_mut(&of) else {
            return gate;
        };
        let at = held
            .lease
            .answered(now, lent.unwrap_or(0), lent.err().unwrap_or(0));
        self.look_at(of, at);
        self.leases
            .held
            .get(&of)
            .map_or(gate, |held| held.lease.gate(now))
    }

    fn lend(
        &mut self,
        now: Tick,
        of: Rated,
        rate: Rate,
        wanted: u64,
        unused: u64,
    ) -> Result<u64, u64> {
        let Rated::Address(subject) = of else {
            return self.leases.lender.lend(now, of, rate, wanted, unused);
        };
        match self.quotas.blocks.blocked_ms(now, subject) {
            blocked_ms if blocked_ms > 0 && self.limits.block.is_some() => Err(blocked_ms),
            _ => self.leases.lender.lend(now, of, rate, wanted, unused),
        }
    }

    fn passed(&mut self, of: Rated) {
        if let Some(held) = self.leases.held.get_mut(&of) {
            held.lease.pass();
            self.leases.passed += 1;
        }
    }

    /// Lets a connection wait until a gate is open; or, if it is hasty, until it is known whether it is.
    pub(super) fn wait_at_gate(&mut self, now: Tick, of: Rated, conn: ConnId, is_hasty: bool) {
        let Some(held) = self.leases.held.get_mut(&of) else {
            return;
        };
        held.lease.wait(conn, is_hasty);
        if let Gate::Closed(until) = held.lease.gate(now) {
            self.look_at(of, until);
        }
        self.tell_lender(now, of);
    }

    /// Tells a lender what has to be told, with the next frames.
    fn tell_lender(&mut self, now: Tick, of: Rated) {
        let Some(held) = self.leases.held.get(&of) else {
            return;
        };
        let portion = self.portion(held.rate);
        let Some(question) = held.lease.untold(now, portion) else {
            return;
        };
        let rate = held.rate;
        if of.lender(self.shards) == self.me {
            let lent = self.lend(now, of, rate, question.wanted, question.unused);
            if let Some(held) = self.leases.held.get_mut(&of) {
                held.lease.told(question, portion);
            }
            if question.wanted > 0 {
                self.take_lease(now, answer(of, lent));
            }
            return;
        }
        if let Some(held) = self.leases.held.get_mut(&of)
            && !std::mem::replace(&mut held.lease.is_queued, true)
        {
            self.leases.untold.push_back(of);
        }
    }

    fn look_at(&mut self, of: Rated, at: Tick) {
        if let Some(held) = self.leases.held.get_mut(&of)
            && held.lease.alarm.is_none_or(|set| at < set)
        {
            held.lease.alarm = Some(at);
            self.alarms.set(at, Alarm::Lease(of));
        }
    }

    /// A lease's time may be over, or a closed time.
    pub(super) fn lease_alarm(&mut self, now: Tick, of: Rated) {
        let Some(held) = self.leases.held.get_mut(&of) else {
            return;
        };
        // One that was set for later, before this, has nothing to see to: it would set another, and they would multiply.
        if held.lease.alarm.is_none_or(|at| at > now) {
            return;
        }
        held.lease.alarm = None;
        if let Some(at) = held.lease.end(now) {
            self.look_at(of, at);
        }
        self.wake_at_gate(now, of);
        self.tell_lender(now, of);
        if let Some(held) = self.leases.held.get(&of)
            && let Gate::Closed(until) = held.lease.gate(now)
        {
            self.look_at(of, until);
        }
        self.forget_idle_lease(now, of);
    }

    /// The rates have changed: whoever waits looks again, and by the new ones.
    pub(super) fn wake_at_all_gates(&mut self) {
        let leases = self.leases.held.values_mut();
        let waiting: Vec<ConnId> = leases.flat_map(|held| held.lease.wake_all()).collect();
        for conn in waiting {
            self.unpause(conn, Pause::Lease);
        }
    }

    fn forget_idle_lease(&mut self, now: Tick, of: Rated) {
        if (self.leases.held.get(&of)).is_some_and(|held| held.lease.is_idle(now)) {
            self.leases.held.remove(&of);
        }
    }

    /// Lets those go on for whom there is something to see.
    fn wake_at_gate(&mut self, now: Tick, of: Rated) {
        self.wake_some_at_gate(u64::MAX, now, of);
    }

    fn wake_some_at_gate(&mut self, most: u64, now: Tick, of: Rated) {
        let (connections, resumed) = (&self.connections, &mut self.resumed);
        if let Some(held) = self.leases.held.get_mut(&of) {
            held.lease.wake_up_to(most, now, |conn| {
                let waits = waits_at_gate(connections, conn);
                if waits {
                    resumed.push_back(conn);
                }
                waits
            });
        }
    }

    /// What a connection waits for that is read again: its turn at its room's gate, if it is that.
    pub(super) fn turn_at_gate(&self, session: Option<SessionId>, pause: Pause) -> Option<Turn> {
        let session = session.filter(|_| pause == Pause::Lease)?;
        let (of, _) = self.room_of(session).and_then(|key| self.room_rate(key))?;
        Some(Turn {
            of,
            passed: self.leases.passed,
        })
    }

    /// A turn is over. If no message has passed in it, it is the next one's.
    pub(super) fn end_turn_at_gate(&mut self, now: Tick, turn: Turn) {
        if turn.passed == self.leases.passed {
            self.wake_some_at_gate(1, now, turn.of);
        }
    }

    /// A connection that waited for its room's rate does so no more: it ends.
    pub(super) fn leave_gate(&mut self, session: SessionId) {
        let rated = self.room_of(session).and_then(|key| self.room_rate(key));
        let connections = &self.connections;
        if let Some((of, _)) = rated
            && let Some(held) = self.leases.held.get_mut(&of)
        {
            held.lease.leave(|conn| waits_at_gate(connections, *conn));
        }
    }

    fn take_lease(&mut self, now: Tick, grant: LeaseGrant) {
        let Some(held) = self.leases.held.get_mut(&grant.of) else {
            return;
        };
        let at = held.lease.answered(now, grant.messages, grant.wait_ms);
        self.look_at(grant.of, at);
        self.wake_at_gate(now, grant.of);
    }

    /// The lender's answer.
    pub(super) fn leased(&mut self, now: Tick, grant: LeaseGrant) {
        self.take_lease(now, grant);
        self.tell_lender(now, grant.of);
    }

    /// Another shard wants to let messages through.
    pub(super) fn lease_wanted(&mut self, now: Tick, request: LeaseRequest) {
        let rate = Rate::new(request.terms.per_second, request.terms.burst);
        let lent = self.lend(now, request.of, rate, request.wanted, request.unused);
        if request.wanted > 0 {
            let frame = ShardFrame::Lease(Box::new(answer(request.of, lent)));
            self.leases.due.push_back((request.from, frame));
        }
    }

    /// Tells lenders, and answers as one, as far as lanes take it.
    pub(super) fn tell_leases(
        &mut self,
        now: Tick,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        let mut sent = 0;
        for _ in 0..self.leases.due.len() {
            let Some((to, frame)) = self.leases.due.pop_front() else {
                break;
            };
            match send(to, frame) {
                Ok(()) => sent += 1,
                Err(frame) => self.leases.due.push_back((to, frame)),
            }
        }
        for _ in 0..self.leases.untold.len() {
            let Some(of) = self.leases.untold.pop_front() else {
                break;
            };
            let (from, shards) = (self.me, self.shards as u64);
            let Some(Held { lease, rate }) = self.leases.held.get_mut(&of) else {
                continue;
            };
            lease.is_queued = false;
            let portion = rate.in_ms(LEASE_MS) / shards;
            let Some(question) = lease.untold(now, portion) else {
                continue;
            };
            let request = LeaseRequest {
                of,
                from,
                terms: rate.terms(),
                wanted: question.wanted,
                unused: question.unused,
            };
            let frame = ShardFrame::LeaseWanted(Box::new(request));
            if send(of.lender(self.shards), frame).is_err() {
                lease.is_queued = true;
                self.leases.untold.push_back(of);
                continue;
            }
            lease.told(question, portion);
            sent += 1;
            self.forget_idle_lease(now, of);
        }
        self.stats.mesh_control_frames_out.add(sent);
    }

    /// The rate of a room, if it has one.
    fn room_rate(&self, key: RoomKey) -> Option<(Rated, Rate)> {
        let room = self.rooms.get(key)?;
        Some((Rated::Room(room.id), room.settings.message_rate?))
    }

    /// The room that a session's messages go to, if they do.
    fn room_of(&self, session: SessionId) -> Option<RoomKey> {
        let session = self.sessions.get(session)?;
        match session.dialect {
            DialectState::Raw(raw) if raw.publishes => Some(session.membership?.room),
            _ => None,
        }
    }

    /// Whether the next message of a session has to wait, because of its room's rate.
    pub(super) fn must_wait_at_gate(&mut self, now: Tick, session: SessionId) -> bool {
        let rated = self.room_of(session).and_then(|key| self.room_rate(key));
        let Some((of, rate)) = rated else {
            return false;
        };
        match self.gate(now, of, rate) {
            Gate::Open => false,
            Gate::Unknown => true,
            Gate::Closed(_) if self.limits.rate_action == RateAction::Refuse => {
                self.exceeded(RateLimit::RoomMessages);
                true
            }
            Gate::Closed(_) => false,
        }
    }

    /// Lets a connection wait for its room's rate.
    pub(super) fn wait_for_room(&mut self, conn: ConnId, session: SessionId) {
        let rated = self.room_of(session).and_then(|key| self.room_rate(key));
        let is_hasty = self.limits.rate_action != RateAction::Refuse;
        match rated {
            Some((of, _)) => self.wait_at_gate(self.now, of, conn, is_hasty),
            // The rate is gone meanwhile.
            None => self.unpause(conn, Pause::Lease),
        }
    }

    /// Lets a message of a session pass to its room. Returns whether the room's rate does.
    pub(super) fn pass_gate(&mut self, now: Tick, session: SessionId) -> bool {
        let rated = self.room_of(session).and_then(|key| self.room_rate(key));
        let Some((of, rate)) = rated else {
            return true;
        };
        if self.gate(now, of, rate) == Gate::Open {
            self.passed(of);
            return true;
        }
        self.exceeded(RateLimit::RoomMessages);
        false
    }

    /// Whether a message that came by HTTP may pass, by its address and its room. Each is paid once.
    pub(super) fn post_gate(
        &mut self,
        now: Tick,
        key: RoomKey,
        address: Option<SubjectId>,
        has_paid: &mut bool,
    ) -> PostGate {
        if let Some(address) = address.filter(|_| !*has_paid)
            && let Some(rate) = self.limits.address_gate()
        {
            let of = Rated::Address(address);
            match self.gate(now, of, rate) {
                Gate::Open => self.passed(of),
                Gate::Unknown => return PostGate::Waits(of),
                Gate::Closed(until) => {
                    return PostGate::Closed(RateLimit::AddressMessages, until.since(now));
                }
            }
            *has_paid = true;
        }
        let Some((of, rate)) = self.room_rate(key) else {
            return PostGate::Open;
        };
        match self.gate(now, of, rate) {
            Gate::Open => {
                self.passed(of);
                PostGate::Open
            }
            Gate::Unknown => PostGate::Waits(of),
            Gate::Closed(until) => PostGate::Closed(RateLimit::RoomMessages, until.since(now)),
        }
    }

    /// Connections that wait for a rate of the whole node.
    pub fn waiting_at_gates(&self) -> usize {
        let leases = self.leases.held.values();
        leases.map(|held| held.lease.waiting()).sum()
    }

    /// Leases that are held, and limiters that are remembered.
    pub fn leases(&self) -> (usize, usize) {
        (self.leases.held.len(), self.leases.lender.len())
    }
}

fn waits_at_gate(connections: &Table<Connection>, conn: ConnId) -> bool {
    (connections.get(conn)).is_some_and(|connection| connection.pause == Some(Pause::Lease))
}

/// What a message that came by HTTP may do.
pub(super) enum PostGate {
    Open,
    /// Wait for this.
    Waits(Rated),
    /// Not pass, for so many milliseconds.
    Closed(RateLimit, u64),
}

/// What a lender's word, so many messages or so many milliseconds to wait, says to who asked.
fn answer(of: Rated, lent: Result<u64, u64>) -> LeaseGrant {
    LeaseGrant {
        of,
        messages: lent.unwrap_or(0),
        wait_ms: lent.err().unwrap_or(0),
    }
}
