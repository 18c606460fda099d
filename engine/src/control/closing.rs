//! Orders to close connections, from the admin server and from other nodes, on their way to the shards.

use std::sync::Arc;

use ringmain_router::order::{Closing as Whose, Whom};
use ringmain_router::{CloseOrder, CloseRequest, PeerId, RoomKey, Subject};
use ringmain_shard::Node;
use tokio::sync::{mpsc, oneshot};

/// Orders that wait to be taken, of the admin server and of other nodes each.
const ORDERS_MAX: usize = 64;
/// Orders that wait for room in the lanes of shards, one by one. Those beyond are refused.
const WAITING_MAX: usize = 4_096;

/// An order, and who waits for what comes of it.
type Ask = (CloseRequest, oneshot::Sender<Arc<CloseOrder>>);

/// Hands orders to the control plane.
#[derive(Clone)]
pub struct Asks(mpsc::Sender<Ask>);

impl Asks {
    /// Has this node's connections closed. Returns the order, in which the shards say what they have done; `None` while
    /// there are too many.
    pub async fn close(&self, request: CloseRequest) -> Option<Arc<CloseOrder>> {
        let (sender, taken) = oneshot::channel();
        self.0.try_send((request, sender)).ok()?;
        taken.await.ok()
    }
}

/// Takes orders, and gives them to the shards.
pub struct Closing {
    room_secret: RoomKey,
    shards: usize,
    is_linked: bool,
    asked: mpsc::Receiver<Ask>,
    of_nodes: mpsc::Receiver<CloseRequest>,
    waiting: Vec<(PeerId, Arc<CloseOrder>)>,
}

impl Closing {
    /// For a node of so many shards, linked to others or not; and the two ways to it, for the admin server and for the orders
    /// of other nodes.
    pub fn new(
        room_secret: RoomKey,
        shards: usize,
        is_linked: bool,
    ) -> (Self, Asks, mpsc::Sender<CloseRequest>) {
        let (asks, asked) = mpsc::channel(ORDERS_MAX);
        let (carry_out, of_nodes) = mpsc::channel(ORDERS_MAX);
        let closing = Closing {
            room_secret,
            shards,
            is_linked,
            asked,
            of_nodes,
            waiting: Vec::new(),
        };
        (closing, Asks(asks), carry_out)
    }

    /// The next order. Losing the wait loses none.
    pub async fn next(&mut self) -> Arc<CloseOrder> {
        tokio::select! {
            Some((request, asker)) = self.asked.recv() => {
                let order = self.take(request);
                // Who asked may have gone: the order holds all the same.
                let _ = asker.send(order.clone());
                order
            }
            Some(request) = self.of_nodes.recv() => {
                tracing::info!(whom = ?request.whom, "another node has connections closed");
                self.take(request)
            }
            // Without an admin server and other nodes nobody asks.
            else => std::future::pending().await,
        }
    }

    fn take(&mut self, request: CloseRequest) -> Arc<CloseOrder> {
        let all = 0..self.shards;
        let (whose, shards) = match request.whom {
            Whom::User(user) => {
                let user = Subject::User(&user);
                let user = self.room_secret.subject_among(user, self.is_linked);
                (Whose::User(user), all)
            }
            Whom::Connection(name) => {
                let (index, generation) = (name.index, name.generation);
                let shard = name.shard.index();
                let its = shard..shard + usize::from(shard < self.shards);
                (Whose::Connection { index, generation }, its)
            }
        };
        let order = Arc::new(CloseOrder::new(whose, request.words, shards.len()));
        for shard in shards.filter_map(PeerId::shard) {
            if self.waiting.len() >= WAITING_MAX {
                order.refuse();
            } else {
                self.waiting.push((shard, order.clone()));
            }
        }
        order
    }

    /// Gives orders to the shards, as far as their lanes take them.
    pub fn go_on(&mut self, node: &Node) {
        self.waiting
            .retain(|(shard, order)| !node.order(*shard, order));
    }
}
