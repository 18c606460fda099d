//! The drain: all connections are closed, spread evenly over a time, in an order that nobody can foresee. So
//! neither the node that they go to next nor one room is struck by all at once.

use super::{Ending, ShardCore};
use crate::ConnId;
use crate::close::CloseReason;
use crate::connection::Stage;
use crate::limits::{DRAIN_SLICE_MS, TURN_DRAINS_MAX};
use crate::tick::Tick;

/// A drain under way.
#[derive(Debug)]
pub(super) struct Drain {
    began: Tick,
    duration_ms: u64,
    /// The state of the generator that chooses who is next.
    random: u64,
    /// All connections: first those whose time has come, then the others, of which each may be next.
    conns: Vec<ConnId>,
    closed: usize,
    /// No slice before this.
    slice_at: Tick,
    /// A turn's budget has ended before its slice.
    has_more: bool,
}

impl Drain {
    fn new(now: Tick, duration_ms: u64, seed: u64, conns: Vec<ConnId>) -> Self {
        Drain {
            began: now,
            duration_ms,
            random: seed,
            conns,
            closed: 0,
            slice_at: now,
            has_more: false,
        }
    }

    /// Takes a newcomer in among those whose time has not come.
    pub(super) fn add(&mut self, conn: ConnId) {
        self.conns.push(conn);
    }

    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    /// When the next slice begins: of n connections the k-th, counted from zero, is due after k/n of the time.
    pub(super) fn next_at(&self) -> Option<Tick> {
        let all = self.conns.len() as u64;
        if self.closed as u64 == all {
            return None;
        }
        let after_ms = (self.closed as u64 * self.duration_ms).div_ceil(all);
        Some(self.began.plus(after_ms).max(self.slice_at))
    }

    /// Whose time has come: at most so many, as a part of `conns`.
    fn slice(&mut self, now: Tick, most: usize) -> std::ops::Range<usize> {
        let first = self.closed;
        if !self.has_more && self.next_at().is_none_or(|at| at > now) {
            return first..first;
        }
        let all = self.conns.len();
        let due = match now.since(self.began) {
            elapsed_ms if elapsed_ms >= self.duration_ms => all,
            elapsed_ms => (all as u64 * elapsed_ms / self.duration_ms) as usize + 1,
        };
        let end = due.min(first + most).min(all);
        for place in first..end {
            let chosen = place + (self.random() % (all - place) as u64) as usize;
            self.conns.swap(place, chosen);
        }
        self.closed = end;
        self.has_more = end < due.min(all);
        self.slice_at = now.plus(DRAIN_SLICE_MS);
        first..end
    }

    /// SplitMix64: good enough that nobody is always the first, and the same for the same seed.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }
}

impl ShardCore {
    /// Begins to close everything over a time. A second one changes nothing.
    pub(super) fn drain(&mut self, now: Tick, duration_ms: u64, seed: u64) {
        if self.drain.is_none() {
            let conns = self.connections.iter().map(|(conn, _)| conn).collect();
            self.drain = Some(Drain::new(now, duration_ms, seed, conns));
        }
    }

    /// Closes what is left at once; then the shard ends.
    pub(super) fn stop(&mut self, now: Tick) {
        self.stopping = true;
        self.drain(now, 0, 0);
        if let Some(drain) = &mut self.drain {
            drain.duration_ms = 0;
            drain.slice_at = now;
        }
    }

    pub(super) fn drain_some(&mut self, now: Tick) {
        let Some(drain) = &mut self.drain else { return };
        for place in drain.slice(now, TURN_DRAINS_MAX) {
            let Some(conn) = self.drain.as_ref().map(|drain| drain.conns[place]) else {
                return;
            };
            self.drain_one(now, conn);
        }
    }

    fn drain_one(&mut self, now: Tick, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        match connection.stage {
            Stage::Http | Stage::Joining | Stage::Granted => {
                connection.finishing = true;
                let handshake_at = connection.beat.plus(self.limits.handshake_ms);
                let close_at = now.plus(self.limits.close_handshake_ms);
                self.wheel.set(conn.index, handshake_at.min(close_at));
                self.closes.push_back((conn, Ending::Finish));
            }
            // It has a short time of its own.
            Stage::Publishing => {
                connection.finishing = true;
                self.closes.push_back((conn, Ending::Finish));
            }
            Stage::Open | Stage::Streaming => self.close_drained(now, conn),
            Stage::Closing { .. } | Stage::Ending => {}
        }
    }

    pub(super) fn close_drained(&mut self, now: Tick, conn: ConnId) {
        let reason = CloseReason::Stopping;
        self.close(now, conn, reason, reason.entry().text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn conns(count: u32) -> Vec<ConnId> {
        (0..count)
            .map(|index| ConnId::from_parts(index, 0))
            .collect()
    }

    proptest! {
        /// However the turns fall, and whoever comes meanwhile: each is closed once, never before its share of
        /// the time, and the last in time.
        #[test]
        fn each_is_closed_once_and_evenly(
            count in 0u32..500,
            duration_ms in 0u64..5_000,
            seed: u64,
            most in 1usize..64,
            steps in prop::collection::vec((0u64..200, 0u32..3), 1..100),
        ) {
            let mut drain = Drain::new(Tick(1_000), duration_ms, seed, conns(count));
            let (mut now, mut all) = (Tick(1_000), count);
            let mut closed = HashSet::new();
            let mut take = |drain: &mut Drain, now| -> Result<usize, TestCaseError> {
                for place in drain.slice(now, most) {
                    prop_assert!(closed.insert(drain.conns[place]), "twice");
                }
                Ok(closed.len())
            };
            for (pass_ms, newcomers) in steps {
                for _ in 0..newcomers {
                    drain.add(ConnId::from_parts(all, 0));
                    all += 1;
                }
                let closed = take(&mut drain, now)? as u64;
                let elapsed_ms = now.since(Tick(1_000));
                prop_assert!(closed <= u64::from(all));
                if elapsed_ms < duration_ms {
                    prop_assert!(closed <= u64::from(all) * elapsed_ms / duration_ms + 1);
                }
                now = now.plus(pass_ms);
            }
            now = now.max(Tick(1_000).plus(duration_ms)).plus(DRAIN_SLICE_MS);
            for _ in 0..=all {
                take(&mut drain, now)?;
                now = now.plus(DRAIN_SLICE_MS);
            }
            prop_assert_eq!(take(&mut drain, now)?, all as usize);
            prop_assert!(drain.next_at().is_none() && !drain.has_more());
        }
    }

    #[test]
    fn each_fifth_of_the_time_closes_a_fifth() {
        let mut drain = Drain::new(Tick(0), 3_000, 7, conns(2_000));
        let mut closed = Vec::new();
        let mut now = Tick(0);
        while let Some(at) = drain.next_at() {
            now = now.max(at);
            for place in drain.slice(now, TURN_DRAINS_MAX) {
                closed.push((now, drain.conns[place]));
            }
        }
        for fifth in 1..=5 {
            let by = closed.iter().filter(|(at, _)| *at <= Tick(fifth * 600));
            let by = by.count() as i64 - fifth as i64 * 400;
            assert!(by.abs() <= 20, "{by} after {fifth} fifths");
        }
        assert!(now <= Tick(3_000));
    }

    #[test]
    fn the_seed_decides_the_order() {
        let order = |seed| {
            let mut drain = Drain::new(Tick(0), 0, seed, conns(100));
            let all = drain.slice(Tick(0), usize::MAX);
            drain.conns[all].to_vec()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_ne!(order(1), conns(100));
    }

    #[test]
    fn a_single_connection_does_not_wait() {
        let mut drain = Drain::new(Tick(5), 60_000, 1, conns(1));
        assert_eq!(drain.next_at(), Some(Tick(5)));
        assert_eq!(drain.slice(Tick(5), 512), 0..1);
    }
}
