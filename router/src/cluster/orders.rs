//! Orders to close connections, between nodes.
//!
//! An order goes to all nodes, or is meant for one of them, as a notice: at most once, since nobody repeats it. Each node
//! numbers its own, so that one that the broker brings a second time does not meet those who have come back meanwhile.

use std::collections::{BTreeMap, VecDeque};

use super::envelope::{Source, WireError};
use super::limits::{NAME_BYTES_MAX, NODES_MAX, ORDERS_KEPT, ORDERS_MAX};
use super::membership::Membership;
use super::wire::{Reader, put_text, put_varint};
use crate::id::PeerId;
use crate::order::{CloseRequest, ConnectionName, TEXT_BYTES_MAX, USER_BYTES_MAX, Whom, Words};

const CONNECTION: u8 = 1;
const USER: u8 = 2;

/// An order with its number among those of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// From 1.
    pub number: u64,
    /// What is to be done.
    pub request: CloseRequest,
}

impl Order {
    pub(super) fn put(&self, to: &mut Vec<u8>) {
        let CloseRequest { whom, words } = &self.request;
        put_varint(to, self.number);
        put_varint(to, words.code().into());
        put_text(to, words.text(), TEXT_BYTES_MAX);
        match whom {
            Whom::Connection(name) => {
                to.push(CONNECTION);
                put_text(to, name.node.as_str(), NAME_BYTES_MAX);
                to.extend_from_slice(&name.start.to_be_bytes());
                to.push(name.shard.index() as u8);
                put_varint(to, name.index.into());
                put_varint(to, name.generation.into());
            }
            Whom::User(user) => {
                to.push(USER);
                put_text(to, user, USER_BYTES_MAX);
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let number = reader.varint()?;
        let code = reader.varint()?;
        let text = reader.text(TEXT_BYTES_MAX)?.to_owned();
        let words = Words::new(code, text).map_err(|_| WireError::Number)?;
        let whom = match reader.byte()? {
            CONNECTION => Whom::Connection(connection(reader)?),
            USER => match reader.text(USER_BYTES_MAX)? {
                "" => return Err(WireError::Name),
                user => Whom::User(user.to_owned()),
            },
            kind => return Err(WireError::Kind(kind)),
        };
        let request = CloseRequest { whom, words };
        Ok(Order { number, request })
    }
}

fn connection(reader: &mut Reader<'_>) -> Result<ConnectionName, WireError> {
    let node = reader.text(NAME_BYTES_MAX)?;
    let mut start = [0; 4];
    start.copy_from_slice(reader.take(4)?);
    let short = |number: u64| u32::try_from(number).map_err(|_| WireError::Number);
    Ok(ConnectionName {
        node: node.parse().map_err(|_| WireError::Name)?,
        start: u32::from_be_bytes(start),
        shard: PeerId::shard(reader.byte()?.into()).ok_or(WireError::Number)?,
        index: short(reader.varint()?)?,
        generation: short(reader.varint()?)?,
    })
}

/// A node's orders: the number of its last, and those of others that wait to be carried out.
#[derive(Debug, Default)]
pub(super) struct Orders {
    given: u64,
    /// The last numbers of each other node, by its incarnation. Not only the highest: who claims a high one in another
    /// node's name would silence it.
    heard: BTreeMap<u64, VecDeque<u64>>,
    waiting: VecDeque<CloseRequest>,
}

impl Orders {
    /// An order of this node's own, for others.
    pub fn give(&mut self, request: CloseRequest) -> Order {
        self.given += 1;
        let number = self.given;
        Order { number, request }
    }

    /// Takes an order of another node, if that is one of the cluster, has not given it before, and there is room. Returns
    /// whether it is taken.
    pub fn take(&mut self, from: &Source, order: Order, membership: &Membership) -> bool {
        let is_new = membership.has(from.incarnation)
            && (self.heard.get(&from.incarnation)).is_none_or(|last| !last.contains(&order.number));
        if !is_new || self.waiting.len() >= ORDERS_MAX {
            return false;
        }
        if self.heard.len() >= 2 * NODES_MAX {
            self.heard
                .retain(|&incarnation, _| membership.has(incarnation));
        }
        let last = self.heard.entry(from.incarnation).or_default();
        if last.len() >= ORDERS_KEPT {
            last.pop_front();
        }
        last.push_back(order.number);
        self.waiting.push_back(order.request);
        true
    }

    /// The next to be carried out here.
    pub fn poll(&mut self) -> Option<CloseRequest> {
        self.waiting.pop_front()
    }
}
