//! What shards say to each other.

use std::sync::Arc;

use crate::cell::RoomCell;
use crate::id::{Generation, PeerId};
use crate::lease::{LeaseGrant, LeaseRequest};
use crate::order::CloseOrder;
use crate::publication::Publication;
use crate::room::{RoomId, RoomName};
use crate::slots::{self, Wish};
use crate::subject::{SubjectId, SubjectKind};

/// One message between peers of the mesh.
///
/// It is copied into and out of a lane for every publication and shard, so it is kept small: what is large and rare is
/// boxed.
#[derive(Clone, Debug)]
pub enum ShardFrame {
    /// Deliver a publication to the members that the receiving shard has.
    Publish {
        /// The room.
        room: RoomId,
        /// The room's generation when its handling began.
        generation: Generation,
        /// The publication, shared by all shards.
        publication: Arc<Publication>,
    },
    /// Send a publication to the other nodes of the cluster. For the cluster's link alone, which has no other way to
    /// learn the room's name.
    ToCluster {
        /// The room's cell.
        cell: Arc<RoomCell>,
        /// The publication.
        publication: Arc<Publication>,
    },
    /// A room's home tells the cluster's link whether the room has members on this node. State, like interest.
    Members {
        /// The room's cell, or that of the room's last life.
        cell: Arc<RoomCell>,
        /// Whether some shard counts.
        are_there: bool,
    },
    /// A shard tells the room's home what it wants of the room. State, not an event: the newest
    /// generation says it all, so a frame that could not be sent is replaced, never queued.
    Interest {
        /// The room.
        room: RoomId,
        /// Its name, for home to compare.
        name: RoomName,
        /// The shard that speaks.
        from: PeerId,
        /// Number of the question, to be echoed.
        generation: Generation,
        /// What it wants.
        holding: Holding,
    },
    /// Home answers an [`ShardFrame::Interest`] that asked to hold the room.
    Answer {
        /// The room.
        room: RoomId,
        /// The question that is answered.
        generation: Generation,
        /// The grant, or why there is none.
        answer: Result<Grant, NameCollision>,
    },
    /// A shard tells a subject's keeper how many connections of it it wants to have. State, as interest is.
    Claim {
        /// The shard's wish.
        wish: Wish,
        /// What the subject is counted as.
        kind: SubjectKind,
    },
    /// The keeper answers a [`ShardFrame::Claim`] that wanted more.
    Slots {
        /// The subject.
        subject: SubjectId,
        /// What the shard has got.
        grant: slots::Grant,
    },
    /// A user's keeper tells the cluster's link how many connections the user has on this node. State, like interest.
    UserHere {
        /// The user.
        user: SubjectId,
        /// How many.
        connections: u32,
    },
    /// The link tells a user's keeper how many connections the user has on other nodes, as far as is known.
    UserElsewhere {
        /// The user.
        user: SubjectId,
        /// How many.
        connections: u32,
    },
    /// A shard wants to let messages through of what is rated for the whole node, or gives back what it did not need.
    LeaseWanted(Box<LeaseRequest>),
    /// The lender answers a [`ShardFrame::LeaseWanted`] that asks.
    Lease(Box<LeaseGrant>),
    /// A shard tells a subject's keeper that it has broken a limit.
    Offence {
        /// The subject.
        subject: SubjectId,
    },
    /// The control plane tells a shard to accept no more and to close all its connections over a time. The
    /// shard goes on until it is told to stop: other shards may need it as long as they have connections.
    Drain {
        /// Over which the closing is spread, evenly; 0 for at once.
        duration_ms: u64,
        /// Decides the order in which connections are closed.
        seed: u64,
    },
    /// The control plane tells a shard whose connections an operator wants closed.
    Close(Arc<CloseOrder>),
    /// The control plane tells a shard to close what it still has at once, and to end.
    Stop,
    /// The control plane has laid down a new policy for the shard's shell to take up.
    PolicyChanged,
}

/// What a shard wants of a room. Whoever holds a room keeps its cell alive at home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holding {
    /// Nothing: home may free the room.
    #[default]
    Nothing,
    /// The room's cell, to publish by it. Publications of others are not for this shard.
    Publisher,
    /// To count: the shard has members, or will have some when this is answered. It may publish too.
    Member,
}

/// Home's word that a shard holds a room.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The room's cell; a member's bit is set in it.
    pub cell: Arc<RoomCell>,
    /// The generation since which a member counts: publications of an older one are not for it.
    pub since: Generation,
}

/// Another room, with another name, holds this room's id; the join is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the room's id belongs to a room with another name")]
pub struct NameCollision;

/// A lane of the mesh. Lanes have no mutual order, so what must not overtake a publication would
/// have to ride the data lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Publications.
    Data,
    /// All else. Never dropped: what does not fit is kept as state and sent again.
    Control,
}

impl ShardFrame {
    /// The lane that the frame travels on.
    pub fn lane(&self) -> Lane {
        match self {
            ShardFrame::Publish { .. } | ShardFrame::ToCluster { .. } => Lane::Data,
            ShardFrame::Interest { .. }
            | ShardFrame::Members { .. }
            | ShardFrame::Answer { .. }
            | ShardFrame::Claim { .. }
            | ShardFrame::Slots { .. }
            | ShardFrame::Offence { .. }
            | ShardFrame::UserHere { .. }
            | ShardFrame::UserElsewhere { .. }
            | ShardFrame::LeaseWanted(_)
            | ShardFrame::Lease(_)
            | ShardFrame::Drain { .. }
            | ShardFrame::Close(_)
            | ShardFrame::Stop
            | ShardFrame::PolicyChanged => Lane::Control,
        }
    }

    /// Bytes that the frame keeps alive while it waits.
    pub fn bytes(&self) -> usize {
        match self {
            ShardFrame::Publish { publication, .. } | ShardFrame::ToCluster { publication, .. } => {
                publication.payload.len()
            }
            _ => 0,
        }
    }
}

/// What a publication needs, with the kind of the frame. A larger frame costs every hop.
const _: () = assert!(size_of::<ShardFrame>() <= 48);
