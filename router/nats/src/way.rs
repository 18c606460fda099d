//! A way to the broker: one connection, and the task that waits for it.
//!
//! There are two. What nodes say to each other goes one way; plain messages, which anybody may have written, come the
//! other, where they are answered. The client library ends a connection on which something comes that it cannot read,
//! such as a subject that is not UTF-8, and what was on its way there is lost: so that costs plain messages alone.

use std::sync::Arc;

use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use ringmain_router::Tick;
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{Message, Subscription};
use tokio::sync::{mpsc, oneshot};

use crate::connect::{NatsConfig, NatsError, Signs, client};
use crate::drainer::{BATCH_BYTES, BATCH_MAX, Clock, Drainer, ORDERS_MAX, Order, Tally};

/// What ways have in common.
#[derive(Clone)]
pub(crate) struct Shared {
    pub limits: OutboundLimits,
    pub clock: Clock,
    /// What became of messages.
    pub tally: Arc<Tally>,
    /// Where subscriptions go that were ordered.
    pub subscribed: mpsc::Sender<(Subscription, Option<Subscriber>)>,
}

/// One of them.
pub(crate) struct Way {
    client: Client,
    pub signs: Arc<Signs>,
    pub orders: mpsc::Sender<Order>,
}

impl Way {
    /// Connects behind the scenes, now and whenever the connection is lost.
    pub async fn open(config: NatsConfig, shared: Shared) -> Result<Self, NatsError> {
        let signs = Arc::new(Signs::default());
        let client = client(config, signs.clone()).await?;
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let drainer = Drainer {
            client: client.clone(),
            signs: signs.clone(),
            shared,
        };
        tokio::spawn(drainer.run(taken));
        Ok(Way {
            client,
            signs,
            orders,
        })
    }

    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Bytes of a payload that the broker takes.
    pub fn payload_bytes_max(&self) -> usize {
        self.client.max_payload()
    }

    /// Orders that messages are sent, as many as make one order, if there is room for that. Returns whether there may be
    /// room for more.
    pub fn send_some(&self, mut next: impl FnMut() -> Option<(Tick, Message)>) -> bool {
        let Ok(permit) = self.orders.try_reserve() else {
            return false;
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_MAX
            && bytes < BATCH_BYTES
            && let Some((since, message)) = next()
        {
            bytes += message.payload.len();
            batch.push((since, message));
        }
        if batch.is_empty() {
            return false;
        }
        permit.send(Order::Publish(batch));
        true
    }

    /// Sends the last messages. Returns whether the broker has read all that went this way: `subject` is one that nobody
    /// else listens to.
    pub async fn end(&self, last: Vec<(Tick, Message)>, subject: String) -> bool {
        let (done, is_read) = oneshot::channel();
        for order in [Order::Publish(last), Order::End(subject, done)] {
            if self.orders.send(order).await.is_err() {
                return false;
            }
        }
        is_read.await.unwrap_or(false)
    }
}
