//! Connections that come back: everyone after a storm, and visitors again and again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::ops::Range;

use super::{State, Worker};
use crate::clock::{SECOND_NS, Window, to_ns};
use crate::failure::Failure;
use crate::layout::Layout;
use crate::links::Progress;
use crate::load::{Due, Load};
use crate::policy::Policy;
use crate::settings::{Settings, Visits};
use crate::stage::Stage;
use crate::tally::Count;
use crate::worker::ramp::TURN_CONNECTS_MAX;

/// Connections that one turn drops in a storm.
const TURN_DROPS_MAX: usize = 1024;
/// What the links of a thread are to do, and when.
#[derive(Default)]
pub(super) struct Returns {
    /// Links that come, the first to come on top.
    comes: BinaryHeap<Reverse<(u64, usize)>>,
    /// Visits that end, in their order: all last as long. By time, link and number of the link's visit.
    leaves: VecDeque<(u64, usize, u64)>,
    /// By visitor of the thread: how many visits it has begun.
    begun: Vec<u64>,
    /// Failures of a link since it was dropped.
    failures: HashMap<usize, u32>,
    /// The next link that the storm drops.
    storm_next: usize,
    /// The policy, once the storm has begun; and when it did.
    storm: Option<(Policy, u64)>,
    visits: Option<Visits>,
    visitors: Range<usize>,
    end_ns: u64,
}

impl Returns {
    /// Sending may begin: visitors have their first times.
    pub(super) fn begin(&mut self, settings: &Settings, layout: &Layout, window: Window) {
        self.end_ns = window.to_ns;
        self.visits = settings.visits;
        self.visitors = layout.visitor_links();
        self.begun = vec![0; self.visitors.len()];
        if let Some(visits) = self.visits {
            let first_ns = |link| {
                let number = f64::from(layout.visitor(link));
                window.begin_ns + to_ns(number / visits.rate)
            };
            let comes = self.visitors.clone().map(|link| (first_ns(link), link));
            self.comes = comes.map(Reverse).collect();
        }
    }

    /// Nobody comes from this time on.
    pub(super) fn end_at(&mut self, to_ns: u64) {
        self.end_ns = to_ns;
    }

    fn is_visitor(&self, link: usize) -> bool {
        self.visitors.contains(&link)
    }

    /// Whether a link comes back after it has failed or was lost.
    fn brings_back(&self, link: usize, now_ns: u64) -> bool {
        self.storm.is_some() && !self.is_visitor(link) && now_ns < self.end_ns
    }

    /// Whether the storm has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.storm.is_some()
    }

    /// Whether somebody is to come now.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        let next = self.comes.peek();
        now_ns < self.end_ns && next.is_some_and(|Reverse((at_ns, _))| *at_ns <= now_ns)
    }

    /// Links of a storm that are not back, and are not trying either.
    pub(super) fn waiting(&self) -> u64 {
        let is_of_storm = |Reverse((_, link)): &&Reverse<(u64, usize)>| !self.is_visitor(*link);
        self.comes.iter().filter(is_of_storm).count() as u64
    }
}

impl<L: Load> Worker<L> {
    /// Drops, brings back and sends away whatever is due.
    pub(super) fn come_and_go(&self, state: &mut State<L>, window: Window, now_ns: u64) -> Due {
        let storm = self.drop_all(state, window, now_ns);
        let mut due = storm
            .min(self.send_away(state, now_ns))
            .min(self.bring_back(state, now_ns));
        if self.job.settings.storm.is_some() || self.job.settings.visits.is_some() {
            due = due.min(self.end_late_handshakes(state, now_ns));
        }
        due
    }

    /// The storm: every connection is cut, without a word, and waits as its policy says.
    fn drop_all(&self, state: &mut State<L>, window: Window, now_ns: u64) -> Due {
        let Some(policy) = self.job.settings.storm else {
            return Due::Never;
        };
        if now_ns < window.from_ns {
            return Due::At(window.from_ns);
        }
        if state.returns.storm.is_none() {
            state.returns.storm = Some((policy, window.from_ns));
        }
        let end = (state.returns.storm_next + TURN_DROPS_MAX).min(self.layout.initial_links());
        for link in std::mem::replace(&mut state.returns.storm_next, end)..end {
            if state.links.is_open(link) {
                state.record.tally[Count::Open] -= 1;
                state.load.lost(link);
                self.come_back_later(state, link, now_ns);
            }
        }
        if end < self.layout.initial_links() {
            Due::Now
        } else {
            Due::Never
        }
    }

    /// Visits end.
    fn send_away(&self, state: &mut State<L>, now_ns: u64) -> Due {
        for _ in 0..TURN_CONNECTS_MAX {
            let Some(&(at_ns, link, visit)) = state.returns.leaves.front() else {
                return Due::Never;
            };
            if at_ns > now_ns {
                return Due::At(at_ns);
            }
            state.returns.leaves.pop_front();
            // A visit that was cut short may have been followed by another.
            let is_this = state.returns.begun[link - state.returns.visitors.start] == visit;
            if is_this && state.links.is_open(link) {
                self.begin_closing(state, link);
            }
        }
        Due::Now
    }

    /// Links come whose time it is, as many at once as may be under way.
    fn bring_back(&self, state: &mut State<L>, now_ns: u64) -> Due {
        // What is not back by now is counted when the connections are closed.
        if now_ns >= state.returns.end_ns {
            return Due::Never;
        }
        for _ in 0..TURN_CONNECTS_MAX {
            let Some(&Reverse((at_ns, link))) = state.returns.comes.peek() else {
                return Due::Never;
            };
            if at_ns > now_ns {
                return Due::At(at_ns);
            }
            let under_way = state.record.tally[Count::Connecting];
            if under_way >= u64::from(self.job.settings.storm_handshakes_max) {
                return Due::Never;
            }
            state.returns.comes.pop();
            self.come(state, link, at_ns);
        }
        Due::Now
    }

    fn come(&self, state: &mut State<L>, link: usize, due_ns: u64) {
        if let Some(visits) = state
            .returns
            .visits
            .filter(|_| state.returns.is_visitor(link))
        {
            let round_ns = f64::from(visits.visitors) / visits.rate * SECOND_NS as f64;
            let next_ns = due_ns.saturating_add(round_ns as u64);
            state.returns.comes.push(Reverse((next_ns, link)));
            let progress = state.links.get(link).progress;
            if !matches!(progress, Progress::Waiting | Progress::Ended) {
                state.record.tally[Count::VisitsSkipped] += 1;
                return;
            }
        }
        state.record.tally[Count::Connecting] += 1;
        if let Err(failure) = self.begin_connecting(state, link, due_ns) {
            self.fail(state, link, failure);
        }
    }

    /// A connection is open: counts it as what it is.
    pub(super) fn count_opened(&self, state: &mut State<L>, link: usize, now_ns: u64) {
        if let Some(visits) = state
            .returns
            .visits
            .filter(|_| state.returns.is_visitor(link))
        {
            state.record.tally[Count::Visits] += 1;
            let visit = &mut state.returns.begun[link - state.returns.visitors.start];
            *visit += 1;
            let leave = (now_ns.saturating_add(visits.stay_ns), link, *visit);
            state.returns.leaves.push_back(leave);
        } else if let Some((_, storm_ns)) = state.returns.storm {
            state.record.tally[Count::Returned] += 1;
            state
                .record
                .returns
                .saturating_record(now_ns.saturating_sub(storm_ns));
            state.returns.failures.remove(&link);
        } else {
            state.record.tally[Count::Connected] += 1;
        }
    }

    fn come_back_later(&self, state: &mut State<L>, link: usize, now_ns: u64) {
        state.links.get(link).detach();
        let Some((policy, _)) = state.returns.storm else {
            return;
        };
        let failures = state.returns.failures.entry(link).or_default();
        let at_ns = now_ns.saturating_add(policy.delay_ns(*failures, &mut state.random));
        *failures += 1;
        state.returns.comes.push(Reverse((at_ns, link)));
    }

    /// A connection has not come to be.
    pub(super) fn fail(&self, state: &mut State<L>, link: usize, failure: Failure) {
        let now_ns = self.job.clock.now_ns();
        state.record.tally[Count::Connecting] -= 1;
        if self.job.stage.is_cut_short() {
            return state.links.get(link).detach();
        }
        let kind = match failure.is_refusal() {
            _ if state.returns.brings_back(link, now_ns) => Count::Retried,
            true => Count::Refused,
            false => Count::Failed,
        };
        state.record.tally[kind] += 1;
        state.record.failures.add(failure);
        if kind == Count::Retried {
            self.come_back_later(state, link, now_ns);
        } else {
            state.links.get(link).detach();
        }
    }

    /// An open connection is over.
    pub(super) fn end(&self, state: &mut State<L>, link: usize, failure: Failure) {
        let now_ns = self.job.clock.now_ns();
        state.record.tally[Count::Open] -= 1;
        // Once we have said that we close, the other side may end it as it likes. Nor does it matter who is first
        // when the run is over: a million closes take longer than a ping may.
        if state.links.get(link).progress == Progress::Open {
            state.load.lost(link);
            if self.layout.slow_links().contains(&link) {
                state.record.tally[Count::SlowClosed] += 1;
            } else if state.returns.brings_back(link, now_ns) {
                // It was back, and is not any more.
                let returned = &mut state.record.tally[Count::Returned];
                *returned = returned.saturating_sub(1);
                state.record.tally[Count::Retried] += 1;
                state.record.failures.add(failure);
                return self.come_back_later(state, link, now_ns);
            } else if self.job.stage.get() != Stage::Close {
                state.record.tally[Count::Dropped] += 1;
                state.record.failures.add(failure);
            }
        }
        state.links.get(link).detach();
    }
}
