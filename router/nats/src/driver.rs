//! The task that owns the link.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use futures_util::FutureExt;
use ringmain_router::cluster::{
    Change, ClusterLink, Inbound, Input, LinkConfig, Output, PlainLimits, Subscription,
};
use ringmain_router::{CloseRequest, Lane, MeshPort, Tick};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::connect::{NatsConfig, NatsError, Signs, client};
use crate::drainer::{BATCH_BYTES, BATCH_MAX, Clock, Drainer, ORDERS_MAX, Order, Tally};
use crate::listening::Listening;
use crate::status::Status;

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
/// What a node that ends waits for its last messages to be written.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// What of this time the end of one subscription may take.
const LAST_CALL_TIME: Duration = Duration::from_millis(600);

/// What the rest of the control plane asks of the link.
enum Request {
    Load(u64),
    Limit(PlainLimits),
    Close(CloseRequest, oneshot::Sender<usize>),
    Leave(oneshot::Sender<()>),
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

    /// Tells the other nodes that this one ends, after all that its shards have sent. Returns when that is written, or
    /// takes too long.
    pub async fn leave(&self) {
        let (done, written) = oneshot::channel();
        let leave = async {
            if self.requests.send(Request::Leave(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        if timeout(LEAVE_TIME, leave).await.is_err() {
            tracing::warn!("the other nodes were not told of the end: the broker takes nothing");
        }
    }
}

/// Owns the link, and moves what goes in and out.
pub struct Driver {
    link: ClusterLink,
    client: Client,
    port: MeshPort,
    bell: UnixStream,
    signs: Arc<Signs>,
    disconnects: u64,
    clock: Clock,
    listening: Listening,
    subscribed: mpsc::Receiver<(Subscription, Option<Subscriber>)>,
    orders: mpsc::Sender<Order>,
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
        let signs = Arc::new(Signs::default());
        let client = client(nats, signs.clone()).await?;
        let bell = std::os::unix::net::UnixStream::from(bell);
        let bell = UnixStream::from_std(bell)
            .map_err(|error| NatsError::Client(format!("its bell cannot be heard: {error}")))?;
        let (orders, orders_taken) = mpsc::channel(ORDERS_MAX);
        let (subscribers, subscribed) = mpsc::channel(ORDERS_MAX);
        let (clock, tally) = (Clock::start(), Arc::new(Tally::default()));
        let drainer = Drainer {
            client: client.clone(),
            signs: signs.clone(),
            limits: link.outbound,
            clock,
            tally: tally.clone(),
            subscribed: subscribers,
        };
        tokio::spawn(drainer.run(orders_taken));
        let (requests, requests_taken) = mpsc::channel(16);
        let link = ClusterLink::new(link, Tick(0));
        let status = Arc::new(Mutex::new(Status::of(&link, 0, Tick(0))));
        let handle = Handle {
            requests,
            status: status.clone(),
        };
        let driver = Driver {
            link,
            client,
            port,
            bell,
            signs,
            disconnects: 0,
            clock,
            listening: Listening::new(),
            subscribed,
            orders,
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
        let orders = self.orders.clone();
        let has_room = async || orders.reserve().await.map(drop);
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
                _ = has_room(), if wants_order => {}
                readable = self.bell.readable() => {
                    if readable.and_then(|()| silence(&self.bell)).is_err() {
                        tracing::error!("the cluster link's bell has failed");
                        return;
                    }
                }
                () = self.signs.for_driver.notified() => self.look_at_connection(),
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

    /// Hands orders to the drainer as far as it takes them, subscriptions first.
    fn hand_over(&mut self) {
        while self.listening.has_orders() || self.link.has_messages() {
            let Ok(permit) = self.orders.try_reserve() else {
                return;
            };
            if let Some(subscription) = self.listening.poll_order() {
                let subject = self.link.subject(subscription);
                permit.send(Order::Subscribe(subscription, subject));
                continue;
            }
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < BATCH_MAX
                && bytes < BATCH_BYTES
                && let Some((since, message)) = self.link.poll_message()
            {
                bytes += message.payload.len();
                batch.push((since, message));
            }
            if batch.is_empty() {
                return;
            }
            permit.send(Order::Publish(batch));
        }
    }

    fn look_at_connection(&mut self) {
        let disconnects = self.signs.disconnects.load(Ordering::Relaxed);
        let is_connected = self.client.connection_state() == State::Connected;
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
            let payload_bytes_max = self.client.max_payload();
            self.handle(Input::Connected { payload_bytes_max });
        }
    }

    fn show(&mut self, now: Tick) {
        self.shown = Instant::now();
        self.link.handle(now, Input::Carried(self.tally.take()));
        let slow_reads = self.signs.slow.load(Ordering::Relaxed);
        let status = Status::of(&self.link, slow_reads, now);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// The last round: no more plain messages, all that the shards have sent, then the leave.
    async fn leave(mut self, done: oneshot::Sender<()>) {
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
        let orders = self.orders.clone();
        let handed_over = async {
            orders.send(Order::Publish(last)).await.ok()?;
            orders.send(Order::Flush(done)).await.ok()
        };
        let mut handed_over = pin!(handed_over);
        loop {
            tokio::select! {
                _ = &mut handed_over => return,
                // The drainer may wait for its subscriptions to be taken before it looks at the next order.
                Some((subscription, subscriber)) = self.subscribed.recv() => {
                    self.listening.arrived(subscription, subscriber);
                }
            }
        }
    }

    /// Ends a subscription, and takes in what was on its way.
    async fn last_call(&mut self, subscription: Subscription) {
        let Some(mut gone) = self.listening.end(subscription) else {
            return;
        };
        let began = Instant::now();
        let mut turns = interval(TURN_INTERVAL);
        while self.client.connection_state() == State::Connected && began.elapsed() < LAST_CALL_TIME
        {
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
