//! One shard's interest in one room, as a state machine between the shard's members and the home.

use std::sync::Arc;

use crate::cell::RoomCell;
use crate::frame::{Grant, Holding, NameCollision};
use crate::id::Generation;

/// What one shard wants of a room's home, what it has told it, and what it was answered.
///
/// The owner calls [`want`](Interest::want) whenever members or publishers come or go; when it returns `true` the
/// newest state has to be told to home once more. Only the answer to the newest question counts.
#[derive(Debug, Default)]
pub struct Interest {
    holding: Holding,
    generation: Generation,
    grant: Option<Grant>,
    untold: bool,
}

impl Interest {
    /// Sets what the shard wants. Returns whether home has to be told, which is when the wish has
    /// changed since it was last put down here.
    pub fn want(&mut self, holding: Holding, counter: &mut Generation) -> bool {
        if self.holding == holding {
            return false;
        }
        self.holding = holding;
        self.generation = counter.advance();
        // A shard that wants nothing must not publish by this cell: home may free it at any time. And one that
        // wants more has not got it yet.
        self.grant = None;
        let must_queue = !self.untold;
        self.untold = true;
        must_queue
    }

    /// The newest state, to be sent to home; `None` if it was sent already.
    pub fn untold(&self) -> Option<(Generation, Holding)> {
        self.untold.then_some((self.generation, self.holding))
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
        if generation != self.generation || self.holding == Holding::Nothing || self.untold {
            return None;
        }
        Some(answer.map(|grant| self.grant = Some(grant)))
    }

    /// The room's cell, once home has confirmed that this shard holds the room.
    pub fn cell(&self) -> Option<&Arc<RoomCell>> {
        self.grant.as_ref().map(|grant| &grant.cell)
    }

    /// Whether a publication of this generation is for the members here.
    pub fn covers(&self, generation: Generation) -> bool {
        let grant = self.grant.as_ref();
        self.holding == Holding::Member && grant.is_some_and(|grant| grant.since <= generation)
    }

    /// Whether nothing is wanted and home knows: the shard may forget the room.
    pub fn is_released(&self) -> bool {
        self.holding == Holding::Nothing && !self.untold
    }
}
