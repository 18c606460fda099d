//! What the control plane asks of a running node. A lane may be full: what is asked then has to be asked again.

use std::sync::Arc;
use std::time::Duration;

use ringmain_router::{CloseOrder, PeerId, ShardFrame};

use crate::node::Node;
use crate::policy::Policy;

impl Node {
    /// Asks all shards to accept no more once their queues are empty, and to close everyone after what is
    /// queued: some at a time, spread over `duration`, in an order that follows from `seed`. They go on until
    /// [`stop`](Self::stop). Returns whether all were asked; if not, call again a little later.
    pub fn drain(&mut self, duration: Duration, seed: u64) -> bool {
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let control = &self.control;
        self.undrained.retain(|&shard| {
            let drain = ShardFrame::Drain {
                duration_ms,
                // Not the same order on each.
                seed: seed ^ ((shard.index() as u64) << 32),
            };
            control.send(shard, drain).is_err()
        });
        self.undrained.is_empty()
    }

    /// Whether no shard listens and none has a connection.
    pub fn is_drained(&self) -> bool {
        let mut stats = self.shards.iter().map(|shard| shard.stats());
        stats.all(|stats| stats.listening.get() == 0 && stats.connections.get() == 0)
    }

    /// Asks all shards to close at once, after what is queued, whoever is left, and to end. Returns whether all
    /// were asked; if not, call again a little later.
    pub fn stop(&mut self) -> bool {
        let control = &self.control;
        self.unstopped
            .retain(|&shard| control.send(shard, ShardFrame::Stop).is_err());
        self.unstopped.is_empty()
    }

    /// Gives a shard an order to close connections. Returns whether it was given; if not, call again a little later.
    pub fn order(&self, shard: PeerId, order: &Arc<CloseOrder>) -> bool {
        let frame = ShardFrame::Close(order.clone());
        self.control.send(shard, frame).is_ok()
    }

    /// Gives all shards a new policy. Returns whether all were given it; if not, call
    /// [`go_on_reloading`](Self::go_on_reloading) a little later.
    pub fn reload(&mut self, policy: Arc<Policy>) -> bool {
        self.policy = policy;
        self.policies += 1;
        self.unchanged = (0..self.shards.len()).filter_map(PeerId::shard).collect();
        self.go_on_reloading()
    }

    /// Gives the newest policy to the shards that could not be told of it before. Returns whether all were
    /// given it.
    pub fn go_on_reloading(&mut self) -> bool {
        let Node {
            shards,
            control,
            policy,
            policies,
            ..
        } = self;
        self.unchanged.retain(|&shard| {
            let is_laid = shards[shard.index()]
                .policies
                .try_send(*policies, policy.clone());
            // Told in any case: where older ones are in the way, it takes them up.
            let is_told = control.send(shard, ShardFrame::PolicyChanged).is_ok();
            !(is_laid && is_told)
        });
        self.unchanged.is_empty()
    }

    /// The newest policy that it was given.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether every shard goes by the newest policy.
    pub fn is_reloaded(&self) -> bool {
        let mut shards = self.shards.iter();
        shards.all(|shard| shard.policies.taken() == self.policies)
    }
}
