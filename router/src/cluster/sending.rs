//! The sequences of what this node sends, a stream for each room.

use std::collections::VecDeque;

use super::limits::{REPEAT_ROOMS_MAX, REPEATS, SENDING_IDLE_MS, SENDING_ROOMS_MAX};
use super::notice::LastSequence;
use crate::room::{RoomId, RoomMap, RoomName};
use crate::tick::Tick;

/// Where each room's stream stands.
///
/// A room that is forgotten begins with a new generation when it is published to again, so that its first sequence is
/// not taken for one that was there before.
#[derive(Debug)]
pub struct Sending {
    rooms: RoomMap<Stream>,
    rooms_max: usize,
    generations: u64,
    /// All rooms, each once; about the longest unused first.
    idle: VecDeque<RoomId>,
    /// Streams whose last places are to be told, each once, the one that was told longest ago first; and some that are
    /// forgotten.
    untold: VecDeque<(RoomId, u64)>,
}

#[derive(Debug)]
struct Stream {
    name: RoomName,
    generation: u64,
    sequence: u64,
    used: Tick,
    /// How often its last place is still to be told. While it is, the room stands in `untold`.
    repeats: u8,
}

/// The place of one publication in its node's stream into its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which stream.
    pub generation: u64,
    /// From 1.
    pub sequence: u64,
}

impl Default for Sending {
    fn default() -> Self {
        Sending::new(SENDING_ROOMS_MAX)
    }
}

impl Sending {
    /// Follows at most so many rooms.
    pub fn new(rooms_max: usize) -> Self {
        Sending {
            rooms: RoomMap::default(),
            rooms_max: rooms_max.max(1),
            generations: 0,
            idle: VecDeque::new(),
            untold: VecDeque::new(),
        }
    }

    /// The place of a room's next publication.
    pub fn next(&mut self, room: RoomId, name: &RoomName, now: Tick) -> Place {
        if !self.rooms.contains_key(&room) {
            while self.rooms.len() >= self.rooms_max
                && let Some(oldest) = self.idle.pop_front()
            {
                self.rooms.remove(&oldest);
            }
            self.generations += 1;
            self.idle.push_back(room);
        }
        let generation = self.generations;
        let stream = self.rooms.entry(room).or_insert_with(|| Stream {
            name: name.clone(),
            generation,
            sequence: 0,
            used: now,
            repeats: 0,
        });
        stream.sequence += 1;
        stream.used = now;
        let place = Place {
            generation: stream.generation,
            sequence: stream.sequence,
        };
        if std::mem::replace(&mut stream.repeats, REPEATS) == 0 {
            self.untold.push_back((room, place.generation));
            self.leave_out_forgotten();
        }
        place
    }

    /// Where many rooms make room for others, what is to be told fills with those that are no more.
    fn leave_out_forgotten(&mut self) {
        if self.untold.len() > 2 * self.rooms_max {
            let rooms = &self.rooms;
            let is_there = |(room, generation): &(RoomId, u64)| {
                let stream = rooms.get(room);
                stream.is_some_and(|stream| stream.generation == *generation)
            };
            self.untold.retain(is_there);
        }
    }

    /// Forgets what was not used for long, and need not be told any more; a few at a time.
    pub fn tidy(&mut self, now: Tick) {
        for _ in 0..self.idle.len().min(4_096) {
            let Some(room) = self.idle.pop_front() else {
                return;
            };
            match self.rooms.get(&room) {
                Some(stream)
                    if now.since(stream.used) >= SENDING_IDLE_MS && stream.repeats == 0 =>
                {
                    self.rooms.remove(&room);
                }
                Some(_) => self.idle.push_back(room),
                None => {}
            }
        }
    }

    /// The last places of rooms that were published to and that are to be told of, as many as one message holds; the
    /// next call goes on behind them. Empty once `left`, which counts down the rooms of one round, is 0.
    ///
    /// Rooms take turns, and each has its [`REPEATS`] however many there are: with more than a round holds, the rounds
    /// come later, but they come.
    pub fn repeat(&mut self, left: &mut usize) -> Vec<LastSequence> {
        let mut last = Vec::new();
        while last.len() < REPEAT_ROOMS_MAX && *left > 0 {
            let Some((room, generation)) = self.untold.pop_front() else {
                break;
            };
            *left -= 1;
            let stream = self.rooms.get_mut(&room);
            let Some(stream) = stream.filter(|stream| stream.generation == generation) else {
                continue;
            };
            stream.repeats -= 1;
            if stream.repeats > 0 {
                self.untold.push_back((room, generation));
            }
            last.push(LastSequence {
                room: stream.name.clone(),
                generation: stream.generation,
                sequence: stream.sequence,
            });
        }
        last
    }

    /// Streams whose last places are to be told, and at most as many and one that are forgotten.
    pub fn untold(&self) -> usize {
        self.untold.len()
    }

    /// Rooms whose streams are followed.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}
