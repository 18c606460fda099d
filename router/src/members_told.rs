//! Which rooms have members on this node, as the link to other nodes was told.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::cell::RoomCell;
use crate::frame::ShardFrame;
use crate::id::PeerId;
use crate::room::{RoomId, RoomMap};

/// What one home has told the link. State, not events: a room that changes back before it was told costs nothing.
#[derive(Debug, Default)]
pub(crate) struct MembersTold {
    told: RoomMap<Arc<RoomCell>>,
    due: VecDeque<RoomId>,
    /// What stands in `due`.
    queued: HashSet<RoomId>,
}

impl MembersTold {
    /// Something about a room may have changed.
    pub fn note(&mut self, room: RoomId) {
        if self.queued.insert(room) {
            self.due.push_back(room);
        }
    }

    /// Tells the next change, if `send` takes it. `with_members` gives a room's cell if it has members now.
    pub fn poll(
        &mut self,
        with_members: impl Fn(RoomId) -> Option<Arc<RoomCell>>,
        mut send: impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) -> bool {
        while let Some(&room) = self.due.front() {
            let (now, told) = (with_members(room), self.told.get(&room));
            let news = match (&now, told) {
                (Some(now), Some(told)) if Arc::ptr_eq(now, told) => None,
                (Some(now), _) => Some((now.clone(), true)),
                (None, Some(told)) => Some((told.clone(), false)),
                (None, None) => None,
            };
            let is_news = news.is_some();
            if let Some((cell, are_there)) = news {
                let frame = ShardFrame::Members { cell, are_there };
                if send(PeerId::CONTROL, frame).is_err() {
                    return false;
                }
            }
            self.due.pop_front();
            self.queued.remove(&room);
            match now {
                Some(cell) => self.told.insert(room, cell),
                None => self.told.remove(&room),
            };
            if is_news {
                return true;
            }
        }
        false
    }

    /// Whether something may have to be told.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }
}
