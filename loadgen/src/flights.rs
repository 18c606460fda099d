//! Messages of a closed loop on their way to all members of a room, followed across threads.
//!
//! A publisher sends the next message when one has reached everybody. Each thread counts arrivals at
//! its own members ([`Landings`]), and tells the others only once a message: when its last member has
//! it ([`Flights`]). The thread that is the last marks the publisher ([`Ready`]).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const THREADS_BITS: u32 = 16;
const THREADS_MASK: u64 = (1 << THREADS_BITS) - 1;

/// For each message under way, the threads whose members have not all received it.
#[derive(Debug)]
pub struct Flights {
    in_flight: u64,
    /// By publisher and message number modulo `in_flight`: number and threads in one word.
    slots: Vec<AtomicU64>,
}

impl Flights {
    /// For so many publishers with so many messages under way each.
    pub fn new(publishers: u32, in_flight: u32) -> Self {
        let slots = publishers as usize * in_flight as usize;
        Flights {
            in_flight: u64::from(in_flight),
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn slot(&self, publisher: u32, number: u64) -> &AtomicU64 {
        let slot = u64::from(publisher) * self.in_flight + number % self.in_flight;
        &self.slots[slot as usize]
    }

    /// Whether the publisher may send this message: the one `in_flight` before it has arrived.
    pub fn may_launch(&self, publisher: u32, number: u64) -> bool {
        self.slot(publisher, number).load(Ordering::Acquire) & THREADS_MASK == 0
    }

    /// A message is about to be sent to the members of so many threads.
    pub fn launch(&self, publisher: u32, number: u64, threads: u32) {
        let word = number << THREADS_BITS | u64::from(threads);
        self.slot(publisher, number).store(word, Ordering::Release);
    }

    /// All members of one thread have a message. Returns whether that was the last thread.
    pub fn land(&self, publisher: u32, number: u64) -> bool {
        // A message that was given up may land after its slot was used again; then nothing changes.
        let landed = |word: u64| {
            let is_this = word >> THREADS_BITS == number && word & THREADS_MASK > 0;
            is_this.then(|| word - 1)
        };
        self.slot(publisher, number)
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, landed)
            .is_ok_and(|before| before & THREADS_MASK == 1)
    }
}

/// The arrivals at one thread's members, for the messages under way.
pub struct Landings {
    in_flight: u64,
    cells: Vec<Landing>,
}

#[derive(Clone, Copy, Default)]
struct Landing {
    number: u64,
    arrivals: u32,
    /// All have it, and the others know.
    landed: bool,
}

impl Landings {
    /// As [`Flights::new`].
    pub fn new(publishers: u32, in_flight: u32) -> Self {
        Landings {
            in_flight: u64::from(in_flight),
            cells: vec![Landing::default(); publishers as usize * in_flight as usize],
        }
    }

    /// A message has arrived at one of this thread's `members` that receive it. Returns whether all
    /// have it now.
    #[inline]
    pub fn arrive(&mut self, publisher: u32, number: u64, members: u32) -> bool {
        let cell = u64::from(publisher) * self.in_flight + number % self.in_flight;
        let cell = &mut self.cells[cell as usize];
        if cell.number != number {
            if number < cell.number {
                return false;
            }
            *cell = Landing {
                number,
                ..Landing::default()
            };
        }
        cell.arrivals += 1;
        let all = cell.arrivals >= members && !cell.landed;
        cell.landed |= all;
        all
    }

    /// One of the members has gone, and only so many are left. Returns the messages that all of these have.
    pub fn shrink(&mut self, publisher: u32, members: u32) -> Vec<u64> {
        let first = publisher as usize * self.in_flight as usize;
        let cells = &mut self.cells[first..first + self.in_flight as usize];
        let landed = cells
            .iter_mut()
            .filter(|cell| !cell.landed && cell.arrivals > 0 && cell.arrivals >= members);
        landed
            .map(|cell| {
                cell.landed = true;
                cell.number
            })
            .collect()
    }
}

/// The publishers of one thread that have something to do.
#[derive(Debug)]
pub struct Ready {
    any: AtomicBool,
    words: Vec<AtomicU64>,
}

impl Ready {
    /// For so many publishers, none ready.
    pub fn new(publishers: usize) -> Self {
        let words = publishers.div_ceil(u64::BITS as usize);
        Ready {
            any: AtomicBool::new(false),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// This one is.
    pub fn mark(&self, publisher: usize) {
        let bit = 1 << (publisher % u64::BITS as usize);
        self.words[publisher / u64::BITS as usize].fetch_or(bit, Ordering::Release);
        self.any.store(true, Ordering::Release);
    }

    /// Whether one may be.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Calls `each` for all that are, and forgets them.
    pub fn take(&self, mut each: impl FnMut(usize)) {
        // Before the words: a mark that comes meanwhile sets it again.
        if !self.any.swap(false, Ordering::AcqRel) {
            return;
        }
        for (index, word) in self.words.iter().enumerate() {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::AcqRel);
            while bits != 0 {
                each(index * u64::BITS as usize + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lands_with_its_last_thread() {
        let flights = Flights::new(3, 2);
        assert!(flights.may_launch(2, 0));
        flights.launch(2, 0, 3);
        flights.launch(2, 1, 1);
        assert!(!flights.may_launch(2, 2));
        assert!(!flights.land(2, 0));
        assert!(flights.land(2, 1));
        assert!(!flights.land(2, 0));
        assert!(flights.land(2, 0));
        assert!(flights.may_launch(2, 2) && flights.may_launch(2, 3));
        // Nothing is under way there any more.
        assert!(!flights.land(2, 0));
    }

    #[test]
    fn what_was_given_up_does_not_land_in_its_successors_place() {
        let flights = Flights::new(1, 1);
        flights.launch(0, 0, 1);
        flights.launch(0, 1, 1);
        assert!(!flights.land(0, 0));
        assert!(!flights.may_launch(0, 2));
        assert!(flights.land(0, 1));
    }

    #[test]
    fn a_thread_tells_once_that_all_its_members_have_a_message() {
        let mut landings = Landings::new(2, 2);
        let arrivals = [
            (0, false),
            (1, false),
            (0, true),
            (0, false),
            (2, false),
            (0, false),
        ];
        for (number, all) in arrivals {
            assert_eq!(landings.arrive(1, number, 2), all);
        }
        assert!(landings.arrive(1, 2, 2));
        assert!(landings.arrive(1, 1, 2));
    }

    #[test]
    fn a_member_that_goes_is_waited_for_no_more() {
        let mut landings = Landings::new(1, 3);
        assert!(!landings.arrive(0, 0, 3));
        assert!(!landings.arrive(0, 0, 3));
        assert!(!landings.arrive(0, 1, 3));
        assert_eq!(landings.shrink(0, 2), [0]);
        assert_eq!(landings.shrink(0, 1), [1]);
        assert!(!landings.arrive(0, 0, 2));
    }

    #[test]
    fn marks_are_taken_once() {
        let ready = Ready::new(130);
        assert!(!ready.any());
        for publisher in [129, 0, 64, 0] {
            ready.mark(publisher);
        }
        let mut taken = Vec::new();
        ready.take(|publisher| taken.push(publisher));
        ready.take(|publisher| taken.push(publisher));
        assert_eq!(taken, [0, 64, 129]);
    }
}
