//! One life of one node: its cores, its link, and what its broker's client keeps.

use std::sync::Arc;

use ringmain_core::Tick;
use ringmain_router::cluster::outbound::OutboundLimits;
use ringmain_router::cluster::{
    Change, ClusterLink, Input, LinkConfig, Message, NoRates, Output, PlainLimits,
};
use ringmain_router::{Lane, MeshPort, RoomKey, ShardFrame};

use super::ledger::{Ledger, Life};
use crate::Random;
use crate::node::Node;

/// What the broker takes.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

pub struct Member {
    pub life: Life,
    pub node: Node,
    pub cores: usize,
    pub link: ClusterLink,
    port: MeshPort,
    pub subscriptions: Vec<String>,
    /// Nothing passes between it and the broker.
    pub is_cut: bool,
    /// On which side of the broker it is.
    pub side: bool,
    /// The broker takes one message in so many steps; all in each if 0.
    pub takes_one_in: usize,
    /// Publications that its cores have handed over.
    pub handed_over: u64,
    /// Other nodes that fell silent.
    pub gone: u64,
}

impl Member {
    pub fn new(
        (life, name): (Life, usize),
        (node, port, cores): (Node, MeshPort, usize),
        room_secret: RoomKey,
        outbound: OutboundLimits,
        now: Tick,
    ) -> Self {
        let config = LinkConfig {
            cluster: "simulated".parse().expect("valid"),
            node: format!("node-{name}").parse().expect("valid"),
            incarnation: life,
            address: format!("10.0.0.{name}:80"),
            version: "1".to_owned(),
            room_secret,
            outbound,
            plain: PlainLimits {
                message_bytes_max: PAYLOAD_BYTES_MAX,
                rate: None,
                rooms: Arc::new(NoRates),
            },
            shards: cores,
        };
        Member {
            life,
            node,
            cores,
            link: ClusterLink::new(config, now),
            port,
            subscriptions: Vec::new(),
            is_cut: false,
            side: name.is_multiple_of(2),
            takes_one_in: 0,
            handed_over: 0,
            gone: 0,
        }
    }

    /// The broker is there, or its loss is noticed.
    pub fn notice(&mut self, is_there: bool, now: Tick) {
        let payload_bytes_max = PAYLOAD_BYTES_MAX;
        self.link.handle(
            now,
            if is_there {
                Input::Connected { payload_bytes_max }
            } else {
                Input::Disconnected
            },
        );
    }

    /// All cores have a turn, and the link a round as its driver makes it. Returns what goes to the broker.
    pub fn step(&mut self, now: Tick, ledger: &mut Ledger, random: &mut Random) -> Vec<Message> {
        let first = random.below(self.cores);
        for core in 0..self.cores {
            self.node.turn((first + core) % self.cores, random);
        }
        self.take_frames(now, ledger, 1 + random.below(12));
        self.link.handle(now, Input::Turn);
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Subscribe(what) => self.subscriptions.push(self.link.subject(what)),
                Output::Unsubscribe(what) => {
                    let subject = self.link.subject(what);
                    self.subscriptions.retain(|known| *known != subject);
                }
                Output::Changed(change) => {
                    self.gone += u64::from(matches!(change, Change::Gone(_)));
                }
            }
        }
        let port = &mut self.port;
        self.link.send_frames(now, |to, frame| port.send(to, frame));
        let link = &mut self.link;
        let messages = std::iter::from_fn(|| Some(link.poll_message()?.1));
        let messages_max = match self.takes_one_in {
            0 => usize::MAX,
            steps => usize::from(random.one_in(steps)),
        };
        messages.take(messages_max).collect()
    }

    /// The last round of its driver, when its cores have ended. Returns what goes to the broker.
    pub fn leave(&mut self, now: Tick, ledger: &mut Ledger) -> Vec<Message> {
        let mut messages = Vec::new();
        while !self.port.is_empty() {
            self.take_frames(now, ledger, usize::MAX);
            let link = &mut self.link;
            messages.extend(std::iter::from_fn(|| Some(link.poll_message()?.1)));
        }
        self.link.handle(now, Input::Leave);
        let link = &mut self.link;
        messages.extend(std::iter::from_fn(|| Some(link.poll_message()?.1)));
        messages
    }

    fn take_frames(&mut self, now: Tick, ledger: &mut Ledger, frames_max: usize) {
        for lane in [Lane::Control, Lane::Data] {
            for _ in 0..frames_max {
                let Some(frame) = self.port.receive(lane) else {
                    break;
                };
                match &frame {
                    ShardFrame::Members { cell, are_there } => {
                        ledger.members(self.life, cell.name().as_str(), *are_there);
                    }
                    ShardFrame::ToCluster { cell, .. } => {
                        self.handed_over += 1;
                        ledger.sent(self.life, cell.name().as_str());
                    }
                    other => panic!("{other:?} is not for the link"),
                }
                self.link.handle(now, Input::Frame(frame));
            }
        }
    }
}
