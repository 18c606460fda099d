//! The shell around a core: the only place from which the core is reached.

mod doors;
mod refusals;
mod sealed;
mod token_queue;
mod tokens;
mod waits;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringmain_core::limits::{TURN_FRAMES_MAX, TURN_WRITES_MAX};
use ringmain_core::{
    ConnId, Ending, Input, Rate, Refusal, ShardCore, ShardStats, Target, Tick, Verdict, Write,
    WriteOutcome,
};
use ringmain_router::{Lane, MeshPort, Moment, Publication, RoomName, ShardFrame, Subject};
use ringmain_rt::{Backend, BatchSender, Listener, Next, Sending, Socket, Turns};

use crate::RECEIVE_BYTES_MAX;
use crate::accept_pace::AcceptPace;
use crate::gate;
use crate::http::Exchanges;
use crate::journal::{self, Journal, Refused};
use crate::listening::Listening;
use crate::policy::{Policy, PolicyReceiver};
use crate::pulse::Pulse;
use crate::sockets::Sockets;
use crate::tls::is_busy;
use crate::transport::Transport;
use crate::waiting::{Waiting, answer, wait};

/// One shard at work.
pub struct Shell {
    core: RefCell<ShardCore>,
    port: RefCell<MeshPort>,
    sockets: RefCell<Sockets>,
    sender: RefCell<BatchSender>,
    /// The one receive buffer: what is read is parsed before anything else is read.
    received: RefCell<Box<[u8]>>,
    /// Tasks that wait for a verdict, and the verdicts that they have not yet taken.
    verdicts: RefCell<HashMap<ConnId, Waiting<Option<Verdict>>>>,
    /// Tasks of paused connections.
    paused: RefCell<HashMap<ConnId, Waiting<()>>>,
    /// Where connections want to go whose first message is to be a token.
    awaiting: RefCell<HashMap<ConnId, Target>>,
    /// Requests whose tokens are looked at in their turn.
    token_queue: token_queue::TokenQueue,
    /// Clients behind proxies that have said who they are.
    clients: RefCell<HashMap<ConnId, SocketAddr>>,
    /// Refused connections that have their answer, with the time at which they are shut.
    refused: RefCell<VecDeque<(Tick, Rc<Transport>)>>,
    /// The accepting tasks, while they wait for a descriptor to be free.
    accepting: RefCell<Vec<Waker>>,
    /// Tasks that go on after this turn.
    yielded: RefCell<Vec<Waker>>,
    /// When they try again in any case: the descriptor may become free elsewhere.
    accept_at: Cell<Option<Tick>>,
    accept_pace: AcceptPace,
    listening: Listening,
    tls_listening: Option<Listening>,
    tls: sealed::TlsSide,
    exchanges: Exchanges,
    turns: Rc<Turns>,
    pulse: Arc<Pulse>,
    journal: Journal,
    policy: RefCell<Arc<Policy>>,
    policies: PolicyReceiver,
    /// What the ids of messages published by HTTP begin with: no other shard's do, nor did those of an earlier start.
    publication_ids: String,
    /// Ids given so far.
    publications: Cell<u64>,
    /// The numbers of all shards of the node, this one's among them.
    node_stats: Vec<Arc<ShardStats>>,
    stats: Arc<ShardStats>,
    started: Instant,
    now: Cell<Tick>,
    /// The same, as exactly as the clock tells it.
    moment: Cell<Moment>,
    /// The time was read in this turn.
    now_is_fresh: Cell<bool>,
    connections_max: usize,
    backend: Backend,
    index: usize,
}

/// What a shell is made of.
pub struct ShellParts {
    pub core: ShardCore,
    pub port: MeshPort,
    pub listener: Listener,
    pub tls_listener: Option<Listener>,
    pub sender: BatchSender,
    pub pulse: Arc<Pulse>,
    pub policy: Arc<Policy>,
    pub policies: PolicyReceiver,
    pub index: usize,
    pub node: String,
    pub node_stats: Vec<Arc<ShardStats>>,
    pub started: Instant,
    pub connections_max: usize,
    pub backend: Backend,
}

/// What came of reading a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Read on when it is readable again.
    Open,
    /// Read on after [`Shell::resumed`].
    Paused,
    /// The socket is at its end.
    Ended,
}

impl Shell {
    pub fn new(mut parts: ShellParts) -> Self {
        parts.core.tell_farewells(journal::closes_wanted());
        parts.node_stats[parts.index].listening.set(1);
        Shell {
            core: RefCell::new(parts.core),
            port: RefCell::new(parts.port),
            sockets: RefCell::default(),
            sender: RefCell::new(parts.sender),
            received: RefCell::new(vec![0; RECEIVE_BYTES_MAX].into_boxed_slice()),
            verdicts: RefCell::default(),
            paused: RefCell::default(),
            awaiting: RefCell::default(),
            token_queue: token_queue::TokenQueue::default(),
            clients: RefCell::default(),
            refused: RefCell::default(),
            accepting: RefCell::default(),
            yielded: RefCell::default(),
            accept_at: Cell::default(),
            accept_pace: AcceptPace::default(),
            index: parts.index,
            listening: Listening::new(parts.listener),
            tls_listening: parts.tls_listener.map(Listening::new),
            tls: sealed::TlsSide::default(),
            exchanges: Exchanges::default(),
            turns: Rc::default(),
            pulse: parts.pulse,
            journal: Journal::new(&parts.node, parts.index, parts.node_stats.len()),
            policy: RefCell::new(parts.policy),
            policies: parts.policies,
            publication_ids: publication_ids(parts.index),
            publications: Cell::default(),
            stats: parts.node_stats[parts.index].clone(),
            node_stats: parts.node_stats,
            started: parts.started,
            now: Cell::default(),
            moment: Cell::new(Moment::new(0)),
            now_is_fresh: Cell::new(false),
            connections_max: parts.connections_max,
            backend: parts.backend,
        }
    }

    /// The connections that speak HTTP.
    pub fn exchanges(&self) -> &Exchanges {
        &self.exchanges
    }

    pub fn turns(&self) -> &Rc<Turns> {
        &self.turns
    }

    /// What it goes by now.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.borrow().clone()
    }

    pub fn stats(&self) -> &ShardStats {
        &self.stats
    }

    /// An id that no other message of this node has, nor has had.
    pub fn publication_id(&self) -> String {
        self.publications.set(self.publications.get() + 1);
        format!("{}-{:x}", self.publication_ids, self.publications.get())
    }

    /// Reaches the core. What it decides goes out at the end of the turn.
    pub fn turn<R>(&self, step: impl FnOnce(&mut ShardCore, Tick) -> R) -> R {
        let now = self.now();
        self.turns.request();
        let core = &mut *self.core.borrow_mut();
        core.set_moment(self.moment.get());
        let result = step(core, now);
        if core.has_large_replies() {
            self.flush(core);
        }
        result
    }

    /// Writes what is due, and returns when that was done, if anything was.
    fn flush(&self, core: &mut ShardCore) -> Option<Moment> {
        let mut sent = None;
        core.flush(TURN_WRITES_MAX, |writes, outcomes| {
            self.send(writes, outcomes);
            sent = Some(self.read_moment());
            sent
        });
        sent
    }

    /// The time, read once in each batch of completions.
    pub fn now(&self) -> Tick {
        if !self.now_is_fresh.replace(true) {
            self.pulse.wake();
            let elapsed = self.started.elapsed();
            self.now.set(Tick(elapsed.as_millis() as u64));
            self.moment.set(Moment::new(elapsed.as_micros() as u64));
        }
        self.now.get()
    }

    /// The moment, read anew.
    fn read_moment(&self) -> Moment {
        Moment::new(self.started.elapsed().as_micros() as u64)
    }

    /// The end of a turn: frames in, timers and fan-outs, frames out, the flush, and whatever else
    /// has become due.
    pub fn end_turn(&self) -> Next {
        let now = self.now();
        let core = &mut *self.core.borrow_mut();
        let port = &mut *self.port.borrow_mut();
        core.set_moment(self.moment.get());
        port.disarm();
        let more_frames = self.receive_frames(core, port, now);
        core.handle(
            now,
            Input::Turn {
                lane_bytes: port.waiting_bytes(),
            },
        );
        gate::answer_tokens(self, core, now);
        core.send_frames(now, |to, frame| port.send(to, frame));
        port.ring_touched();
        port.make_room_known();
        let turn_us = self
            .flush(core)
            .unwrap_or_else(|| self.read_moment())
            .since(self.moment.get());
        self.stats.turn_time.record(turn_us, 1);
        self.tell_held(|input| core.handle(now, input));
        self.settle(core, now);
        core.show();
        self.shut_refused(now);
        self.signing().begin_turn();
        if self.token_queue.begin_turn() {
            self.turns.request();
        }
        if self.accept_at.get().is_some_and(|at| at <= now) {
            self.wake_accepting();
        }
        self.yielded.take().into_iter().for_each(Waker::wake);
        self.now_is_fresh.set(false);
        let next = self.next(core, port, more_frames);
        // A shard that has stopped is not stuck either.
        self.pulse.beat(next != Next::Again);
        next
    }

    /// Takes frames in, control first. Returns whether the budget ended before the lanes did.
    fn receive_frames(&self, core: &mut ShardCore, port: &mut MeshPort, now: Tick) -> bool {
        let mut left = [TURN_FRAMES_MAX; 2];
        for (lane, left) in [Lane::Control, Lane::Data].into_iter().zip(&mut left) {
            while *left > 0 && (lane == Lane::Control || core.takes_data()) {
                let Some(frame) = port.receive(lane) else {
                    break;
                };
                if matches!(frame, ShardFrame::PolicyChanged) {
                    self.take_policy(core, now);
                }
                core.handle(now, Input::Frame(frame));
                *left -= 1;
            }
        }
        left.contains(&0)
    }

    fn take_policy(&self, core: &mut ShardCore, now: Tick) {
        if let Some(policy) = self.policies.newest() {
            core.handle(now, Input::Configure(Box::new(policy.rules())));
            // The log's filter may have changed with it.
            core.tell_farewells(journal::closes_wanted());
            for listening in self.listenings() {
                if let Err(error) = listening.listener().set_options(policy.tcp) {
                    tracing::warn!(%error, "new connections keep the TCP options that were set before");
                }
            }
            self.policy.replace(policy);
            self.policies.took();
        }
    }

    fn next(&self, core: &ShardCore, port: &MeshPort, more_frames: bool) -> Next {
        if core.is_stopped() && self.has_shut() && self.refusals() == 0 {
            return Next::Stop;
        }
        if core.has_work() {
            self.stats.turns_over_budget.add(1);
            return Next::Again;
        }
        // Frames that cannot be taken now wait for a fan-out, which is work.
        if more_frames || !port.arm() {
            return Next::Again;
        }
        let refused = self.refused.borrow().front().map(|(at, _)| *at);
        let at = core
            .poll_deadline()
            .into_iter()
            .chain(refused)
            .chain(self.listenings().filter_map(Listening::deadline))
            .chain(self.accept_at.get())
            .min();
        Next::SleepUntil(
            at.map(|Tick(milliseconds)| self.started + Duration::from_millis(milliseconds)),
        )
    }

    /// Makes writes, without waiting. What a socket does not take is sent when it is writable.
    fn send(&self, writes: &[Write<'_>], outcomes: &mut Vec<WriteOutcome>) {
        let sockets = self.sockets.borrow();
        let has_tls = self.stats.tls_connections.get() > 0;
        if has_tls && writes.iter().any(|write| sockets.is_tls(write.conn)) {
            return self.send_sealed(&sockets, writes, outcomes);
        }
        let sendings: Vec<Sending<'_>> = writes
            .iter()
            .map(|write| Sending {
                fd: sockets.fd(write.conn),
                slices: write.slices,
            })
            .collect();
        let mut results = Vec::with_capacity(writes.len());
        self.sender.borrow_mut().send(&sendings, &mut results);
        for (write, result) in writes.iter().zip(results) {
            outcomes.push(self.wrote(&sockets, write, result));
        }
    }

    /// What has come of a write.
    fn wrote(
        &self,
        sockets: &Sockets,
        write: &Write<'_>,
        result: io::Result<usize>,
    ) -> WriteOutcome {
        let taken = match result {
            Ok(taken) => taken,
            Err(error) if is_busy(&error) => 0,
            Err(_) => return WriteOutcome::Gone,
        };
        if taken < write.bytes()
            && let Some(transport) = sockets.get(write.conn)
        {
            self.await_writable(write.conn, transport.clone());
        }
        WriteOutcome::Wrote(taken)
    }

    fn await_writable(&self, conn: ConnId, transport: Rc<Transport>) {
        let shell = SHELL.with(|shell| shell.borrow().clone());
        ringmain_rt::spawn(async move {
            // A failed socket is writable too: the next write finds out.
            let _ = transport.socket().writable().await;
            if let Some(shell) = shell {
                shell.turn(|core, now| core.handle(now, Input::Writable { conn }));
            }
        });
    }

    /// Carries out what the core has decided about connections.
    fn settle(&self, core: &mut ShardCore, now: Tick) {
        while let Some((conn, verdict)) = core.poll_verdict() {
            answer(&mut self.verdicts.borrow_mut(), conn, Some(verdict));
        }
        self.tell_farewells(core);
        while let Some((conn, ending)) = core.poll_close() {
            // Whoever waits for a verdict waits in vain; the socket's end is what it sees next.
            let waits = matches!(self.verdicts.borrow().get(&conn), Some(Waiting::For(_)));
            if waits && ending != Ending::Finish {
                answer(&mut self.verdicts.borrow_mut(), conn, None);
            }
            let how = match ending {
                Ending::Finish => {
                    self.exchanges.finish(conn);
                    continue;
                }
                Ending::HalfClose => Shutdown::Write,
                Ending::Shutdown => Shutdown::Both,
            };
            if let Some(socket) = self.sockets.borrow().get(conn) {
                socket.shutdown(how);
            }
        }
        while let Some(conn) = core.poll_readable() {
            answer(&mut self.paused.borrow_mut(), conn, ());
        }
        if core.is_draining() {
            for listening in self.listenings() {
                listening.begin_to_end(now);
                listening.go_on(now);
            }
        }
    }

    /// Writes to the log which connections begin to end, while their sockets still know their peers.
    fn tell_farewells(&self, core: &mut ShardCore) {
        while let Some(farewell) = core.poll_farewell() {
            let peer = self.peer(farewell.conn);
            self.journal.closed(&farewell, peer);
        }
    }

    /// Where a connection comes from: what a proxy has said of it, or else its socket's other end.
    pub fn peer(&self, conn: ConnId) -> Option<SocketAddr> {
        let noted = self.clients.borrow().get(&conn).copied();
        noted.or_else(|| self.sockets.borrow().get(conn)?.peer())
    }

    /// A proxy has said where a connection comes from.
    pub fn note_client(&self, conn: ConnId, client: SocketAddr) {
        self.clients.borrow_mut().insert(conn, client);
    }

    /// Counts a connection that is not admitted, and writes it to the log.
    pub fn tell_refusal(&self, refusal: Refusal, peer: Option<SocketAddr>) {
        let now = self.now();
        self.journal.refused(now, refusal, self.stats(), || peer);
    }

    /// Counts a request that is answered with an error, and writes it to the log.
    pub fn tell_refused_request(&self, conn: ConnId, request: Refused<'_>) {
        self.journal
            .request_refused(self.now(), request, self.stats(), || self.peer(conn));
    }

    /// Reads what is there from a connection's peer and hands it to `take`.
    pub fn receive(
        &self,
        conn: ConnId,
        transport: &Rc<Transport>,
        take: impl FnOnce(&mut [u8]) -> Reading,
    ) -> Reading {
        match &**transport {
            Transport::Plain(socket) => self.receive_raw(socket, take),
            Transport::Tls(tls) => self.receive_tls(conn, transport, tls, take),
        }
    }

    /// Reads what is there from a socket, as it is, and hands it to `take`.
    pub fn receive_raw(&self, socket: &Socket, take: impl FnOnce(&mut [u8]) -> Reading) -> Reading {
        let mut buffer = self.received.borrow_mut();
        match socket.receive(&mut buffer) {
            Ok(0) => Reading::Ended,
            Ok(bytes) => take(&mut buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Reading::Open,
            Err(_) => Reading::Ended,
        }
    }

    /// Publishes a message of a connection that is no member; [`verdict`](Self::verdict) tells what came of it.
    pub fn publish(
        &self,
        conn: ConnId,
        room: RoomName,
        publication: Publication,
        from: Option<IpAddr>,
    ) {
        let lane_frames = self.port.borrow().waiting_frames();
        let input = Input::Publish {
            conn,
            room,
            publication: Box::new(publication),
            from: from.map(Subject::Address),
            lane_frames,
        };
        self.turn(|core, now| core.handle(now, input));
    }

    /// Waits for a request to be decided; `None` if the connection is closed instead.
    pub async fn verdict(&self, conn: ConnId) -> Option<Verdict> {
        wait(&self.verdicts, conn).await
    }

    /// Waits until a paused connection may be read again.
    pub async fn resumed(&self, conn: ConnId) {
        wait(&self.paused, conn).await;
    }

    /// Adds the transport of an admitted connection.
    pub fn opened(&self, conn: ConnId, transport: Rc<Transport>) {
        if let Some(tls) = transport.tls() {
            self.tls_opened(tls);
        }
        self.sockets.borrow_mut().insert(conn, transport);
    }

    /// Takes a connection out that has come to its end.
    pub fn ended(&self, conn: ConnId) {
        self.turn(|core, now| {
            core.handle(now, Input::Ended { conn });
            self.tell_farewells(core);
        });
        let transport = self.sockets.borrow_mut().remove(conn);
        if let Some(tls) = transport.as_deref().and_then(Transport::tls) {
            self.tls_ended(tls);
        }
        self.verdicts.borrow_mut().remove(&conn);
        self.paused.borrow_mut().remove(&conn);
        self.awaiting.borrow_mut().remove(&conn);
        self.clients.borrow_mut().remove(&conn);
        self.wake_accepting();
    }

    pub fn accept_pace(&self) -> &AcceptPace {
        &self.accept_pace
    }

    /// The shard's part of the node's rate of new connections.
    pub fn accept_rate(&self) -> Option<Rate> {
        let rate = self.policy.borrow().accept_rate?;
        Some(rate.part(self.index, self.node_stats.len()))
    }

    /// Whether the shard or the node has as many connections as it may.
    pub fn is_full(&self) -> bool {
        let node: u64 = self
            .node_stats
            .iter()
            .map(|stats| stats.connections.get())
            .sum();
        self.sockets.borrow().len() >= self.connections_max
            || node >= self.policy.borrow().connections_max as u64
    }
}

fn publication_ids(shard: usize) -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{:x}-{shard:x}", since_1970.unwrap_or_default().as_millis())
}

thread_local! {
    /// The thread's shell, for tasks that the shell itself starts.
    static SHELL: RefCell<Option<Rc<Shell>>> = const { RefCell::new(None) };
}

/// Makes the shell known to the tasks that it starts itself.
pub fn install(shell: &Rc<Shell>) {
    SHELL.with(|slot| slot.replace(Some(shell.clone())));
}
