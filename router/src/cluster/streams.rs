//! What has come in of the streams of other nodes into one room: gaps, duplicates and what comes too late.

use std::cmp::Ordering;

use super::limits::{ROOM_STREAMS_MAX, SETTLE_MS};
use super::membership::Standing;
use crate::tick::Tick;

/// What to do with a publication that has come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Deliver it; so many before it are missing.
    Next {
        /// Publications of its sender that are missing.
        missed: u64,
    },
    /// It came in before.
    Duplicate,
    /// Later ones came in before it.
    Late,
}

/// The streams of other nodes into one room.
#[derive(Debug, Default)]
pub struct Streams {
    each: Vec<Stream>,
}

#[derive(Debug)]
struct Stream {
    incarnation: u64,
    generation: u64,
    /// The highest sequence that has come in; 0 until something has.
    highest: u64,
    /// Which of the highest and the 63 before it have come in: bit n for the highest less n.
    window: u64,
    /// Up to here, what has not come in is counted as missed, or was sent before this node listened.
    counted: u64,
    waiting: Waiting,
}

/// A place in a stream: its generation, and a sequence in it.
type Place = (u64, u64);

/// What the sender has told that is not borne out yet.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Nothing,
    /// It has sent up to this place, of which not all has come in.
    Ahead(Place, Tick),
    /// It has not sent as much as came in, when that was up to this place.
    Behind(Place, Tick),
}

impl Stream {
    fn new(incarnation: u64, generation: u64) -> Self {
        Stream {
            incarnation,
            generation,
            highest: 0,
            window: 0,
            counted: 0,
            waiting: Waiting::Nothing,
        }
    }

    /// Up to where the stream is accounted for.
    fn place(&self) -> Place {
        (self.generation, self.highest.max(self.counted))
    }

    fn arrive(&mut self, generation: u64, sequence: u64) -> Arrival {
        if generation < self.generation {
            return Arrival::Late;
        }
        if generation > self.generation {
            // This node has followed the one before, so it has listened since this one began.
            *self = Stream {
                waiting: self.waiting,
                ..Stream::new(self.incarnation, generation)
            };
            self.come_in(sequence);
            return Arrival::Next {
                missed: sequence.saturating_sub(1),
            };
        }
        let (_, accounted) = self.place();
        if sequence > self.highest {
            self.come_in(sequence);
            // Of a stream of which nothing was known, the beginning was before this node listened. What was counted as
            // missed and comes in after all is in order still, and better late than never.
            let missed = match accounted {
                0 => 0,
                _ => sequence.saturating_sub(accounted).saturating_sub(1),
            };
            return Arrival::Next { missed };
        }
        let back = self.highest - sequence;
        if back < 64 && self.window & (1 << back) == 0 {
            self.window |= 1 << back;
            return Arrival::Late;
        }
        Arrival::Duplicate
    }

    /// The highest so far has come in.
    fn come_in(&mut self, sequence: u64) {
        let by = u32::try_from(sequence - self.highest).unwrap_or(u32::MAX);
        self.window = self.window.checked_shl(by).unwrap_or(0) | 1;
        self.highest = sequence;
    }

    fn told(&mut self, told: Place, now: Tick) -> Told {
        let mut result = Told::default();
        match self.waiting {
            // Two that agree are believed, not one: what a sender tells only grows.
            Waiting::Ahead(before, at) if told >= before && self.place() < before => {
                if now.since(at) < SETTLE_MS {
                    return result;
                }
                result.missed = self.account_for(before);
            }
            Waiting::Behind(before, at) if told < before && self.place() == before => {
                if now.since(at) < SETTLE_MS {
                    return result;
                }
                self.overrule(told);
                result.is_overruled = true;
            }
            _ => {}
        }
        let place = self.place();
        self.waiting = match told.cmp(&place) {
            Ordering::Greater => Waiting::Ahead(told, now),
            Ordering::Less => Waiting::Behind(place, now),
            Ordering::Equal => Waiting::Nothing,
        };
        result
    }

    /// What was told and has not come in for long enough is missed.
    fn account_for(&mut self, (generation, sequence): Place) -> u64 {
        if generation > self.generation {
            *self = Stream::new(self.incarnation, generation);
            self.counted = sequence;
            return sequence;
        }
        let (_, accounted) = self.place();
        self.counted = sequence;
        match accounted {
            0 => 0,
            _ => sequence.saturating_sub(accounted),
        }
    }

    /// What came in was not from the sender, who would else be silenced by it: its own word holds. Nothing that may have
    /// come in before is taken a second time.
    fn overrule(&mut self, (generation, sequence): Place) {
        *self = Stream {
            highest: sequence,
            window: u64::MAX,
            ..Stream::new(self.incarnation, generation)
        };
    }
}

/// What follows from what a sender has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Publications that turn out to be missing.
    pub missed: u64,
    /// Whether the sender has not sent what seemed to have come in last from it.
    pub is_overruled: bool,
}

impl Streams {
    /// A publication has come in. `None` if there are too many streams to follow its own. By `standing`, the
    /// streams of those that are no more make room for new ones.
    pub fn arrive(
        &mut self,
        incarnation: u64,
        generation: u64,
        sequence: u64,
        standing: impl Fn(u64) -> Standing,
    ) -> Option<Arrival> {
        let stream = self.stream(incarnation, generation, standing)?;
        Some(stream.arrive(generation, sequence))
    }

    /// The sender tells of the last place of its stream.
    pub fn told(
        &mut self,
        incarnation: u64,
        generation: u64,
        sequence: u64,
        now: Tick,
        standing: impl Fn(u64) -> Standing,
    ) -> Told {
        match self.stream(incarnation, generation, standing) {
            Some(stream) => stream.told((generation, sequence), now),
            None => Told::default(),
        }
    }

    fn stream(
        &mut self,
        incarnation: u64,
        generation: u64,
        standing: impl Fn(u64) -> Standing,
    ) -> Option<&mut Stream> {
        let known = self.each.iter().position(|s| s.incarnation == incarnation);
        if let Some(at) = known {
            return Some(&mut self.each[at]);
        }
        // The dead make room before more is taken for the living: nodes that start again and again cost nothing.
        if self.each.len() == self.each.capacity() {
            let is_gone = |stream: &Stream| standing(stream.incarnation) == Standing::Gone;
            self.each.retain(|stream| !is_gone(stream));
        }
        if self.each.len() >= ROOM_STREAMS_MAX {
            let is_here = |stream: &Stream| standing(stream.incarnation) == Standing::Here;
            self.each.retain(is_here);
            if self.each.len() >= ROOM_STREAMS_MAX {
                return None;
            }
        }
        if self.each.len() == self.each.capacity() {
            self.each.reserve_exact(self.each.len().clamp(1, 8));
        }
        self.each.push(Stream::new(incarnation, generation));
        self.each.last_mut()
    }

    /// How many are followed.
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether none is followed.
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }
}
