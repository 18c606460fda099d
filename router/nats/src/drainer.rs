//! The task that waits for the client library, one for each way to the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, PublishError, SubscribeError};
use bytes::Bytes;
use futures_util::StreamExt;
use ringmain_router::Tick;
use ringmain_router::cluster::{Carried, Message, Subscription};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::connect::Signs;
use crate::gate::Gate;
use crate::way::Shared;

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
    /// Have the broker read all that came before, and say whether it has. The subject is one that nobody else listens to.
    End(String, oneshot::Sender<bool>),
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

/// Why it is not known whether the broker has read all.
#[derive(Debug, thiserror::Error)]
enum EndError {
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the connection was closed")]
    Closed,
}

/// Carries out orders until there can be no more.
pub(crate) struct Drainer {
    pub client: Client,
    pub signs: Arc<Signs>,
    pub shared: Shared,
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
                Order::End(subject, done) => {
                    let is_read = self.is_read(subject).await;
                    if let Err(error) = &is_read {
                        tracing::warn!(%error, "what was left for the NATS server may be lost");
                    }
                    let _ = done.send(is_read.is_ok());
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
        let Shared {
            limits,
            clock,
            tally,
            ..
        } = &self.shared;
        if limits.is_overdue(since, clock.now()) {
            tally.expired.fetch_add(publications, Ordering::Relaxed);
            return;
        }
        match self.client.publish(message.subject, message.payload).await {
            Ok(()) => {
                gate.given(bytes);
                tally.sent.fetch_add(publications, Ordering::Relaxed);
            }
            Err(error) => {
                // Of many that fail one is told each time that the link looks.
                if tally
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
        let _ = (self.shared.subscribed)
            .send((subscription, subscriber))
            .await;
    }

    /// Waits until the broker has read all that was published. That it is written is not enough: where something has come
    /// in meanwhile that nobody has read, the kernel throws away what it has still to send when the process ends. So the
    /// broker is asked for something where nobody listens, and says behind all the rest that nobody does.
    async fn is_read(&self, subject: String) -> Result<(), EndError> {
        let mut answers = self.client.subscribe(subject.clone()).await?;
        let reply = subject.clone();
        self.client
            .publish_with_reply(subject, reply, Bytes::new())
            .await?;
        answers.next().await.map(drop).ok_or(EndError::Closed)
    }
}
