//! The lanes between peers: bounded in frames and in bytes, never waited for.
//!
//! Each shard has one inbox a lane. A sender that finds a lane full keeps the frame and asks to be
//! rung when there is room; the reader rings it once the lane is half empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::doorbell::{Doorbell, SleepWord};
use crate::frame::{Lane, ShardFrame};
use crate::id::PeerId;

/// How much each shard's lanes hold.
#[derive(Clone, Copy, Debug)]
pub struct MeshLimits {
    /// Frames in a data lane.
    pub data_frames_max: usize,
    /// Frames in a control lane.
    pub control_frames_max: usize,
    /// Payload bytes in a data lane. One frame is always let in, however large.
    pub data_bytes_max: usize,
}

/// All peers of a node, to be split into one [`MeshPort`] each.
pub struct Mesh {
    shared: Arc<Shared>,
    receivers: Vec<Receivers>,
    link: Option<Receivers>,
}

/// Of an inbox's data lane and of its control lane.
type Receivers = (Receiver<ShardFrame>, Receiver<ShardFrame>);

struct Shared {
    limits: MeshLimits,
    inboxes: Vec<Inbox>,
    /// Of the control plane, where the node is linked to others.
    link: Option<Inbox>,
}

struct Inbox {
    data: Sender<ShardFrame>,
    control: Sender<ShardFrame>,
    data_bytes: AtomicUsize,
    /// Peers that found a lane of this inbox full.
    waiting: AtomicU64,
    /// Some lane that this peer found full has room again.
    room_made: AtomicBool,
    sleep: SleepWord,
    bell: Box<dyn Doorbell>,
}

impl Mesh {
    /// A mesh of as many shards as there are bells, and the control plane, which only sends.
    pub fn new(limits: MeshLimits, bells: Vec<Box<dyn Doorbell>>) -> Self {
        let (inboxes, receivers) = bells
            .into_iter()
            .map(|bell| Inbox::new(&limits, bell))
            .unzip();
        Mesh {
            shared: Arc::new(Shared {
                limits,
                inboxes,
                link: None,
            }),
            receivers,
            link: None,
        }
    }

    /// The same, where the control plane has an inbox too: for what goes to other nodes.
    pub fn linked(
        limits: MeshLimits,
        bells: Vec<Box<dyn Doorbell>>,
        link: Box<dyn Doorbell>,
    ) -> Self {
        let (inboxes, receivers) = bells
            .into_iter()
            .map(|bell| Inbox::new(&limits, bell))
            .unzip();
        let (link, link_receivers) = Inbox::new(&limits, link);
        Mesh {
            shared: Arc::new(Shared {
                limits,
                inboxes,
                link: Some(link),
            }),
            receivers,
            link: Some(link_receivers),
        }
    }

    /// One port for each shard in order, and the control plane's.
    pub fn into_ports(self) -> (Vec<MeshPort>, ControlPort) {
        let (ports, control, _) = self.into_linked_ports();
        (ports, control)
    }

    /// The same, and the control plane's own inbox, if it has one.
    pub fn into_linked_ports(self) -> (Vec<MeshPort>, ControlPort, Option<MeshPort>) {
        let shared = self.shared;
        let port = |me, (data, control)| MeshPort {
            me,
            shared: shared.clone(),
            data,
            control,
            touched: 0,
        };
        let ports = self
            .receivers
            .into_iter()
            .enumerate()
            .map(|(index, receivers)| {
                port(PeerId::shard(index).unwrap_or(PeerId::CONTROL), receivers)
            });
        let ports = ports.collect();
        let link = self.link.map(|receivers| port(PeerId::CONTROL, receivers));
        let control = ControlPort {
            shared: shared.clone(),
        };
        (ports, control, link)
    }
}

impl Inbox {
    fn new(limits: &MeshLimits, bell: Box<dyn Doorbell>) -> (Self, Receivers) {
        let (data, data_receiver) = bounded(limits.data_frames_max);
        let (control, control_receiver) = bounded(limits.control_frames_max);
        let inbox = Inbox {
            data,
            control,
            data_bytes: AtomicUsize::new(0),
            waiting: AtomicU64::new(0),
            room_made: AtomicBool::new(false),
            sleep: SleepWord::default(),
            bell,
        };
        (inbox, (data_receiver, control_receiver))
    }
}

impl Shared {
    fn inbox(&self, peer: PeerId) -> Option<&Inbox> {
        if peer == PeerId::CONTROL {
            self.link.as_ref()
        } else {
            self.inboxes.get(peer.index())
        }
    }

    fn send(&self, me: PeerId, to: PeerId, frame: ShardFrame) -> Result<(), ShardFrame> {
        let Some(inbox) = self.inbox(to) else {
            return Err(frame);
        };
        match self.try_send(inbox, frame) {
            Ok(()) => Ok(()),
            Err(frame) => {
                inbox.waiting.fetch_or(me.bit(), Ordering::Relaxed);
                // Ask before look again: pairs with the fence in `MeshPort::make_room_known`.
                fence(Ordering::SeqCst);
                self.try_send(inbox, frame)
            }
        }
    }

    fn try_send(&self, inbox: &Inbox, frame: ShardFrame) -> Result<(), ShardFrame> {
        match frame.lane() {
            Lane::Control => inbox
                .control
                .try_send(frame)
                .map_err(TrySendError::into_inner),
            Lane::Data => {
                let bytes = frame.bytes();
                let before = inbox.data_bytes.fetch_add(bytes, Ordering::Relaxed);
                let result = if before > 0 && before + bytes > self.limits.data_bytes_max {
                    Err(frame)
                } else {
                    inbox.data.try_send(frame).map_err(TrySendError::into_inner)
                };
                if result.is_err() {
                    inbox.data_bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
                result
            }
        }
    }

    fn wake(&self, peer: PeerId) {
        // A control plane without an inbox does not sleep on the mesh.
        if let Some(inbox) = self.inbox(peer)
            && inbox.sleep.must_ring()
        {
            inbox.bell.ring();
        }
    }
}

/// One shard's end of the mesh, or that of the link to other nodes.
pub struct MeshPort {
    me: PeerId,
    shared: Arc<Shared>,
    data: Receiver<ShardFrame>,
    control: Receiver<ShardFrame>,
    touched: u64,
}

impl MeshPort {
    /// The shard whose end this is.
    pub fn me(&self) -> PeerId {
        self.me
    }

    /// Shards in the mesh.
    pub fn shards(&self) -> usize {
        self.shared.inboxes.len()
    }

    /// Puts a frame into a peer's lane; the peer is woken by the next
    /// [`ring_touched`](Self::ring_touched).
    ///
    /// # Errors
    /// Gives the frame back when the lane is full. The shard's own bell is rung once there is room.
    pub fn send(&mut self, to: PeerId, frame: ShardFrame) -> Result<(), ShardFrame> {
        self.shared.send(self.me, to, frame)?;
        self.touched |= to.bit();
        Ok(())
    }

    /// Wakes the sleepers among the peers that were sent something since the last call.
    pub fn ring_touched(&mut self) {
        for peer in PeerId::in_mask(std::mem::take(&mut self.touched)) {
            self.shared.wake(peer);
        }
    }

    /// The next frame of one of the shard's own lanes.
    pub fn receive(&mut self, lane: Lane) -> Option<ShardFrame> {
        let frame = match lane {
            Lane::Data => self.data.try_recv().ok()?,
            Lane::Control => self.control.try_recv().ok()?,
        };
        let bytes = frame.bytes();
        if bytes > 0 {
            self.inbox().data_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        Some(frame)
    }

    /// Wakes the peers that found a lane full, if the lanes are half empty now. To be called after
    /// each round of receiving.
    pub fn make_room_known(&mut self) {
        // Take before look: pairs with the fence in `Shared::send`.
        fence(Ordering::SeqCst);
        let inbox = self.inbox();
        if inbox.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let limits = &self.shared.limits;
        let has_room = self.data.len() <= limits.data_frames_max / 2
            && self.control.len() <= limits.control_frames_max / 2
            && inbox.data_bytes.load(Ordering::Relaxed) <= limits.data_bytes_max / 2;
        if has_room {
            let waiting = inbox.waiting.swap(0, Ordering::Relaxed);
            for peer in PeerId::in_mask(waiting) {
                if let Some(inbox) = self.shared.inbox(peer) {
                    // A peer that is awake now must see this before it sleeps.
                    inbox.room_made.store(true, Ordering::Relaxed);
                }
                self.shared.wake(peer);
            }
        }
    }

    /// Whether both own lanes are empty.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.control.is_empty()
    }

    /// Arms the shard's bell, to sleep. Returns `false` if something has come in meanwhile, or a
    /// lane that was found full has room again.
    pub fn arm(&self) -> bool {
        let inbox = self.inbox();
        inbox
            .sleep
            .arm(|| self.is_empty() && !inbox.room_made.load(Ordering::Relaxed))
    }

    /// The shard is awake again and will try what it could not send: nobody needs to ring.
    pub fn disarm(&self) {
        let inbox = self.inbox();
        inbox.sleep.disarm();
        inbox.room_made.store(false, Ordering::Relaxed);
    }

    /// Frames that wait in the shard's own data lane.
    pub fn waiting_frames(&self) -> usize {
        self.data.len()
    }

    /// Payload bytes that wait in the shard's own data lane.
    pub fn waiting_bytes(&self) -> usize {
        self.inbox().data_bytes.load(Ordering::Relaxed)
    }

    fn inbox(&self) -> &Inbox {
        match &self.shared.link {
            Some(link) if self.me == PeerId::CONTROL => link,
            _ => &self.shared.inboxes[self.me.index()],
        }
    }
}

/// The control plane's end of the mesh for commands, which it only sends.
pub struct ControlPort {
    shared: Arc<Shared>,
}

impl ControlPort {
    /// Sends a frame to one shard and wakes it.
    ///
    /// # Errors
    /// Gives the frame back when the lane is full: try again a little later.
    pub fn send(&self, to: PeerId, frame: ShardFrame) -> Result<(), ShardFrame> {
        self.shared.send(PeerId::CONTROL, to, frame)?;
        self.shared.wake(to);
        Ok(())
    }
}
