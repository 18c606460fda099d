//! Joining and leaving rooms, holding them to publish, and telling their homes.

use ringmain_router::frame::{Grant, NameCollision};
use ringmain_router::placement::home_shard;
use ringmain_router::{Generation, Holding, PeerId, RoomId, RoomName, ShardFrame};

use super::{ShardCore, Verdict};
use crate::close::CloseReason;
use crate::connection::{Pause, Stage};
use crate::room::{Room, RoomKey};
use crate::session::Membership;
use crate::tick::Tick;
use crate::{ConnId, SessionId};

impl ShardCore {
    /// Begins a session's join. It is a member, and granted, once the room's home has confirmed that
    /// this shard counts; at once if it counts already.
    pub(super) fn join(&mut self, session: SessionId, name: &RoomName) {
        let Some(key) = self.room_named(name) else {
            return self.refuse_join(session);
        };
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.membership = Some(Membership {
                room: key,
                position: None,
            });
        }
        if room.holding() == Holding::Member && room.interest.cell().is_some() {
            self.confirm_join(key, session);
            return;
        }
        room.waiting.push(session);
        self.update_interest(key);
    }

    /// The room of this name, made if it is not known here; `None` if another room holds its id.
    pub(super) fn room_named(&mut self, name: &RoomName) -> Option<RoomKey> {
        let id = self.room_secret.id(name);
        match self.room_index.get(&id) {
            Some(&key) => {
                let room = self.rooms.get(key)?;
                (room.name == *name).then_some(key)
            }
            None => {
                let home = home_shard(id, self.shards);
                let settings = *self.room_policies.of(name);
                let room = Room::new(id, name.clone(), home, settings);
                let key = self.rooms.insert(room);
                self.room_index.insert(id, key);
                Some(key)
            }
        }
    }

    fn confirm_join(&mut self, key: RoomKey, session: SessionId) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let position = Some(room.members.join(session.index));
        entry.membership = Some(Membership {
            room: key,
            position,
        });
        let conn = entry.conn;
        self.members += 1;
        self.grant(conn, Verdict::Granted);
    }

    fn refuse_join(&mut self, session: SessionId) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        entry.membership = None;
        let conn = entry.conn;
        self.grant(conn, Verdict::NameCollision);
    }

    /// Takes a session out of its room at once: nothing of the room follows.
    pub(super) fn leave(&mut self, session: SessionId) {
        let Some(entry) = self.sessions.get_mut(session) else {
            return;
        };
        let Some(Membership {
            room: key,
            position,
        }) = entry.membership.take()
        else {
            return;
        };
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        match position {
            None => room.waiting.retain(|&waiting| waiting != session),
            Some(position) => {
                self.members -= 1;
                if !room.fan_outs.is_empty() {
                    room.members.leave_hole(position);
                } else if let Some(moved) = room.members.leave(position)
                    && let Some((_, entry)) = self.sessions.at_mut(moved.session)
                {
                    entry.membership = Some(Membership {
                        room: key,
                        position: Some(moved.position),
                    });
                }
            }
        }
        self.update_interest(key);
    }

    /// Notes what the shard wants of a room now; home is told at the end of the turn.
    pub(super) fn update_interest(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let holding = room.holding();
        if room.interest.want(holding, &mut self.generations) {
            self.untold.push_back(key);
        }
    }

    /// Takes home's answer: all who wait are members from here on, or are refused; then those publish who wait to.
    pub(super) fn answered(
        &mut self,
        now: Tick,
        id: RoomId,
        generation: Generation,
        answer: Result<Grant, NameCollision>,
    ) {
        let Some(&key) = self.room_index.get(&id) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let Some(answer) = room.interest.answered(generation, answer) else {
            return;
        };
        let waiting = std::mem::take(&mut room.waiting);
        let publishers = std::mem::take(&mut room.publishers);
        for session in waiting {
            match answer {
                Ok(()) => self.confirm_join(key, session),
                Err(NameCollision) => self.refuse_join(session),
            }
        }
        for conn in publishers {
            match answer {
                Ok(()) => self.publish_post(now, conn),
                Err(NameCollision) => self.answer_post(now, conn, Verdict::NameCollision),
            }
        }
        self.update_interest(key);
    }

    /// Tells homes what has changed, as far as their lanes take it.
    pub(super) fn tell_interest(
        &mut self,
        now: Tick,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        for _ in 0..self.untold.len() {
            let Some(key) = self.untold.pop_front() else {
                break;
            };
            let Some(room) = self.rooms.get_mut(key) else {
                continue;
            };
            let Some((generation, holding)) = room.interest.untold() else {
                continue;
            };
            let (id, name, home) = (room.id, room.name.clone(), room.home);
            if home == self.me {
                room.interest.told();
                self.home.interest(id, &name, home, generation, holding);
            } else {
                let frame = ShardFrame::Interest {
                    room: id,
                    name,
                    from: self.me,
                    generation,
                    holding,
                };
                if send(home, frame).is_err() {
                    self.untold.push_back(key);
                    continue;
                }
                room.interest.told();
                self.stats.mesh_control_frames_out.add(1);
            }
            self.forget_if_released(key);
        }
        self.answer_interest(now, send);
        let stats = &self.stats;
        let mut tell = |to, frame| {
            send(to, frame)?;
            stats.mesh_control_frames_out.add(1);
            Ok(())
        };
        while self.home.poll_members(&mut tell) {}
    }

    /// Sends the answers that are due to other shards, and takes those that are due here.
    fn answer_interest(
        &mut self,
        now: Tick,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        let me = self.me;
        loop {
            let mut own = None;
            let stats = &self.stats;
            let taken = self.home.poll_answer(|to, frame| {
                if to == me {
                    own = Some(frame);
                    return Ok(());
                }
                send(to, frame)?;
                stats.mesh_control_frames_out.add(1);
                Ok(())
            });
            if let Some(ShardFrame::Answer {
                room,
                generation,
                answer,
            }) = own
            {
                self.answered(now, room, generation, answer);
            }
            if !taken {
                return;
            }
        }
    }

    fn forget_if_released(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        if room.interest.is_released() && room.holding() == Holding::Nothing {
            let id = room.id;
            // Fan-outs that are left have no member to go to; a scheduled entry finds nothing.
            let paused = self
                .rooms
                .remove(key)
                .map(|room| room.paused)
                .unwrap_or_default();
            self.room_index.remove(&id);
            debug_assert!(paused.iter().all(|&conn| !self.is_member_of(conn, key)));
        }
    }

    fn is_member_of(&self, conn: ConnId, key: RoomKey) -> bool {
        let session = self
            .connections
            .get(conn)
            .and_then(|connection| connection.session);
        let entry = session.and_then(|session| self.sessions.get(session));
        entry.is_some_and(|entry| {
            entry
                .membership
                .is_some_and(|membership| membership.room == key)
        })
    }

    /// Answers an upgrade.
    pub(super) fn grant(&mut self, conn: ConnId, verdict: Verdict) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage == Stage::Open {
            // It came with its token, and nobody waits for a verdict.
            if verdict == Verdict::Granted {
                return self.unpause(conn, Pause::Admission);
            }
            let (now, reason) = (self.now, CloseReason::RoomRefused);
            return self.close(now, conn, reason, reason.entry().text);
        }
        if verdict == Verdict::Granted {
            // Not `enter`: the handshake's deadline runs from the accept.
            connection.stage = Stage::Granted;
        } else {
            connection.reason = Some(CloseReason::RoomRefused);
            connection.stage = Stage::Http;
        }
        self.verdicts.push_back((conn, verdict));
    }
}
