//! Times at which something is to be looked at again. Unlike a deadline of the wheel, nobody takes one back: who is called
//! looks whether there still is a reason.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::tick::Tick;

/// Alarms, the earliest first; of the same time, in the order in which they were set.
#[derive(Debug)]
pub struct Alarms<T> {
    heap: BinaryHeap<Reverse<Alarm<T>>>,
    set: u64,
}

#[derive(Debug)]
struct Alarm<T> {
    at: Tick,
    number: u64,
    what: T,
}

impl<T> Alarm<T> {
    fn key(&self) -> (Tick, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Alarm<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Alarm<T> {}

impl<T> PartialOrd for Alarm<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Alarm<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> Default for Alarms<T> {
    fn default() -> Self {
        Alarms {
            heap: BinaryHeap::new(),
            set: 0,
        }
    }
}

impl<T> Alarms<T> {
    /// Sets one.
    pub fn set(&mut self, at: Tick, what: T) {
        self.set += 1;
        let number = self.set;
        self.heap.push(Reverse(Alarm { at, number, what }));
    }

    /// The next one whose time has come.
    pub fn due(&mut self, now: Tick) -> Option<T> {
        let Reverse(next) = self.heap.peek()?;
        if next.at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(alarm)| alarm.what)
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// When the next one comes.
    pub fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse(next)| next.at)
    }
}
