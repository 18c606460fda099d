//! Rooms: what a publisher sends, every other member of its room must receive. Fan-out, and the rooms
//! of idle connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::bells::Bells;
use crate::clock::{SECOND_NS, Window};
use crate::delivery::Deliveries;
use crate::flights::{Flights, Landings, Ready};
use crate::layout::Layout;
use crate::load::visits::{Seen, Visits};
use crate::load::{Due, Load, OpenLoop, Sender};
use crate::measure::Record;
use crate::outgoing::Outgoing;
use crate::payload::Stamp;
use crate::schedule::Schedule;
use crate::sequences::{Arrival, Sequences};
use crate::settings::Pace;
use crate::sizes::Sizes;
use crate::tally::Count;

/// A closed loop goes on after this time although a message has not reached everybody: what is lost
/// must not hold up the rest of the run.
const STALL_NS: u64 = 5 * SECOND_NS;

/// What all threads know of the rooms.
#[derive(Debug)]
pub struct SharedRooms {
    /// By room: members that are open.
    members: Vec<AtomicU32>,
    /// By room: threads that have members in it.
    threads: Vec<AtomicU32>,
    /// Of a closed loop; empty otherwise.
    flights: Flights,
    /// By thread.
    ready: Vec<Ready>,
}

impl SharedRooms {
    /// For a run with these layouts, one a thread.
    pub fn new(layouts: &[Layout], publishing: Publishing) -> Self {
        let rooms = layouts.first().map_or(0, Layout::rooms);
        let counters = || (0..rooms).map(|_| AtomicU32::new(0)).collect();
        let publishers = layouts.first().map_or(0, Layout::publishers);
        SharedRooms {
            members: counters(),
            threads: counters(),
            flights: match publishing {
                Publishing::By(Pace::Closed { in_flight }) => Flights::new(publishers, in_flight),
                _ => Flights::new(0, 1),
            },
            ready: layouts
                .iter()
                .map(|layout| Ready::new(layout.local_publishers()))
                .collect(),
        }
    }
}

/// What the publishers do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Publishing {
    /// Send while the window lasts.
    By(Pace),
    /// Send one message when the window ends.
    Probe,
    /// Nothing.
    Nothing,
}

/// How messages are sent, at one thread.
enum Sending {
    Closed {
        landings: Landings,
        /// When each publisher of this thread last sent something.
        progress_ns: Vec<u64>,
        /// When publishers are next looked at for having stalled.
        check_ns: u64,
    },
    Open(Option<OpenLoop>),
    Probe {
        /// Publishers that have sent theirs.
        done: usize,
    },
    Nothing,
}

/// One thread's members and publishers.
pub struct Rooms {
    layout: Layout,
    shared: Arc<SharedRooms>,
    bells: Arc<Bells>,
    run: u32,
    sizes: Sizes,
    publishing: Publishing,
    /// Publishers receive their own messages.
    own: bool,
    window: Window,
    sending: Sending,
    /// Of those that must receive everything.
    sequences: Sequences,
    /// Of those that come and go or read slowly.
    visits: Visits,
    /// By room: open members of this thread.
    members: Vec<u32>,
    /// By publisher of this thread.
    open_publishers: Vec<bool>,
    sent: Vec<u64>,
    /// Deliveries that these should cause.
    expected: Vec<u64>,
    /// By room: messages that came changed.
    corrupt: HashMap<u32, u64>,
    settled: bool,
}

impl Rooms {
    /// For one thread's connections.
    pub fn new(
        layout: Layout,
        shared: Arc<SharedRooms>,
        bells: Arc<Bells>,
        publishing: Publishing,
        own: bool,
        (run, sizes): (u32, Sizes),
    ) -> Self {
        let publishers = layout.local_publishers();
        Rooms {
            layout,
            shared,
            bells,
            run,
            sizes,
            publishing,
            own,
            window: Window::NONE,
            sending: match publishing {
                Publishing::By(Pace::Closed { in_flight }) => Sending::Closed {
                    landings: Landings::new(layout.publishers(), in_flight),
                    progress_ns: vec![0; publishers],
                    check_ns: 0,
                },
                Publishing::By(Pace::Open { .. }) => Sending::Open(None),
                Publishing::Probe => Sending::Probe { done: 0 },
                Publishing::Nothing => Sending::Nothing,
            },
            sequences: Sequences::new(layout.steady_pairs()),
            visits: Visits::new(
                layout.pairs() - layout.steady_pairs(),
                layout.publishers_per_room(),
            ),
            members: vec![0; layout.rooms()],
            open_publishers: vec![false; publishers],
            sent: vec![0; publishers],
            expected: vec![0; publishers],
            corrupt: HashMap::new(),
            settled: false,
        }
    }

    /// Members of this thread that receive what a publisher sends.
    #[inline]
    fn receivers(&self, publisher: u32) -> u32 {
        let members = self.members[self.layout.room(publisher) as usize];
        members - u32::from(!self.own && self.has_open_publisher(publisher))
    }

    #[inline]
    fn has_open_publisher(&self, publisher: u32) -> bool {
        let (_, link) = self.layout.place(publisher);
        self.layout.is_local(publisher) && self.open_publishers[link]
    }

    /// Makes the next message of a publisher of this thread, and counts whom it must reach.
    fn stamp(
        &mut self,
        link: usize,
        time_ns: u64,
        sent_ns: u64,
        record: &mut Record,
    ) -> (Stamp, usize) {
        let publisher = self.layout.id(link);
        let room = self.layout.room(publisher) as usize;
        let members = u64::from(self.shared.members[room].load(Ordering::Relaxed));
        let expected = members.saturating_sub(u64::from(!self.own));
        record.tally[Count::Expected] += expected;
        self.expected[link] += expected;
        let sequence = self.sent[link];
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

    fn measured(&self) -> Window {
        match self.publishing {
            // The probe follows the window, and is all that is measured.
            Publishing::Probe => Window {
                from_ns: self.window.to_ns,
                to_ns: u64::MAX,
                ..self.window
            },
            _ => self.window,
        }
    }

    /// All members of this thread have a message.
    fn land(&self, publisher: u32, number: u64) {
        if self.shared.flights.land(publisher, number) {
            let (thread, link) = self.layout.place(publisher);
            self.shared.ready[thread].mark(link);
            if !self.layout.is_local(publisher) {
                self.bells.wake(thread);
            }
        }
    }

    /// Sends as many messages of a closed loop as may be under way; `force` sends one that may not.
    fn publish(&mut self, link: usize, now_ns: u64, sender: &mut Sender<'_>, mut force: bool) {
        let publisher = self.layout.id(link);
        let room = self.layout.room(publisher) as usize;
        let mut any = false;
        while sender.links.is_open(link) && now_ns < self.window.to_ns {
            let number = self.sent[link];
            if !std::mem::take(&mut force) && !self.shared.flights.may_launch(publisher, number) {
                break;
            }
            let others = self.shared.threads[room].load(Ordering::Relaxed)
                - u32::from(self.receivers(publisher) == 0);
            if others == 0 {
                break;
            }
            self.shared.flights.launch(publisher, number, others);
            let (stamp, bytes) = self.stamp(link, now_ns, now_ns, sender.record);
            sender.push(stamp, bytes);
            any = true;
        }
        if any {
            sender.flush(link);
            if let Sending::Closed { progress_ns, .. } = &mut self.sending {
                progress_ns[link] = now_ns;
            }
        }
    }

    /// A visitor or a slow member has received a message.
    fn aside(&mut self, link: usize, pair: usize, sequence: u64, now_ns: u64, record: &mut Record) {
        let tally = &mut record.tally;
        match self
            .visits
            .observe(pair - self.layout.steady_pairs(), sequence)
        {
            Seen::Again => tally[Count::Duplicated] += 1,
            Seen::After(missed) => {
                tally[Count::ReceivedAside] += 1;
                tally[Count::ReceivedAsideMeasured] += u64::from(record.window.measures(now_ns));
                let is_slow = self.layout.slow_links().contains(&link);
                tally[if is_slow {
                    Count::MissedBySlow
                } else {
                    Count::MissedByVisitors
                }] += missed;
            }
        }
    }

    fn turn_closed(&mut self, now_ns: u64, sender: &mut Sender<'_>) -> Due {
        let shared = self.shared.clone();
        let (thread, _) = self.layout.thread();
        shared.ready[thread].take(|link| self.publish(link, now_ns, sender, false));
        let Sending::Closed { check_ns, .. } = &mut self.sending else {
            return Due::Never;
        };
        if *check_ns <= now_ns {
            *check_ns = now_ns + SECOND_NS;
            self.go_on_where_stalled(now_ns, sender);
        }
        match &self.sending {
            Sending::Closed { check_ns, .. } if now_ns < self.window.to_ns => Due::At(*check_ns),
            _ => Due::Never,
        }
    }

    fn go_on_where_stalled(&mut self, now_ns: u64, sender: &mut Sender<'_>) {
        for link in 0..self.sent.len() {
            let Sending::Closed { progress_ns, .. } = &self.sending else {
                return;
            };
            let stalled = now_ns.saturating_sub(progress_ns[link]) > STALL_NS;
            if stalled
                && self.sent[link] > 0
                && sender.links.is_open(link)
                && now_ns < self.window.to_ns
            {
                sender.record.tally[Count::Stalled] += 1;
                self.publish(link, now_ns, sender, true);
            }
        }
    }

    fn turn_open(&mut self, now_ns: u64, sender: &mut Sender<'_>) -> Due {
        let Sending::Open(open_loop) = &mut self.sending else {
            return Due::Never;
        };
        let Some(mut open_loop) = open_loop.take() else {
            return Due::Never;
        };
        let due = open_loop.turn(now_ns, sender, |link, _, due_ns, sender| {
            let (stamp, bytes) = self.stamp(link, due_ns, now_ns, sender.record);
            sender.push(stamp, bytes);
        });
        self.sending = Sending::Open(Some(open_loop));
        due
    }

    fn turn_probe(&mut self, now_ns: u64, sender: &mut Sender<'_>) -> Due {
        if now_ns < self.window.to_ns {
            return Due::At(self.window.to_ns);
        }
        while let Sending::Probe { done } = &mut self.sending
            && *done < self.sent.len()
        {
            if !sender.take_budget() {
                return Due::Now;
            }
            let link = *done;
            *done += 1;
            if sender.links.is_open(link) {
                let (stamp, bytes) = self.stamp(link, now_ns, now_ns, sender.record);
                sender.push(stamp, bytes);
                sender.flush(link);
            }
        }
        Due::Never
    }
}

impl Load for Rooms {
    fn opened(&mut self, link: usize) {
        if let Some(receiver) = link.checked_sub(self.layout.steady_links()) {
            return self.visits.begin(receiver);
        }
        let room = self.layout.room(self.layout.id(link)) as usize;
        self.members[room] += 1;
        if let Some(open) = self.open_publishers.get_mut(link) {
            *open = true;
        }
        if self.settled {
            self.shared.members[room].fetch_add(1, Ordering::Relaxed);
            if self.members[room] == 1 {
                self.shared.threads[room].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn settled(&mut self) {
        self.settled = true;
        for (room, &members) in self.members.iter().enumerate() {
            if members > 0 {
                self.shared.members[room].fetch_add(members, Ordering::Relaxed);
                self.shared.threads[room].fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn lost(&mut self, link: usize) {
        if link >= self.layout.steady_links() {
            return;
        }
        let room = self.layout.room(self.layout.id(link));
        let members = &mut self.members[room as usize];
        *members -= 1;
        if let Some(open) = self.open_publishers.get_mut(link) {
            *open = false;
        }
        if !self.settled {
            return;
        }
        self.shared.members[room as usize].fetch_sub(1, Ordering::Relaxed);
        if *members == 0 {
            self.shared.threads[room as usize].fetch_sub(1, Ordering::Relaxed);
        }
        for publisher in self.layout.publishers_of(room) {
            let receivers = self.receivers(publisher);
            let Sending::Closed { landings, .. } = &mut self.sending else {
                return;
            };
            for number in landings.shrink(publisher, receivers) {
                self.land(publisher, number);
            }
        }
    }

    fn begin(&mut self, window: Window, record: &mut Record) {
        self.window = window;
        record.window = self.measured();
        let publishers = self.sent.len();
        match self.publishing {
            Publishing::By(Pace::Open { rate }) => {
                record.has_schedule = true;
                let (all, thread) = (self.layout.publishers(), self.layout.thread());
                let schedule = Schedule::new(rate, window, all, thread, publishers);
                self.sending = Sending::Open(Some(OpenLoop::new(schedule)));
            }
            Publishing::By(Pace::Closed { .. }) => {
                let (thread, _) = self.layout.thread();
                (0..publishers).for_each(|link| self.shared.ready[thread].mark(link));
            }
            Publishing::Probe | Publishing::Nothing => {}
        }
    }

    fn end_at(&mut self, to_ns: u64, record: &mut Record) {
        self.window.to_ns = to_ns;
        record.window = self.measured();
        if let Sending::Open(Some(open_loop)) = &mut self.sending {
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
        _out: &mut Outgoing,
    ) {
        let Some(stamp) = self.sizes.read(message) else {
            record.tally[Count::Corrupt] += 1;
            let room = self.layout.room(self.layout.id(link));
            *self.corrupt.entry(room).or_default() += 1;
            return;
        };
        let publisher = stamp.publisher;
        let is_for_this = stamp.run == self.run && (self.own || publisher != self.layout.id(link));
        let Some(pair) = self.layout.pair(link, publisher).filter(|_| is_for_this) else {
            record.tally[Count::Unexpected] += 1;
            return;
        };
        if link >= self.layout.steady_links() {
            return self.aside(link, pair, stamp.sequence, now_ns, record);
        }
        match self.sequences.observe(pair, stamp.sequence) {
            Arrival::InOrder | Arrival::Early => {}
            Arrival::Late => record.tally[Count::Reordered] += 1,
            Arrival::Duplicate => {
                record.tally[Count::Duplicated] += 1;
                return;
            }
        }
        record.received(&stamp, message.len(), now_ns);
        let receivers = self.receivers(publisher);
        if let Sending::Closed { landings, .. } = &mut self.sending
            && landings.arrive(publisher, stamp.sequence, receivers)
        {
            self.land(publisher, stamp.sequence);
        }
    }

    fn turn(&mut self, now_ns: u64, sender: &mut Sender<'_>) -> Due {
        match self.sending {
            Sending::Closed { .. } => self.turn_closed(now_ns, sender),
            Sending::Open(_) => self.turn_open(now_ns, sender),
            Sending::Probe { .. } => self.turn_probe(now_ns, sender),
            Sending::Nothing => Due::Never,
        }
    }

    fn is_quiet(&self, now_ns: u64) -> bool {
        match &self.sending {
            Sending::Closed { .. } | Sending::Nothing => now_ns >= self.window.to_ns,
            Sending::Open(open_loop) => open_loop.as_ref().is_some_and(OpenLoop::is_over),
            Sending::Probe { done } => now_ns >= self.window.to_ns && *done == self.sent.len(),
        }
    }

    fn account(&self, deliveries: &mut Deliveries) {
        for (link, (&sent, &expected)) in self.sent.iter().zip(&self.expected).enumerate() {
            let delivery = deliveries.of(self.layout.id(link));
            delivery.sent += sent;
            delivery.expected += expected;
        }
        for link in 0..self.layout.steady_links() {
            let room = self.layout.room(self.layout.id(link));
            for publisher in self.layout.publishers_of(room) {
                if let Some(pair) = self.layout.pair(link, publisher) {
                    let disorder = self.sequences.disorder(pair);
                    let delivery = deliveries.of(publisher);
                    delivery.received += self.sequences.received(pair);
                    delivery.duplicated += disorder.duplicated;
                    delivery.reordered += disorder.reordered;
                }
            }
        }
        for (&room, corrupt) in &self.corrupt {
            *deliveries.corrupt.entry(room).or_default() += corrupt;
        }
    }

    fn has_news(&self) -> bool {
        let (thread, _) = self.layout.thread();
        matches!(self.sending, Sending::Closed { .. }) && self.shared.ready[thread].any()
    }
}
