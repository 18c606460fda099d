//! One timer wheel for all deadlines of a shard.
//!
//! Hierarchical: six levels of 64 slots, the finest of one millisecond, the coarsest of 12 days a
//! slot. Setting and cancelling take constant time; a deadline moves down a level at most five
//! times before it fires. Timers are named by the small number of what they belong to.

use crate::tick::Tick;

const LEVELS: usize = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// The coarsest level comes round after this; a deadline further off waits there for another round.
const HORIZON_MS: u64 = 1 << (SLOT_BITS * LEVELS as u32);
const NONE: u32 = u32::MAX;
/// Nodes a page; see `table`.
const PAGE_NODES: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Node {
    at: u64,
    next: u32,
    previous: u32,
    /// Level and slot in which the node is linked, or `UNSET`.
    place: u16,
}

const UNSET: u16 = u16::MAX;
const FREE_NODE: Node = Node {
    at: 0,
    next: NONE,
    previous: NONE,
    place: UNSET,
};

/// Deadlines, at most one for each owner.
#[derive(Debug)]
pub struct Wheel {
    now: u64,
    nodes: Vec<Vec<Node>>,
    heads: [[u32; SLOTS]; LEVELS],
    occupied: [u64; LEVELS],
    len: usize,
}

impl Wheel {
    /// An empty wheel at this time.
    pub fn new(now: Tick) -> Self {
        Wheel {
            now: now.0,
            nodes: Vec::new(),
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            len: 0,
        }
    }

    /// Deadlines set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no deadline is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the owner's deadline, in place of the one it had. One that has passed already fires at
    /// the next [`advance`](Self::advance).
    pub fn set(&mut self, owner: u32, at: Tick) {
        self.cancel(owner);
        while self.nodes.len() * PAGE_NODES <= owner as usize {
            self.nodes.push(vec![FREE_NODE; PAGE_NODES]);
        }
        self.node(owner).at = at.0.max(self.now);
        self.link(owner);
        self.len += 1;
    }

    /// Sets the owner's deadline unless it has one that comes first.
    pub fn set_earlier(&mut self, owner: u32, at: Tick) {
        if self.get(owner).is_none_or(|present| present > at) {
            self.set(owner, at);
        }
    }

    /// Takes the owner's deadline away, if it has one.
    pub fn cancel(&mut self, owner: u32) {
        if self.get(owner).is_some() {
            self.unlink(owner);
            self.len -= 1;
        }
    }

    /// The owner's deadline.
    pub fn get(&self, owner: u32) -> Option<Tick> {
        let node = self
            .nodes
            .get(owner as usize / PAGE_NODES)?
            .get(owner as usize % PAGE_NODES)?;
        (node.place != UNSET).then_some(Tick(node.at))
    }

    fn node(&mut self, owner: u32) -> &mut Node {
        &mut self.nodes[owner as usize / PAGE_NODES][owner as usize % PAGE_NODES]
    }

    fn link(&mut self, owner: u32) {
        let now = self.now;
        let at = self.node(owner).at;
        // The highest bit in which deadline and present differ decides the level.
        let clamped = at.min(now + HORIZON_MS - 1);
        let differ = (clamped ^ now) | (SLOTS as u64 - 1);
        let level = ((63 - differ.leading_zeros()) / SLOT_BITS).min(LEVELS as u32 - 1) as usize;
        let slot = (clamped >> (level as u32 * SLOT_BITS)) as usize % SLOTS;
        let head = self.heads[level][slot];
        let node = self.node(owner);
        node.place = (level * SLOTS + slot) as u16;
        node.previous = NONE;
        node.next = head;
        if head != NONE {
            self.node(head).previous = owner;
        }
        self.heads[level][slot] = owner;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, owner: u32) {
        let Node {
            next,
            previous,
            place,
            ..
        } = *self.node(owner);
        let (level, slot) = (place as usize / SLOTS, place as usize % SLOTS);
        if previous == NONE {
            self.heads[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
            }
        } else {
            self.node(previous).next = next;
        }
        if next != NONE {
            self.node(next).previous = previous;
        }
        self.node(owner).place = UNSET;
    }

    /// No deadline fires before this tick; `None` if none is set. Never later than the earliest
    /// deadline, and exact for one within the present 64 ms.
    pub fn next(&self) -> Option<Tick> {
        (0..LEVELS)
            .filter_map(|level| self.next_in(level))
            .min()
            .map(Tick)
    }

    /// Start of the next occupied slot of a level.
    fn next_in(&self, level: usize) -> Option<u64> {
        let occupied = self.occupied[level];
        if occupied == 0 {
            return None;
        }
        let shift = level as u32 * SLOT_BITS;
        let position = self.now >> shift;
        let current = (position % SLOTS as u64) as u32;
        // In the finest level the present slot holds what is due now; in a coarser one it was emptied
        // when it was entered, so what is there waits for the next round.
        let first = if level == 0 { current } else { current + 1 };
        let ahead =
            occupied.rotate_right(first % SLOTS as u32).trailing_zeros() + (first - current);
        Some((position + u64::from(ahead)) << shift)
    }

    /// Moves time on and calls `fire` for each owner whose deadline has come, in order of time. The
    /// deadline is unset before the call. At most `fires_max` fire; returns `false` if more are due,
    /// and time then stands where the next one is.
    pub fn advance(&mut self, now: Tick, fires_max: usize, mut fire: impl FnMut(u32)) -> bool {
        let mut fires_left = fires_max;
        while let Some(Tick(next)) = self.next() {
            if next > now.0 {
                break;
            }
            if next > self.now {
                self.now = next;
                self.cascade();
            }
            let slot = (next % SLOTS as u64) as usize;
            while self.heads[0][slot] != NONE {
                if fires_left == 0 {
                    return false;
                }
                fires_left -= 1;
                let owner = self.heads[0][slot];
                self.unlink(owner);
                self.len -= 1;
                fire(owner);
            }
        }
        self.now = self.now.max(now.0);
        true
    }

    /// Moves what lies in the coarser slots that the present has just entered to finer ones.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let shift = level as u32 * SLOT_BITS;
            if self.now & ((1 << shift) - 1) != 0 {
                continue;
            }
            let slot = (self.now >> shift) as usize % SLOTS;
            let mut owner = std::mem::replace(&mut self.heads[level][slot], NONE);
            self.occupied[level] &= !(1 << slot);
            while owner != NONE {
                let next = self.node(owner).next;
                self.link(owner);
                owner = next;
            }
        }
    }
}
