//! Orders to close connections: to other nodes, and from them.

use super::ClusterLink;
use crate::cluster::counters::LinkDrop;
use crate::cluster::envelope::Source;
use crate::cluster::notice::Notice;
use crate::cluster::orders::Order;
use crate::order::{CloseRequest, Whom};
use crate::tick::Tick;

impl ClusterLink {
    pub(super) fn give_order(&mut self, now: Tick, request: CloseRequest) {
        if self.reaches(&request.whom) > 0 {
            let order = self.orders.give(request);
            self.notice(&Notice::Close(order), now);
            self.counters.orders_sent += 1;
        }
    }

    pub(super) fn take_order(&mut self, from: &Source, order: Order) {
        if let Whom::Connection(name) = &order.request.whom
            && !name.is_of(&self.me)
        {
            return;
        }
        if self.orders.take(from, order, &self.membership) {
            self.counters.orders_received += 1;
        } else {
            self.counters.dropped(LinkDrop::Order, 1);
        }
    }

    /// To how many other nodes an [`Input::Close`](super::Input::Close) would be sent now. A connection's is meant for the one that has it.
    pub fn reaches(&self, whom: &Whom) -> usize {
        let peers = self.membership.peers();
        match whom {
            _ if !self.is_connected => 0,
            Whom::User(_) => peers.len(),
            Whom::Connection(name) => peers
                .get(&name.node)
                .is_some_and(|peer| name.is_of_start(&name.node, peer.incarnation))
                .into(),
        }
    }

    /// An order of another node that is to be carried out here.
    pub fn poll_order(&mut self) -> Option<CloseRequest> {
        self.orders.poll()
    }
}
