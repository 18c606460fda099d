//! What the log is told of a connection that ends.

use std::collections::VecDeque;

use ringmain_router::RoomName;

use crate::ConnId;
use crate::close::{CloseReason, Severity};
use crate::line_budget::{LineBudget, LineShare};
use crate::stats::ShardStats;
use crate::tick::Tick;

/// One connection that begins to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// The connection.
    pub conn: ConnId,
    /// Why it ends.
    pub reason: CloseReason,
    /// What exactly was wrong, where the reason does not say it all; else empty.
    pub detail: String,
    /// The room that it was in, or wanted to be in.
    pub room: Option<RoomName>,
    /// How long ago it was accepted, in whole seconds.
    pub open_s: u64,
}

/// Chooses which ends are told: those that matter enough, and of each reason no more than the log takes. What is withheld
/// is counted, and costs nothing else.
#[derive(Debug)]
pub(crate) struct Farewells {
    from: Option<Severity>,
    share: LineShare,
    budgets: [LineBudget; CloseReason::CATALOGUE.len()],
    /// Taken up by the shell each turn; between two turns the budgets bound it.
    waiting: VecDeque<Farewell>,
}

impl Farewells {
    /// Tells nothing until [`tell`](Self::tell).
    pub fn new(shards: usize) -> Self {
        Farewells {
            from: None,
            share: LineShare::among(shards),
            budgets: Default::default(),
            waiting: VecDeque::new(),
        }
    }

    /// Tells ends of this severity and above; `None`: nothing.
    pub fn tell(&mut self, from: Option<Severity>) {
        self.from = from;
    }

    /// Notes an end, made only if it is told.
    pub fn note(
        &mut self,
        now: Tick,
        reason: CloseReason,
        stats: &ShardStats,
        make: impl FnOnce() -> Farewell,
    ) {
        if self.from.is_none_or(|from| reason.entry().severity < from) {
            return;
        }
        if self.budgets[reason as usize].take(now, self.share) {
            self.waiting.push_back(make());
        } else {
            stats.closes_withheld[reason as usize].add(1);
        }
    }

    /// Says what exactly was wrong, if the last end noted is this connection's.
    pub fn explain(&mut self, conn: ConnId, detail: &str) {
        if let Some(last) = self.waiting.back_mut()
            && last.conn == conn
            && last.reason.entry().text != detail
        {
            last.detail = detail.to_owned();
        }
    }

    /// The next end to be told.
    pub fn poll(&mut self) -> Option<Farewell> {
        self.waiting.pop_front()
    }
}
