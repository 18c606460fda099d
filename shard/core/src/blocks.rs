//! Subjects that have broken limits, and those that are blocked for it.

use std::num::NonZeroU64;

use ringmain_router::{SubjectId, SubjectMap};

use crate::gcra::{Gcra, Rate};
use crate::tick::Tick;

/// Offenders that one shard remembers. Beyond it new ones go unpunished, and are counted.
pub const OFFENDERS_MAX: usize = 65_536;
/// So long lies between two sweeps of a full list, at least.
const SWEEP_MS: u64 = 1_000;
/// Offenders before a first sweep.
const SWEEP_FROM: usize = 256;

/// When a subject is blocked, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRule {
    /// With so many offences in `seconds` it is blocked.
    pub after: NonZeroU64,
    /// For so long.
    pub seconds: u64,
}

/// What came of an offence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// It is remembered.
    Noted,
    /// It was one too many.
    Blocked,
    /// It is blocked already.
    Known,
    /// The list is full.
    Untold,
}

/// The offenders whom one shard keeps. Whoever behaves for long enough is forgotten.
#[derive(Debug, Default)]
pub struct BlockList {
    offenders: SubjectMap<Offender>,
    /// The list is swept once it is this long.
    sweep_at_len: usize,
    swept: Tick,
}

#[derive(Clone, Copy, Debug, Default)]
struct Offender {
    pace: Gcra,
    blocked_until: Tick,
}

impl Offender {
    fn is_forgiven(&self, now: Tick) -> bool {
        self.pace.is_full(now) && self.blocked_until <= now
    }
}

impl BlockList {
    /// A subject has broken a limit.
    pub fn offend(&mut self, now: Tick, rule: BlockRule, subject: SubjectId) -> Offence {
        self.sweep(now);
        if self.offenders.len() >= OFFENDERS_MAX && !self.offenders.contains_key(&subject) {
            return Offence::Untold;
        }
        let offender = self.offenders.entry(subject).or_default();
        if offender.blocked_until > now {
            return Offence::Known;
        }
        // All but the last one may come at once.
        let rate = Rate::over(rule.after, rule.seconds, rule.after.get() - 1);
        if rule.after.get() > 1 && offender.pace.take(now, rate, 1) {
            return Offence::Noted;
        }
        *offender = Offender {
            pace: Gcra::default(),
            blocked_until: now.plus(rule.seconds.saturating_mul(1_000)),
        };
        Offence::Blocked
    }

    /// For how long a subject is blocked from now on, in milliseconds; 0 if it is not.
    pub fn blocked_ms(&self, now: Tick, subject: SubjectId) -> u64 {
        let offender = self.offenders.get(&subject);
        offender.map_or(0, |offender| offender.blocked_until.since(now))
    }

    /// Offenders in the list, some of whom may be forgiven.
    pub fn len(&self) -> usize {
        self.offenders.len()
    }

    /// Whether nobody is in the list.
    pub fn is_empty(&self) -> bool {
        self.offenders.is_empty()
    }

    /// Forgets the forgiven when there are twice as many as were left the last time, so that each offence pays for its own.
    fn sweep(&mut self, now: Tick) {
        let is_full = self.offenders.len() >= OFFENDERS_MAX && now.since(self.swept) >= SWEEP_MS;
        if !is_full && self.offenders.len() < self.sweep_at_len.max(SWEEP_FROM) {
            return;
        }
        self.offenders
            .retain(|_, offender| !offender.is_forgiven(now));
        self.sweep_at_len = (2 * self.offenders.len()).min(OFFENDERS_MAX + 1);
        self.swept = now;
    }
}
