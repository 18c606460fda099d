//! The rooms that have their home on one shard.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::cell::RoomCell;
use crate::frame::{Grant, Holding, NameCollision, ShardFrame};
use crate::id::{Generation, PeerId};
use crate::members_told::MembersTold;
use crate::room::{RoomId, RoomMap, RoomName};

/// Holds each room's cell and who holds it, and answers interest.
///
/// Bounded by what shards hold: a room is here only while some shard has members of it or publishes to it, and at most
/// one answer a room and shard is due. (A refusal is queued for each colliding name, which takes two
/// names with one 128-bit hash under a secret key.)
#[derive(Debug)]
pub struct HomeTable {
    me: PeerId,
    rooms: RoomMap<HomeRoom>,
    due: VecDeque<(PeerId, RoomId)>,
    /// What stands in `due`, so that shards that come and go cannot fill it.
    queued: HashSet<(PeerId, RoomId)>,
    refused: VecDeque<(PeerId, RoomId, Generation)>,
    /// Over all rooms, so that a room that is freed and born again does not repeat one.
    cell_generations: Generation,
    /// What the link to other nodes knows, where there is one.
    link: Option<MembersTold>,
}

#[derive(Debug)]
struct HomeRoom {
    cell: Arc<RoomCell>,
    holders: Vec<Holder>,
}

#[derive(Debug)]
struct Holder {
    shard: PeerId,
    generation: Generation,
    since: Generation,
    answer_due: bool,
}

impl HomeTable {
    /// An empty table of the shard `me`.
    pub fn new(me: PeerId) -> Self {
        HomeTable {
            me,
            rooms: RoomMap::default(),
            due: VecDeque::new(),
            queued: HashSet::new(),
            refused: VecDeque::new(),
            cell_generations: Generation::default(),
            link: None,
        }
    }

    /// The table of a shard whose node is linked to others: every publication goes to the control plane too, which is
    /// told by [`poll_members`](Self::poll_members) which rooms have members here.
    pub fn linked(me: PeerId) -> Self {
        HomeTable {
            link: Some(MembersTold::default()),
            ..HomeTable::new(me)
        }
    }

    /// Takes a shard's newest state. What asks to hold the room is answered by
    /// [`poll_answer`](Self::poll_answer), after a member's bit is set.
    pub fn interest(
        &mut self,
        room: RoomId,
        name: &RoomName,
        from: PeerId,
        generation: Generation,
        holding: Holding,
    ) {
        match holding {
            Holding::Nothing => self.release(room, name, from, generation),
            Holding::Publisher => self.hold(room, name, from, generation, false),
            Holding::Member => self.hold(room, name, from, generation, true),
        }
    }

    fn hold(
        &mut self,
        room: RoomId,
        name: &RoomName,
        from: PeerId,
        generation: Generation,
        is_member: bool,
    ) {
        let me = self.me;
        let always = match self.link {
            Some(_) => PeerId::CONTROL.bit(),
            None => 0,
        };
        let entry = self.rooms.entry(room).or_insert_with(|| HomeRoom {
            cell: Arc::new(RoomCell::new(room, name.clone(), me, always)),
            holders: Vec::new(),
        });
        if entry.cell.name() != name {
            self.refused.push_back((from, room, generation));
            return;
        }
        let at = entry
            .holders
            .iter()
            .position(|h| h.shard == from)
            .unwrap_or_else(|| {
                entry.holders.push(Holder {
                    shard: from,
                    generation,
                    since: Generation::default(),
                    answer_due: false,
                });
                entry.holders.len() - 1
            });
        let holder = &mut entry.holders[at];
        if generation < holder.generation {
            return;
        }
        if is_member {
            holder.since = entry.cell.add(from, &mut self.cell_generations);
        } else {
            entry.cell.remove(from);
        }
        holder.generation = generation;
        holder.answer_due = true;
        if let Some(link) = &mut self.link {
            link.note(room);
        }
        if self.queued.insert((from, room)) {
            self.due.push_back((from, room));
        }
    }

    fn release(&mut self, room: RoomId, name: &RoomName, from: PeerId, generation: Generation) {
        let Some(entry) = self.rooms.get_mut(&room) else {
            return;
        };
        if entry.cell.name() != name {
            return;
        }
        let Some(at) = entry.holders.iter().position(|h| h.shard == from) else {
            return;
        };
        if generation < entry.holders[at].generation {
            return;
        }
        entry.cell.remove(from);
        entry.holders.swap_remove(at);
        if let Some(link) = &mut self.link {
            link.note(room);
        }
        if entry.holders.is_empty() {
            self.rooms.remove(&room);
        }
    }

    /// The next answer that is due, with the shard it goes to, if `send` takes it: `send` gives the
    /// frame back when the lane is full, and the answer stays due. Returns whether one was taken.
    pub fn poll_answer(
        &mut self,
        mut send: impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) -> bool {
        if let Some(&(to, room, generation)) = self.refused.front() {
            let frame = ShardFrame::Answer {
                room,
                generation,
                answer: Err(NameCollision),
            };
            if send(to, frame).is_ok() {
                self.refused.pop_front();
                return true;
            }
            return false;
        }
        // One look at each due answer: a peer whose lane is full must not hold up the others.
        for _ in 0..self.due.len() {
            let Some((to, room)) = self.due.pop_front() else {
                break;
            };
            let holder = self.rooms.get_mut(&room).and_then(|entry| {
                let holder = entry
                    .holders
                    .iter_mut()
                    .find(|h| h.shard == to && h.answer_due)?;
                Some((holder, &entry.cell))
            });
            let Some((holder, cell)) = holder else {
                self.queued.remove(&(to, room));
                continue;
            };
            let grant = Grant {
                cell: cell.clone(),
                since: holder.since,
            };
            let frame = ShardFrame::Answer {
                room,
                generation: holder.generation,
                answer: Ok(grant),
            };
            if send(to, frame).is_ok() {
                holder.answer_due = false;
                self.queued.remove(&(to, room));
                return true;
            }
            self.due.push_back((to, room));
        }
        false
    }

    /// Tells the link to other nodes of the next room that has members now and had none, or the other way round, if
    /// `send` takes it; else it stays due. Returns whether one was taken.
    pub fn poll_members(
        &mut self,
        send: impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) -> bool {
        let rooms = &self.rooms;
        let with_members = |room| {
            let cell = &rooms.get(&room)?.cell;
            cell.has_members().then(|| cell.clone())
        };
        self.link
            .as_mut()
            .is_some_and(|link| link.poll(with_members, send))
    }

    /// Rooms that have their home here.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether no room has its home here.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Whether answers, or what the link is told, wait to be sent.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
            || !self.refused.is_empty()
            || self.link.as_ref().is_some_and(MembersTold::has_due)
    }
}
