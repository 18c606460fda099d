//! One shard's connections of one subject, as a state machine between them and the subject's keeper.

/// How many slots a shard has of one subject, who holds one of them, and who waits for one.
///
/// What it tells the keeper is how many it wants in all: state, not events. Less is told and needs no answer; for more
/// it asks, and asks no other question before it has the answer. So both always know the same number, and nothing
/// can be given back twice.
#[derive(Debug)]
pub struct Claim<W> {
    holders: u32,
    /// What the keeper has granted, and not been told to take back.
    granted: u32,
    is_asking: bool,
    /// Who waits, in order, and whether the question under way counts it.
    waiting: Vec<(W, bool)>,
}

/// What an answer has settled.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<W> {
    /// Who holds a slot now.
    pub granted: Vec<W>,
    /// Who gets none.
    pub refused: Vec<W>,
}

impl<W> Default for Claim<W> {
    fn default() -> Self {
        Claim {
            holders: 0,
            granted: 0,
            is_asking: false,
            waiting: Vec::new(),
        }
    }
}

impl<W: Copy + PartialEq> Claim<W> {
    /// Wants one more slot. Returns whether one was free here; if not, `who` waits.
    pub fn claim(&mut self, who: W) -> bool {
        let has_spare = self.holders < self.granted;
        if has_spare {
            self.holders += 1;
        } else {
            self.waiting.push((who, false));
        }
        has_spare
    }

    /// A holder is gone. Returns who has its slot now.
    pub fn release(&mut self) -> Option<W> {
        self.holders = self.holders.saturating_sub(1);
        if self.waiting.is_empty() || self.holders >= self.granted {
            return None;
        }
        self.holders += 1;
        Some(self.waiting.remove(0).0)
    }

    /// One that waits is gone.
    pub fn forget(&mut self, who: W) {
        self.waiting.retain(|(waiting, _)| *waiting != who);
    }

    /// How many slots the keeper is to be told that are wanted, if it has to be told.
    pub fn untold(&self) -> Option<u32> {
        let wanted = self.holders + self.waiting.len() as u32;
        (!self.is_asking && wanted != self.granted).then_some(wanted)
    }

    /// The keeper was told so.
    pub fn told(&mut self) {
        match self.untold() {
            Some(wanted) if wanted < self.granted => self.granted = wanted,
            Some(_) => {
                self.is_asking = true;
                for (_, is_counted) in &mut self.waiting {
                    *is_counted = true;
                }
            }
            None => {}
        }
    }

    /// The keeper's answer: so many slots are granted in all.
    pub fn answered(&mut self, granted: u32) -> Settled<W> {
        debug_assert!(self.is_asking && granted >= self.granted);
        self.is_asking = false;
        self.granted = granted;
        let free = granted.saturating_sub(self.holders) as usize;
        let served: Vec<W> = (self.waiting)
            .drain(..free.min(self.waiting.len()))
            .map(|(who, _)| who)
            .collect();
        self.holders += served.len() as u32;
        let refused = self.waiting.extract_if(.., |(_, is_counted)| *is_counted);
        Settled {
            granted: served,
            refused: refused.map(|(who, _)| who).collect(),
        }
    }

    /// Whether nothing is held, wanted or under way: it may be forgotten.
    pub fn is_idle(&self) -> bool {
        self.holders == 0 && self.granted == 0 && self.waiting.is_empty() && !self.is_asking
    }
}
