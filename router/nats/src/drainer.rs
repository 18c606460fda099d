//! The one task that waits for the client library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use ringmain_router::Tick;
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{Carried, Message, Subscription};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::connect::Signs;
use crate::gate::Gate;

/// Orders that wait for the drainer.
pub(crate) const ORDERS_MAX: usize = 2;
/// Messages of one order.
pub(crate) const BATCH_MAX: usize = 64;
/// Payload bytes from which on an order takes no further message.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;
/// Nodes share what is published to this group's subscriptions.
const QUEUE_GROUP: &str = "ringmain";
/// A sign of the connection may be lost where there are very many.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the drainer is to do, in order.
pub(crate) enum Order {
    /// Messages, and since when each waits.
    Publish(Vec<(Tick, Message)>),
    Subscribe(Subscription, String),
    /// Write all that came before, and say so.
    Flush(oneshot::Sender<()>),
}

/// The control plane's time since the link was made.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Clock(Instant::now())
    }

    pub fn now(self) -> Tick {
        Tick(self.0.elapsed().as_millis() as u64)
    }
}

/// What became of messages, until the link is told.
#[derive(Default)]
pub(crate) struct Tally {
    sent: AtomicU64,
    expired: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// What there was since the last call.
    pub fn take(&self) -> Carried {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Carried {
            sent: take(&self.sent),
            expired: take(&self.expired),
            failed: take(&self.failed),
        }
    }
}

/// Carries out orders until there can be no more.
pub(crate) struct Drainer {
    pub client: Client,
    pub signs: Arc<Signs>,
    pub limits: OutboundLimits,
    pub clock: Clock,
    pub tally: Arc<Tally>,
    pub subscribed: mpsc::Sender<(Subscription, Option<Subscriber>)>,
}

impl Drainer {
    pub async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut gate = Gate::new(&self.client);
        while let Some(order) = orders.recv().await {
            match order {
                Order::Publish(messages) => {
                    for (since, message) in messages {
                        self.publish(&mut gate, since, message).await;
                    }
                }
                Order::Subscribe(subscription, subject) => {
                    self.subscribe(subscription, subject).await;
                }
                Order::Flush(done) => {
                    if let Err(error) = self.client.flush().await {
                        tracing::warn!(%error, "what was left for other nodes may be lost");
                    }
                    let _ = done.send(());
                }
            }
        }
    }

    /// Hands over one message, if its time is not over. What the client library has it keeps, and sends when it is
    /// connected again, however late: so it gets nothing while it is not.
    async fn publish(&self, gate: &mut Gate, since: Tick, message: Message) {
        let bytes = message.payload.len();
        loop {
            while self.client.connection_state() != State::Connected {
                let _ = timeout(LOOK_AGAIN, self.signs.for_drainer.notified()).await;
            }
            if gate.is_open(bytes) {
                break;
            }
            gate.wait().await;
        }
        let publications = message.publications;
        if self.limits.is_overdue(since, self.clock.now()) {
            self.tally
                .expired
                .fetch_add(publications, Ordering::Relaxed);
            return;
        }
        match self.client.publish(message.subject, message.payload).await {
            Ok(()) => {
                gate.given(bytes);
                self.tally.sent.fetch_add(publications, Ordering::Relaxed);
            }
            Err(error) => {
                // Of many that fail one is told each time that the link looks.
                if self
                    .tally
                    .failed
                    .fetch_add(publications.max(1), Ordering::Relaxed)
                    == 0
                {
                    tracing::warn!(%error, "a message for NATS is lost");
                }
            }
        }
    }

    async fn subscribe(&self, subscription: Subscription, subject: String) {
        let client = &self.client;
        let subscriber = match subscription {
            Subscription::Publish => {
                let group = QUEUE_GROUP.to_owned();
                client.queue_subscribe(subject, group).await
            }
            _ => client.subscribe(subject).await,
        };
        let subscriber = subscriber
            .inspect_err(|error| tracing::error!(%error, "cannot subscribe"))
            .ok();
        let _ = self.subscribed.send((subscription, subscriber)).await;
    }
}
