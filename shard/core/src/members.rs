//! The members of one room on one shard.

const HOLE: u32 = u32::MAX;

/// Member slots, each the index of a session. Join and leave take constant time.
///
/// While a fan-out runs, slots do not move: who leaves leaves a hole, who joins goes to the end,
/// beyond the end of the fan-outs that were begun before.
#[derive(Debug, Default)]
pub struct Members {
    slots: Vec<u32>,
    live: u32,
}

/// A member whose slot has moved: its session must remember the new position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Index of the member's session.
    pub session: u32,
    /// Its new position.
    pub position: u32,
}

impl Members {
    /// Members in the room.
    pub fn len(&self) -> usize {
        self.live as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// One past the last slot: a fan-out begun now ends there.
    pub fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The member in a slot; `None` for a hole.
    pub fn at(&self, position: u32) -> Option<u32> {
        self.slots
            .get(position as usize)
            .copied()
            .filter(|&session| session != HOLE)
    }

    /// Adds a member and returns its position.
    pub fn join(&mut self, session: u32) -> u32 {
        self.slots.push(session);
        self.live += 1;
        self.end() - 1
    }

    /// Takes out a member while no fan-out runs. Returns the member that was moved into its place.
    pub fn leave(&mut self, position: u32) -> Option<Moved> {
        self.slots.swap_remove(position as usize);
        self.live -= 1;
        self.give_back();
        self.at(position).map(|session| Moved { session, position })
    }

    /// Takes out a member while a fan-out runs, leaving a hole.
    pub fn leave_hole(&mut self, position: u32) {
        self.slots[position as usize] = HOLE;
        self.live -= 1;
    }

    /// Closes the holes once no fan-out runs; tells of every member that has moved.
    pub fn compact(&mut self, mut moved: impl FnMut(Moved)) {
        if self.live as usize == self.slots.len() {
            return;
        }
        let mut position = 0;
        while position < self.slots.len() {
            if self.slots[position] != HOLE {
                position += 1;
                continue;
            }
            self.slots.swap_remove(position);
            if let Some(session) = self.at(position as u32) {
                moved(Moved {
                    session,
                    position: position as u32,
                });
            }
        }
        self.give_back();
    }

    /// Gives back memory when a room has shrunk to a quarter of what it once was.
    fn give_back(&mut self) {
        if self.slots.capacity() > 16 && self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }
}
