//! Orders of an operator: to close one connection, or all of a user.
//!
//! There is no index of users, which each idle connection would pay for: an order walks over the table, a part of it each
//! turn. It is for whoever was there when it came; newcomers may be met by it or not.

use std::collections::VecDeque;
use std::sync::Arc;

use ringmain_router::order::Closing;
use ringmain_router::{CloseOrder, Subject, SubjectId};

use super::ShardCore;
use crate::ConnId;
use crate::close::CloseReason;
use crate::limits::{ORDERS_WAITING_MAX, TURN_ORDER_CLOSES_MAX, TURN_ORDER_PLACES_MAX};
use crate::tick::Tick;

/// Orders to close what users have, in the sequence in which they came.
#[derive(Debug, Default)]
pub(super) struct Orders {
    walks: VecDeque<Walk>,
}

/// One of them on its way over the table.
#[derive(Debug)]
struct Walk {
    order: Arc<CloseOrder>,
    user: SubjectId,
    /// The next place to look at.
    place: u32,
    /// One past the last place that was in use when the order came.
    end: u32,
    closed: u64,
}

impl Orders {
    pub fn are_none(&self) -> bool {
        self.walks.is_empty()
    }
}

impl ShardCore {
    /// A connection is a user's.
    pub(super) fn owned(&mut self, conn: ConnId, user: Subject<'_>) {
        let user = self.room_secret.subject_among(user, self.is_linked);
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.limited.get_or_insert_default().owner = Some(user);
        }
    }

    pub(super) fn take_order(&mut self, now: Tick, order: Arc<CloseOrder>) {
        match order.closing {
            Closing::Connection { index, generation } => {
                let conn = ConnId::from_parts(index, generation);
                let is_closed = self.close_by_order(now, conn, &order);
                order.carried_out(u64::from(is_closed));
            }
            Closing::User(_) if self.orders.walks.len() >= ORDERS_WAITING_MAX => {
                self.stats.orders_refused.add(1);
                order.refuse();
            }
            Closing::User(user) => self.orders.walks.push_back(Walk {
                order,
                user,
                place: 0,
                end: self.connections.end(),
                closed: 0,
            }),
        }
    }

    /// Goes on with the oldest order, and the next ones, as far as a turn may.
    pub(super) fn carry_out_orders(&mut self, now: Tick) {
        let (mut places, mut closes) = (TURN_ORDER_PLACES_MAX, TURN_ORDER_CLOSES_MAX);
        while let Some(mut walk) = self.orders.walks.pop_front() {
            while walk.place < walk.end && places > 0 && closes > 0 {
                places -= 1;
                if let Some(conn) = self.owned_at(walk.place, walk.user)
                    && self.close_by_order(now, conn, &walk.order)
                {
                    closes -= 1;
                    walk.closed += 1;
                }
                walk.place += 1;
            }
            if walk.place < walk.end {
                return self.orders.walks.push_front(walk);
            }
            walk.order.carried_out(walk.closed);
        }
    }

    /// The connection in a place, if it is this user's.
    fn owned_at(&self, place: u32, user: SubjectId) -> Option<ConnId> {
        let (conn, connection) = self.connections.at(place)?;
        let owner = connection.limited.as_ref()?.owner;
        (owner == Some(user)).then_some(conn)
    }

    /// Closes a connection with what the order has it told. Returns whether it was there, and not ending already.
    fn close_by_order(&mut self, now: Tick, conn: ConnId, order: &CloseOrder) -> bool {
        let is_open = |connection: &crate::connection::Connection| !connection.is_ending();
        if !self.connections.get(conn).is_some_and(is_open) {
            return false;
        }
        let words = (Some(order.words.code()), order.words.text());
        self.close_saying(now, conn, CloseReason::ClosedByOperator, words);
        true
    }
}
