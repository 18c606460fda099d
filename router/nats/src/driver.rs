//! The task that owns the link.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use futures_util::FutureExt;
use ringmain_router::cluster::{
    Change, ClusterLink, Inbound, Input, LinkConfig, Output, PlainLimits, Subscription,
};
use ringmain_router::{CloseRequest, Lane, MeshPort, Tick};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::connect::{NatsConfig, NatsError};
use crate::drainer::{BATCH_BYTES, Clock, ORDERS_MAX, Order, Tally};
use crate::listening::Listening;
use crate::status::Status;
use crate::way::{Shared, Way};

/// How often time passes for the link.
const TURN_INTERVAL: Duration = Duration::from_millis(50);
/// How often it shows itself anew.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);
/// Frames of each lane that one round takes; of payload it is [`BATCH_BYTES`]. The client library takes about as much
/// between two rounds: so while it is not the broker that is slow, shards that are faster than this thread are held back
/// by their lane, and nothing is dropped.
const ROUND_MAX: usize = 64;
/// Messages of the broker that one round takes. All that came in between two rounds is fewer.
const ROUND_MESSAGES_MAX: usize = 131_072;
/// What a node that ends waits for its last messages to be read.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// What of this time the end of one subscription may take.
const LAST_CALL_TIME: Duration = Duration::from_millis(600);

/// That a connection for plain messages was lost is told so often at most: whoever may publish them can end it.
const LOST_TELL_INTERVAL: Duration = Duration::from_secs(10);

/// What the rest of the control plane asks of the link.
enum Request {
    Load(u64),
    Limit(PlainLimits),
    Close(CloseRequest, oneshot::Sender<usize>),
    Leave(oneshot::Sender<bool>),
}

/// Reaches the driver from the rest of the control plane.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    status: Arc<Mutex<Status>>,
}

impl Handle {
    /// The link as it was a moment ago.
    pub fn status(&self) -> Status {
        let status = self.status.lock();
        status.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says how many connections the node has. What is not taken at once is said again anyway.
    pub fn load(&self, connections: u64) {
        let _ = self.requests.try_send(Request::Load(connections));
    }

    /// Says what plain messages are held to. Returns whether it was taken.
    pub fn limit(&self, limits: PlainLimits) -> bool {
        self.requests.try_send(Request::Limit(limits)).is_ok()
    }

    /// Has other nodes close connections, too. Returns to how many the order is sent: each gets it at most once.
    pub async fn close(&self, request: CloseRequest) -> usize {
        let (told, nodes) = oneshot::channel();
        match self.requests.send(Request::Close(request, told)).await {
            Ok(()) => nodes.await.unwrap_or(0),
            Err(_) => 0,
        }
    }

    /// Tells the other nodes that this one ends, after all that its shards have sent. Returns when the broker has read
    /// that, or takes too long.
    pub async fn leave(&self) {
        let (done, is_read) = oneshot::channel();
        let leave = async {
            self.requests.send(Request::Leave(done)).await.is_ok() && is_read.await.unwrap_or(false)
        };
        if timeout(LEAVE_TIME, leave).await != Ok(true) {
            tracing::warn!(
                "the NATS server is not there, or has not read all in time: what was left for the other nodes, and that \
                 this one ends, may not have been told"
            );
        }
    }
}

/// Owns the link, and moves what goes in and out.
pub struct Driver {
    link: ClusterLink,
    /// To and from other nodes.
    nodes: Way,
    /// Plain messages, and answers to them.
    plain: Way,
    port: MeshPort,
    bell: UnixStream,
    /// Connections that were lost, as far as the link knows, or the log.
    disconnects: u64,
    plain_disconnects: u64,
    plain_told: Option<Instant>,
    clock: Clock,
    listening: Listening,
    subscribed: mpsc::Receiver<(Subscription, Option<Subscriber>)>,
    /// What became of the messages that the drainer was given.
    tally: Arc<Tally>,
    requests: mpsc::Receiver<Request>,
    /// Where orders of other nodes go.
    carry_out: mpsc::Sender<CloseRequest>,
    status: Arc<Mutex<Status>>,
    shown: Instant,
}

impl Driver {
    /// Makes the link. `port` is the control plane's end of the mesh, and `bell` its socket; `carry_out` takes the orders
    /// of other nodes.
    ///
    /// # Errors
    /// Something in the configuration is wrong. That the broker is not there is no error.
    pub async fn new(
        nats: NatsConfig,
        link: LinkConfig,
        port: MeshPort,
        bell: OwnedFd,
        carry_out: mpsc::Sender<CloseRequest>,
    ) -> Result<(Self, Handle), NatsError> {
        let (subscribers, subscribed) = mpsc::channel(ORDERS_MAX);
        let (clock, tally) = (Clock::start(), Arc::new(Tally::default()));
        let shared = Shared {
            limits: link.outbound,
            clock,
            tally: tally.clone(),
            subscribed: subscribers,
        };
        let for_plain = NatsConfig {
            name: format!("{} publish", nats.name),
            seed: !nats.seed,
            ..nats.clone()
        };
        let nodes = Way::open(nats, shared.clone()).await?;
        let plain = Way::open(for_plain, shared).await?;
        let bell = std::os::unix::net::UnixStream::from(bell);
        let bell = UnixStream::from_std(bell)
            .map_err(|error| NatsError::Client(format!("its bell cannot be heard: {error}")))?;
        let (requests, requests_taken) = mpsc::channel(16);
        let link = ClusterLink::new(link, Tick(0));
        let status = Arc::new(Mutex::new(Status::of(&link, Tick(0))));
        let handle = Handle {
            requests,
            status: status.clone(),
        };
        let driver = Driver {
            link,
            nodes,
            plain,
            port,
            bell,
            disconnects: 0,
            plain_disconnects: 0,
            plain_told: None,
            clock,
            listening: Listening::new(),
            subscribed,
            tally,
            requests: requests_taken,
            carry_out,
            status,
            shown: Instant::now(),
        };
        Ok((driver, handle))
    }

    /// Runs until the node has left.
    pub async fn run(mut self) {
        let mut turns = interval(TURN_INTERVAL);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let signs = self.nodes.signs.clone();
        let [for_nodes, for_plain] = [&self.nodes, &self.plain].map(|way| way.orders.clone());
        loop {
            let has_more = self.step();
            let wants_order = self.link.has_messages() || self.listening.has_orders();
            tokio::select! {
                messages = self.listening.next(), if !self.listening.is_empty() => {
                    self.receive(messages);
                    // Those who fill the subscriptions and empty the queue have their turn.
                    tokio::task::yield_now().await;
                }
                Some((subscription, subscriber)) = self.subscribed.recv() => {
                    self.listening.arrived(subscription, subscriber);
                }
                // The next round fills the place.
                _ = for_nodes.reserve(), if wants_order => {}
                _ = for_plain.reserve(), if self.link.has_answers() => {}
                readable = self.bell.readable() => {
                    if readable.and_then(|()| silence(&self.bell)).is_err() {
                        tracing::error!("the cluster link's bell has failed");
                        return;
                    }
                }
                () = signs.for_driver.notified() => self.look_at_connection(),
                request = self.requests.recv() => match request {
                    Some(Request::Load(connections)) => self.handle(Input::Load { connections }),
                    Some(Request::Limit(limits)) => self.handle(Input::Limit(limits)),
                    Some(Request::Close(request, told)) => {
                        // Who asked may have gone.
                        let _ = told.send(self.link.reaches(&request.whom));
                        self.handle(Input::Close(request));
                    }
                    Some(Request::Leave(done)) => return self.leave(done).await,
                    None => return,
                },
                _ = turns.tick() => {
                    self.look_at_connection();
                    self.look_at_plain();
                    self.handle(Input::Turn);
                }
                () = tokio::task::yield_now(), if has_more => {}
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        self.link.handle(now, input);
    }

    /// Takes messages, and those that are there already. Shards begin with the first while the last are read.
    fn receive(&mut self, first: Option<Vec<Inbound>>) {
        let (mut next, mut left) = (first, ROUND_MESSAGES_MAX);
        while let Some(messages) = next {
            let now = self.clock.now();
            left = left.saturating_sub(messages.len());
            for message in messages {
                self.link.handle(now, Input::Received(message));
            }
            self.send_frames(now);
            if left == 0 {
                return;
            }
            next = self.listening.next().now_or_never().flatten();
        }
    }

    /// Hands publications of other nodes to the shards.
    fn send_frames(&mut self, now: Tick) {
        let port = &mut self.port;
        self.link.send_frames(now, |to, frame| port.send(to, frame));
        self.port.ring_touched();
    }

    /// Moves what waits, without waiting itself. Returns whether there is more to be done at once.
    fn step(&mut self) -> bool {
        self.port.disarm();
        let now = self.clock.now();
        let has_more = self.take_frames(now);
        while let Some(output) = self.link.poll_output() {
            self.carry_out(output);
        }
        self.hand_over();
        while let Ok(place) = self.carry_out.try_reserve()
            && let Some(request) = self.link.poll_order()
        {
            place.send(request);
        }
        self.send_frames(now);
        self.port.make_room_known();
        if self.shown.elapsed() >= STATUS_INTERVAL {
            self.show(now);
        }
        // A bell that is not armed does not ring: there is another round at once.
        has_more || !self.port.arm()
    }

    /// Takes frames of the shards, control first. Returns whether there may be more.
    fn take_frames(&mut self, now: Tick) -> bool {
        let (mut left, mut bytes) = ([ROUND_MAX; 2], 0);
        for (lane, left) in [Lane::Control, Lane::Data].into_iter().zip(&mut left) {
            while *left > 0 && bytes < BATCH_BYTES {
                let Some(frame) = self.port.receive(lane) else {
                    break;
                };
                bytes += frame.bytes();
                self.link.handle(now, Input::Frame(frame));
                *left -= 1;
            }
        }
        left.contains(&0) || bytes >= BATCH_BYTES
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Subscribe(subscription) => self.listening.want(subscription),
            Output::Unsubscribe(subscription) => self.listening.give_up(subscription),
            Output::Changed(change) => match change {
                Change::Joined(node) => tracing::info!(%node, "a node has joined the cluster"),
                Change::Restarted(node) => tracing::info!(%node, "a node has started anew"),
                Change::Left(node) => tracing::info!(%node, "a node has left the cluster"),
                Change::Gone(node) => tracing::warn!(%node, "a node is silent: it is gone"),
                Change::SameName => tracing::error!(
                    node = %self.link.me().node,
                    "another node of the cluster has this node's name: give each its own with --node"
                ),
            },
        }
    }

    /// Hands orders to the drainers as far as they take them, subscriptions first.
    fn hand_over(&mut self) {
        while self.listening.has_orders()
            && let Ok(permit) = self.nodes.orders.try_reserve()
            && let Some(subscription) = self.listening.poll_order()
        {
            let order = Order::Subscribe(subscription, self.link.subject(subscription));
            match subscription {
                // It is the first order of all on that way, and the only one of its kind: there is room.
                Subscription::Publish => drop(self.plain.orders.try_send(order)),
                _ => permit.send(order),
            }
        }
        let link = &mut self.link;
        while self.nodes.send_some(|| link.poll_message()) {}
        while self.plain.send_some(|| link.poll_answer()) {}
    }

    fn look_at_connection(&mut self) {
        let disconnects = self.nodes.signs.disconnects.load(Ordering::Relaxed);
        let is_connected = self.nodes.is_connected();
        if disconnects != std::mem::replace(&mut self.disconnects, disconnects) || !is_connected {
            if self.link.interrupted().is_none() {
                tracing::warn!("the NATS server is gone: this node serves its own members alone");
            }
            self.handle(Input::Disconnected);
        }
        if is_connected {
            if self.link.interrupted().is_some() {
                tracing::info!("the NATS server is there");
            }
            let payload_bytes_max = self.nodes.payload_bytes_max();
            self.handle(Input::Connected { payload_bytes_max });
        }
    }

    /// The link does not care for this connection: what nodes say to each other goes another way.
    fn look_at_plain(&mut self) {
        let disconnects = self.plain.signs.disconnects.load(Ordering::Relaxed);
        if disconnects == self.plain_disconnects
            || (self.plain_told).is_some_and(|told| told.elapsed() < LOST_TELL_INTERVAL)
        {
            return;
        }
        let times = disconnects - std::mem::replace(&mut self.plain_disconnects, disconnects);
        self.plain_told = Some(Instant::now());
        tracing::warn!(
            times,
            "the connection for plain messages was lost, and is made again: the NATS server has gone, or somebody has \
             published what cannot be read (a subject, a reply or headers that are not as NATS has them)"
        );
    }

    fn show(&mut self, now: Tick) {
        self.shown = Instant::now();
        self.link.handle(now, Input::Carried(self.tally.take()));
        let signs = [&self.nodes, &self.plain].map(|way| &way.signs);
        let slow_reads = signs.map(|signs| signs.slow.load(Ordering::Relaxed));
        let status = Status {
            slow_reads: slow_reads.into_iter().sum(),
            publish_interruptions: self.plain.signs.disconnects.load(Ordering::Relaxed),
            is_publish_connected: self.plain.is_connected(),
            ..Status::of(&self.link, now)
        };
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// The last round: no more plain messages, all that the shards have sent, then the leave.
    async fn leave(mut self, done: oneshot::Sender<bool>) {
        self.last_call(Subscription::Publish).await;
        let mut last = Vec::new();
        loop {
            let now = self.clock.now();
            // What is taken out of the queue makes room for what is still in the lane.
            let is_done = !self.take_frames(now) && self.port.is_empty();
            if is_done {
                self.handle(Input::Leave);
            }
            let link = &mut self.link;
            last.extend(std::iter::from_fn(|| link.poll_message()));
            if is_done {
                break;
            }
        }
        // Nobody is here any more who wants to hear something: the broker's answer does not wait behind that.
        self.listening = Listening::new();
        let link = &mut self.link;
        let answers = std::iter::from_fn(|| link.poll_answer()).collect();
        let (nodes, plain) = (self.link.end_subject(0), self.link.end_subject(1));
        let is_there = self.link.interrupted().is_none();
        let ended = async {
            let nodes = async { is_there && self.nodes.end(last, nodes).await };
            // Where its connection is not there, nobody waits for answers.
            let plain =
                async { !self.plain.is_connected() || self.plain.end(answers, plain).await };
            let (nodes, plain) = tokio::join!(nodes, plain);
            nodes && plain
        };
        tokio::select! {
            // Who asked may have gone.
            is_read = ended => drop(done.send(is_read)),
            // The drainers may wait for their subscriptions to be taken before they look at the next order.
            () = async { while self.subscribed.recv().await.is_some() {} } => {}
        }
    }

    /// Ends a subscription, and takes in what was on its way.
    async fn last_call(&mut self, subscription: Subscription) {
        let Some(mut gone) = self.listening.end(subscription) else {
            return;
        };
        let began = Instant::now();
        let mut turns = interval(TURN_INTERVAL);
        while self.plain.is_connected() && began.elapsed() < LAST_CALL_TIME {
            self.step();
            tokio::select! {
                _ = &mut gone => return,
                messages = self.listening.next(), if !self.listening.is_empty() => self.receive(messages),
                Some((subscription, subscriber)) = self.subscribed.recv() => {
                    self.listening.arrived(subscription, subscriber);
                }
                _ = turns.tick() => self.handle(Input::Turn),
            }
        }
    }
}

/// Takes all rings that have come.
fn silence(bell: &UnixStream) -> io::Result<()> {
    let mut rings = [0; 64];
    loop {
        match bell.try_read(&mut rings) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
