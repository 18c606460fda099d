//! What visitors and slow members must see: each publisher's messages in order and without a hole, from
//! the first one that arrives.

/// The next number expected for each pair of such a receiver and a publisher.
pub struct Visits {
    next: Vec<u64>,
    publishers_per_receiver: usize,
}

/// Nothing has arrived yet.
const UNKNOWN: u64 = u64::MAX;

/// What the arrival of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The first, or the next one, but for so many that are missing before it.
    After(u64),
    /// One that had come already.
    Again,
}

impl Visits {
    /// For so many pairs; each receiver has as many as there are publishers in a room.
    pub fn new(pairs: usize, publishers_per_receiver: usize) -> Self {
        Visits {
            next: vec![UNKNOWN; pairs],
            publishers_per_receiver,
        }
    }

    /// The receiver of this number has come, and has seen nothing.
    pub fn begin(&mut self, receiver: usize) {
        let first = receiver * self.publishers_per_receiver;
        self.next[first..first + self.publishers_per_receiver].fill(UNKNOWN);
    }

    /// A message has come.
    pub fn observe(&mut self, pair: usize, sequence: u64) -> Seen {
        let next = &mut self.next[pair];
        match *next {
            UNKNOWN => {
                *next = sequence + 1;
                Seen::After(0)
            }
            expected if sequence >= expected => {
                *next = sequence + 1;
                Seen::After(sequence - expected)
            }
            _ => Seen::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_begins_where_it_begins_and_has_no_hole() {
        let mut visits = Visits::new(4, 2);
        assert_eq!(visits.observe(3, 7), Seen::After(0));
        assert_eq!(visits.observe(3, 8), Seen::After(0));
        assert_eq!(visits.observe(3, 11), Seen::After(2));
        assert_eq!(visits.observe(3, 11), Seen::Again);
        assert_eq!(visits.observe(2, 0), Seen::After(0));
        visits.begin(1);
        assert_eq!(visits.observe(3, 5), Seen::After(0));
        assert_eq!(visits.observe(2, 5), Seen::After(0));
    }
}
