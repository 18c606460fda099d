//! The shell around a core: the only place from which the core is reached.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringmain_core::limits::{TURN_FRAMES_MAX, TURN_WRITES_MAX};
use ringmain_core::{
    ConnId, Ending, Input, ShardCore, ShardStats, Tick, Verdict, Write, WriteOutcome,
};
use ringmain_router::{Lane, MeshPort, Publication, RoomName, ShardFrame};
use ringmain_rt::{Backend, BatchSender, Listener, Next, Sending, Socket, Turns};

use crate::log_limit::LogLimit;
use crate::policy::{Policy, PolicyReceiver};
use crate::pulse::Pulse;
use crate::sockets::Sockets;
use crate::{ACCEPT_RETRY_MS, RECEIVE_BYTES_MAX, REFUSAL_MS};

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
    /// Refused connections that have their answer, with the time at which they are shut.
    refused: RefCell<VecDeque<(Tick, Rc<Socket>)>>,
    /// The accepting task, while it waits for a descriptor to be free.
    accepting: RefCell<Option<Waker>>,
    /// Tasks that go on after this turn.
    yielded: RefCell<Vec<Waker>>,
    /// When it tries again in any case: the descriptor may become free elsewhere.
    accept_at: Cell<Option<Tick>>,
    listener: Rc<Listener>,
    turns: Rc<Turns>,
    pulse: Arc<Pulse>,
    policy: RefCell<Arc<Policy>>,
    policies: PolicyReceiver,
    refusal_log: LogLimit,
    /// What the ids of messages published by HTTP begin with: no other shard's do, nor did those of an earlier start.
    publication_ids: String,
    /// Ids given so far.
    publications: Cell<u64>,
    /// The numbers of all shards of the node, this one's among them.
    node_stats: Vec<Arc<ShardStats>>,
    stats: Arc<ShardStats>,
    started: Instant,
    now: Cell<Tick>,
    /// The time was read in this turn.
    now_is_fresh: Cell<bool>,
    connections_max: usize,
    node_connections_max: usize,
    backend: Backend,
}

/// What a task waits for, or what it has got.
enum Waiting<T> {
    For(Waker),
    Got(T),
}

/// What a shell is made of.
pub struct ShellParts {
    pub core: ShardCore,
    pub port: MeshPort,
    pub listener: Listener,
    pub sender: BatchSender,
    pub pulse: Arc<Pulse>,
    pub policy: Arc<Policy>,
    pub policies: PolicyReceiver,
    pub index: usize,
    pub node_stats: Vec<Arc<ShardStats>>,
    pub started: Instant,
    pub connections_max: usize,
    pub node_connections_max: usize,
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
    pub fn new(parts: ShellParts) -> Self {
        Shell {
            core: RefCell::new(parts.core),
            port: RefCell::new(parts.port),
            sockets: RefCell::default(),
            sender: RefCell::new(parts.sender),
            received: RefCell::new(vec![0; RECEIVE_BYTES_MAX].into_boxed_slice()),
            verdicts: RefCell::default(),
            paused: RefCell::default(),
            refused: RefCell::default(),
            accepting: RefCell::default(),
            yielded: RefCell::default(),
            accept_at: Cell::default(),
            listener: Rc::new(parts.listener),
            turns: Rc::default(),
            pulse: parts.pulse,
            policy: RefCell::new(parts.policy),
            policies: parts.policies,
            refusal_log: LogLimit::default(),
            publication_ids: publication_ids(parts.index),
            publications: Cell::default(),
            stats: parts.node_stats[parts.index].clone(),
            node_stats: parts.node_stats,
            started: parts.started,
            now: Cell::default(),
            now_is_fresh: Cell::new(false),
            connections_max: parts.connections_max,
            node_connections_max: parts.node_connections_max,
            backend: parts.backend,
        }
    }

    pub fn listener(&self) -> &Rc<Listener> {
        &self.listener
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

    /// Whether a refusal may be logged now: then how many were not, since the last one that was.
    pub fn admit_log_line(&self) -> Option<u64> {
        self.refusal_log.admit(self.now())
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
        step(&mut self.core.borrow_mut(), now)
    }

    /// The time, read once in each batch of completions.
    fn now(&self) -> Tick {
        if !self.now_is_fresh.replace(true) {
            self.pulse.wake();
            self.now
                .set(Tick(self.started.elapsed().as_millis() as u64));
        }
        self.now.get()
    }

    /// The end of a turn: frames in, timers and fan-outs, frames out, the flush, and whatever else
    /// has become due.
    pub fn end_turn(&self) -> Next {
        let now = self.now();
        let core = &mut *self.core.borrow_mut();
        let port = &mut *self.port.borrow_mut();
        port.disarm();
        let more_frames = self.receive_frames(core, port, now);
        core.handle(
            now,
            Input::Turn {
                lane_bytes: port.waiting_bytes(),
            },
        );
        core.send_frames(now, |to, frame| port.send(to, frame));
        port.ring_touched();
        port.make_room_known();
        core.flush(TURN_WRITES_MAX, |writes, outcomes| {
            self.send(writes, outcomes)
        });
        self.settle(core);
        core.show();
        self.shut_refused(now);
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
            let limits = Box::new(policy.limits.clone());
            core.handle(now, Input::Configure(limits));
            self.policy.replace(policy);
        }
    }

    fn next(&self, core: &ShardCore, port: &MeshPort, more_frames: bool) -> Next {
        if core.is_stopped() {
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
            .chain(self.accept_at.get())
            .min();
        Next::SleepUntil(
            at.map(|Tick(milliseconds)| self.started + Duration::from_millis(milliseconds)),
        )
    }

    /// Makes writes, without waiting. What a socket does not take is sent when it is writable.
    fn send(&self, writes: &[Write<'_>], outcomes: &mut Vec<WriteOutcome>) {
        let sockets = self.sockets.borrow();
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
            let taken = match result {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) if error.raw_os_error() == Some(NO_BUFFERS) => 0,
                Err(_) => {
                    outcomes.push(WriteOutcome::Gone);
                    continue;
                }
            };
            if taken < write.bytes()
                && let Some(socket) = sockets.get(write.conn)
            {
                self.await_writable(write.conn, socket.clone());
            }
            outcomes.push(WriteOutcome::Wrote(taken));
        }
    }

    fn await_writable(&self, conn: ConnId, socket: Rc<Socket>) {
        let shell = SHELL.with(|shell| shell.borrow().clone());
        ringmain_rt::spawn(async move {
            // A failed socket is writable too: the next write finds out.
            let _ = socket.writable().await;
            if let Some(shell) = shell {
                shell.turn(|core, now| core.handle(now, Input::Writable { conn }));
            }
        });
    }

    /// Carries out what the core has decided about connections.
    fn settle(&self, core: &mut ShardCore) {
        while let Some((conn, verdict)) = core.poll_verdict() {
            answer(&mut self.verdicts.borrow_mut(), conn, Some(verdict));
        }
        while let Some((conn, ending)) = core.poll_close() {
            // Whoever waits for a verdict waits in vain; the socket's end is what it sees next.
            let waits = matches!(self.verdicts.borrow().get(&conn), Some(Waiting::For(_)));
            if waits {
                answer(&mut self.verdicts.borrow_mut(), conn, None);
            }
            if let Some(socket) = self.sockets.borrow().get(conn) {
                socket.shutdown(match ending {
                    Ending::HalfClose => Shutdown::Write,
                    Ending::Shutdown => Shutdown::Both,
                });
            }
        }
        while let Some(conn) = core.poll_readable() {
            answer(&mut self.paused.borrow_mut(), conn, ());
        }
        if core.is_stopping() {
            self.listener.shut();
            self.wake_accepting();
        }
    }

    /// Reads what is there from a connection's socket and hands it to `take`.
    pub fn receive(&self, socket: &Socket, take: impl FnOnce(&mut [u8]) -> Reading) -> Reading {
        let mut buffer = self.received.borrow_mut();
        match socket.receive(&mut buffer) {
            Ok(0) => Reading::Ended,
            Ok(bytes) => take(&mut buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Reading::Open,
            Err(_) => Reading::Ended,
        }
    }

    /// Publishes a message of a connection that is no member; [`verdict`](Self::verdict) tells what came of it.
    pub fn publish(&self, conn: ConnId, room: RoomName, publication: Publication) {
        let lane_frames = self.port.borrow().waiting_frames();
        let input = Input::Publish {
            conn,
            room,
            publication: Box::new(publication),
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

    /// Adds the socket of an admitted connection.
    pub fn opened(&self, conn: ConnId, socket: Rc<Socket>) {
        self.sockets.borrow_mut().insert(conn, socket);
    }

    /// Takes a connection out that has come to its end.
    pub fn ended(&self, conn: ConnId) {
        self.sockets.borrow_mut().remove(conn);
        self.verdicts.borrow_mut().remove(&conn);
        self.paused.borrow_mut().remove(&conn);
        self.turn(|core, now| core.handle(now, Input::Ended { conn }));
        self.wake_accepting();
    }

    /// Whether the shard or the node has as many connections as it may.
    pub fn is_full(&self) -> bool {
        let node: u64 = self
            .node_stats
            .iter()
            .map(|stats| stats.connections.get())
            .sum();
        self.sockets.borrow().len() >= self.connections_max
            || node >= self.node_connections_max as u64
    }

    /// Refused connections that are still being told.
    pub fn refusals(&self) -> usize {
        self.refused.borrow().len()
    }

    /// Keeps a refused connection until the peer has read its answer, or for a second.
    pub fn refuse(&self, socket: Rc<Socket>) {
        let at = self.now().plus(REFUSAL_MS);
        self.turns.request();
        self.refused.borrow_mut().push_back((at, socket));
    }

    /// A refused connection is at its end.
    pub fn refusal_done(&self, socket: &Rc<Socket>) {
        self.refused
            .borrow_mut()
            .retain(|(_, refused)| !Rc::ptr_eq(refused, socket));
        self.wake_accepting();
    }

    fn shut_refused(&self, now: Tick) {
        for (at, socket) in &*self.refused.borrow() {
            if *at > now {
                break;
            }
            socket.shutdown(Shutdown::Both);
        }
    }

    /// Waits until this turn has ended: lets the others go on. A task that just woke itself would be
    /// the next to run.
    pub async fn next_turn(&self) {
        let mut waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.yielded.borrow_mut().push(context.waker().clone());
            self.turns.request();
            Poll::Pending
        })
        .await;
    }

    /// Whether a task that has read must let the others go on before it reads again. In the ring every
    /// wait does that; with epoll, a wait for what is there already is over at once.
    pub fn must_yield(&self) -> bool {
        self.backend == Backend::Epoll
    }

    /// Waits until a descriptor may have become free.
    pub async fn descriptor_freed(&self) {
        let mut waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.accepting.replace(Some(context.waker().clone()));
            self.accept_at.set(Some(self.now().plus(ACCEPT_RETRY_MS)));
            self.turns.request();
            Poll::Pending
        })
        .await;
    }

    fn wake_accepting(&self) {
        self.accept_at.set(None);
        if let Some(waker) = self.accepting.take() {
            waker.wake();
        }
    }
}

fn publication_ids(shard: usize) -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{:x}-{shard:x}", since_1970.unwrap_or_default().as_millis())
}

/// ENOBUFS: the system is short of memory for now, not the socket at its end.
const NO_BUFFERS: i32 = 105;

thread_local! {
    /// The thread's shell, for tasks that the shell itself starts.
    static SHELL: RefCell<Option<Rc<Shell>>> = const { RefCell::new(None) };
}

/// Makes the shell known to the tasks that it starts itself.
pub fn install(shell: &Rc<Shell>) {
    SHELL.with(|slot| slot.replace(Some(shell.clone())));
}

/// Gives a task what it waits for, or keeps it until the task asks.
fn answer<T>(waiting: &mut HashMap<ConnId, Waiting<T>>, conn: ConnId, got: T) {
    if let Some(Waiting::For(waker)) = waiting.insert(conn, Waiting::Got(got)) {
        waker.wake();
    }
}

async fn wait<T>(waiting: &RefCell<HashMap<ConnId, Waiting<T>>>, conn: ConnId) -> T {
    poll_fn(|context| {
        let mut waiting = waiting.borrow_mut();
        match waiting.remove(&conn) {
            Some(Waiting::Got(got)) => Poll::Ready(got),
            _ => {
                waiting.insert(conn, Waiting::For(context.waker().clone()));
                Poll::Pending
            }
        }
    })
    .await
}
