//! One shard's interest in one room, as a state machine between the shard's members and the home.

use std::sync::Arc;

use crate::cell::RoomCell;
use crate::frame::{Grant, NameCollision};
use crate::id::Generation;

/// What one shard wants of a room's home, what it has told it, and what it was answered.
///
/// The owner calls [`want`](Interest::want) whenever members come or go; when it returns `true` the
/// newest state has to be told to home once more. Only the answer to the newest question counts.
#[derive(Debug, Default)]
pub struct Interest {
    member: bool,
    generation: Generation,
    grant: Option<Grant>,
    untold: bool,
}

impl Interest {
    /// Sets what the shard wants. Returns whether home has to be told, which is when the wish has
    /// changed since it was last put down here.
    pub fn want(&mut self, member: bool, counter: &mut Generation) -> bool {
        if self.member == member {
            return false;
        }
        self.member = member;
        self.generation = counter.advance();
        // A shard that wants nothing must not publish by this cell: home may free it at any time.
        self.grant = None;
        let must_queue = !self.untold;
        self.untold = true;
        must_queue
    }

    /// The newest state, to be sent to home; `None` if it was sent already.
    pub fn untold(&self) -> Option<(Generation, bool)> {
        self.untold.then_some((self.generation, self.member))
    }

    /// Notes that the newest state was handed to the lane.
    pub fn told(&mut self) {
        self.untold = false;
    }

    /// Takes home's answer. Returns `None` for an answer to an older question, which is ignored.
    pub fn answered(
        &mut self,
        generation: Generation,
        answer: Result<Grant, NameCollision>,
    ) -> Option<Result<(), NameCollision>> {
        if generation != self.generation || !self.member || self.untold {
            return None;
        }
        Some(answer.map(|grant| self.grant = Some(grant)))
    }

    /// The room's cell, once home has confirmed that this shard counts.
    pub fn cell(&self) -> Option<&Arc<RoomCell>> {
        self.grant.as_ref().map(|grant| &grant.cell)
    }

    /// Whether a publication of this generation is for the members here.
    pub fn covers(&self, generation: Generation) -> bool {
        self.grant
            .as_ref()
            .is_some_and(|grant| grant.since <= generation)
    }

    /// Whether nothing is wanted and home knows: the shard may forget the room.
    pub fn is_released(&self) -> bool {
        !self.member && !self.untold
    }
}
