//! What may change while a node runs.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ringmain_core::Limits;

use crate::origin::Origins;

/// Policies that may wait for a shard. It takes them at each turn, and only the newest counts.
const WAITING_MAX: usize = 4;

/// All that a shard goes by and that may be exchanged while it runs. A shard takes a new one between two turns,
/// so that nothing that it does sees half of each.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The bounds of each shard; of the memory, each one's share.
    pub limits: Limits,
    /// Whose pages may connect, publish and listen.
    pub origins: Origins,
}

/// Hands policies to one shard, which is then told by
/// [`PolicyChanged`](ringmain_router::ShardFrame::PolicyChanged) to look.
pub(crate) type PolicySender = SyncSender<Arc<Policy>>;

/// Where a shard finds them.
pub(crate) struct PolicyReceiver(Receiver<Arc<Policy>>);

/// The way from the control plane to one shard.
pub(crate) fn channel() -> (PolicySender, PolicyReceiver) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    (sender, PolicyReceiver(receiver))
}

impl PolicyReceiver {
    /// The newest policy that the shard has not yet taken.
    pub fn newest(&self) -> Option<Arc<Policy>> {
        self.0.try_iter().last()
    }
}
