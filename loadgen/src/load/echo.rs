//! Echo: every connection gets each of its messages back.

use std::collections::HashMap;

use crate::clock::Window;
use crate::delivery::{Deliveries, Delivery};
use crate::layout::Layout;
use crate::load::{Due, Load, OpenLoop, Sender};
use crate::measure::Record;
use crate::outgoing::Outgoing;
use crate::payload::Stamp;
use crate::schedule::Schedule;
use crate::sequences::{Arrival, Sequences};
use crate::settings::Pace;
use crate::sizes::Sizes;
use crate::tally::Count;

/// The echo of one thread's connections.
pub struct Echo {
    layout: Layout,
    run: u32,
    sizes: Sizes,
    pace: Pace,
    window: Window,
    open_loop: Option<OpenLoop>,
    /// Closed loop: connections that have been given their first messages.
    begun: usize,
    sequences: Sequences,
    /// Messages sent, by link.
    sent: Vec<u64>,
    /// Messages that came changed, by link.
    corrupt: HashMap<usize, u64>,
}

impl Echo {
    /// For one thread's connections.
    pub fn new(layout: Layout, run: u32, sizes: Sizes, pace: Pace) -> Self {
        Echo {
            layout,
            run,
            sizes,
            pace,
            window: Window::NONE,
            open_loop: None,
            begun: 0,
            sequences: Sequences::new(layout.pairs()),
            sent: vec![0; layout.links()],
            corrupt: HashMap::new(),
        }
    }

    fn stamp(&mut self, link: usize, time_ns: u64, sent_ns: u64) -> (Stamp, usize) {
        let (publisher, sequence) = (self.layout.id(link), self.sent[link]);
        self.sent[link] += 1;
        let stamp = Stamp {
            run: self.run,
            publisher,
            sequence,
            time_ns,
            sent_ns,
        };
        (stamp, self.sizes.of(publisher, sequence))
    }

    /// Gives every connection its first messages, a part of them in each turn.
    fn begin_some(&mut self, in_flight: u32, now_ns: u64, sender: &mut Sender<'_>) -> Due {
        while self.begun < self.sent.len() && now_ns < self.window.to_ns {
            if !sender.take_budget() {
                return Due::Now;
            }
            let link = self.begun;
            self.begun += 1;
            if !sender.links.is_open(link) {
                continue;
            }
            for _ in 0..in_flight {
                sender.record.tally[Count::Expected] += 1;
                let (stamp, bytes) = self.stamp(link, now_ns, now_ns);
                sender.push(stamp, bytes);
            }
            sender.flush(link);
        }
        Due::Never
    }
}

impl Load for Echo {
    fn opened(&mut self, _link: usize) {}

    fn settled(&mut self) {}

    fn lost(&mut self, _link: usize) {}

    fn begin(&mut self, window: Window, record: &mut Record) {
        self.window = window;
        record.window = window;
        if let Pace::Open { rate } = self.pace {
            record.has_schedule = true;
            let schedule = Schedule::new(
                rate,
                window,
                self.layout.publishers(),
                self.layout.thread(),
                self.sent.len(),
            );
            self.open_loop = Some(OpenLoop::new(schedule));
        }
    }

    fn end_at(&mut self, to_ns: u64, record: &mut Record) {
        self.window.to_ns = to_ns;
        record.window = self.window;
        if let Some(open_loop) = &mut self.open_loop {
            open_loop.end_at(to_ns);
        }
    }

    #[inline]
    fn message(
        &mut self,
        link: usize,
        message: &[u8],
        now_ns: u64,
        record: &mut Record,
        out: &mut Outgoing,
    ) {
        let Some(stamp) = self.sizes.read(message) else {
            record.tally[Count::Corrupt] += 1;
            *self.corrupt.entry(link).or_default() += 1;
            return;
        };
        let is_own = stamp.run == self.run && stamp.publisher == self.layout.id(link);
        if !is_own || stamp.sequence >= self.sent[link] {
            record.tally[Count::Unexpected] += 1;
            return;
        }
        match self.sequences.observe(link, stamp.sequence) {
            Arrival::InOrder | Arrival::Early => {}
            Arrival::Late => record.tally[Count::Reordered] += 1,
            Arrival::Duplicate => {
                record.tally[Count::Duplicated] += 1;
                return;
            }
        }
        record.received(&stamp, message.len(), now_ns);
        if self.open_loop.is_none() && now_ns < self.window.to_ns {
            record.tally[Count::Sent] += 1;
            record.tally[Count::Expected] += 1;
            let (stamp, bytes) = self.stamp(link, now_ns, now_ns);
            out.push(stamp, bytes);
        }
    }

    fn turn(&mut self, now_ns: u64, sender: &mut Sender<'_>) -> Due {
        match self.pace {
            Pace::Closed { in_flight } => self.begin_some(in_flight, now_ns, sender),
            Pace::Open { .. } => {
                let Some(mut open_loop) = self.open_loop.take() else {
                    return Due::Never;
                };
                let due = open_loop.turn(now_ns, sender, |link, _, due_ns, sender| {
                    sender.record.tally[Count::Expected] += 1;
                    let (stamp, bytes) = self.stamp(link, due_ns, now_ns);
                    sender.push(stamp, bytes);
                });
                self.open_loop = Some(open_loop);
                due
            }
        }
    }

    fn is_quiet(&self, now_ns: u64) -> bool {
        match &self.open_loop {
            Some(open_loop) => open_loop.is_over(),
            None => now_ns >= self.window.to_ns,
        }
    }

    fn account(&self, deliveries: &mut Deliveries) {
        for (link, &sent) in self.sent.iter().enumerate() {
            let disorder = self.sequences.disorder(link);
            *deliveries.of(self.layout.id(link)) = Delivery {
                sent,
                expected: sent,
                received: self.sequences.received(link),
                duplicated: disorder.duplicated,
                reordered: disorder.reordered,
            };
        }
        for (&link, corrupt) in &self.corrupt {
            *deliveries.corrupt.entry(self.layout.id(link)).or_default() += corrupt;
        }
    }

    fn has_news(&self) -> bool {
        false
    }
}
