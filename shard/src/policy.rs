//! What may change while a node runs.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ringmain_core::{Limits, Networks, Rate, RoomPolicies, Rules};
use ringmain_rt::TcpOptions;

use crate::auth::Authentication;
use crate::origin::Origins;
use crate::tls::ServerTls;

/// Policies that may wait for a shard. It takes them at each turn, and only the newest counts.
const WAITING_MAX: usize = 4;

/// All that a shard goes by and that may be exchanged while it runs. A shard takes a new one between two turns,
/// so that nothing that it does sees half of each.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The bounds of each shard; of the memory, each one's share.
    pub limits: Limits,
    /// Connections that the whole node may have.
    pub connections_max: usize,
    /// New connections of the whole node; each shard has its part.
    pub accept_rate: Option<Rate>,
    /// From where it is believed what is said of whom a connection or a request is.
    pub trusted_proxies: Networks,
    /// Connections from there begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// What is set for rooms.
    pub rooms: RoomPolicies,
    /// What the system does for connections that are accepted from now on.
    pub tcp: TcpOptions,
    /// Whose pages may connect, publish and listen.
    pub origins: Origins,
    /// Who may do what.
    pub auth: Arc<Authentication>,
    /// What connections on the TLS address are presented with from now on; those that there are keep what they have.
    pub tls: Option<ServerTls>,
    /// TLS handshakes that the whole node may have under way.
    pub tls_handshakes_max: usize,
}

impl Policy {
    /// What of it the core goes by.
    pub(crate) fn rules(&self) -> Rules {
        Rules {
            limits: self.limits.clone(),
            rooms: self.rooms.clone(),
        }
    }
}

/// Number of a policy, counted from the start: the one that a node starts with is 0.
type Number = u64;

/// Hands policies to one shard, which is then told by
/// [`PolicyChanged`](ringmain_router::ShardFrame::PolicyChanged) to look.
pub(crate) struct PolicySender {
    sender: SyncSender<(Number, Arc<Policy>)>,
    taken: Arc<AtomicU64>,
}

/// Where a shard finds them.
pub(crate) struct PolicyReceiver {
    receiver: Receiver<(Number, Arc<Policy>)>,
    found: Cell<Number>,
    taken: Arc<AtomicU64>,
}

/// The way from the control plane to one shard.
pub(crate) fn channel() -> (PolicySender, PolicyReceiver) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let taken = Arc::new(AtomicU64::new(0));
    let sender = PolicySender {
        sender,
        taken: taken.clone(),
    };
    let receiver = PolicyReceiver {
        receiver,
        found: Cell::new(0),
        taken,
    };
    (sender, receiver)
}

impl PolicySender {
    /// Lays a policy down, and returns whether there was room for it.
    pub fn try_send(&self, number: Number, policy: Arc<Policy>) -> bool {
        self.sender.try_send((number, policy)).is_ok()
    }

    /// The newest policy that the shard goes by.
    pub fn taken(&self) -> Number {
        self.taken.load(Ordering::Acquire)
    }
}

impl PolicyReceiver {
    /// The newest policy that the shard has not yet found. Once it goes by it, it says so with
    /// [`took`](Self::took).
    pub fn newest(&self) -> Option<Arc<Policy>> {
        let (number, policy) = self.receiver.try_iter().last()?;
        self.found.set(number);
        Some(policy)
    }

    /// The shard goes by what it has found.
    pub fn took(&self) {
        self.taken.store(self.found.get(), Ordering::Release);
    }
}
