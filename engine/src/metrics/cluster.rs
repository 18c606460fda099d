//! The numbers of the link with other nodes. They are there where the node is part of a cluster.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use ringmain_nats::{Handle, Status};
use ringmain_router::cluster::{LinkDrop, RoomClass};

use super::{Family, counter, gauge};

/// Collects them from the link's status.
pub(super) struct ClusterCollector(pub Handle);

impl fmt::Debug for ClusterCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterCollector")
    }
}

impl Collector for ClusterCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, status) = (&mut encoder, self.0.status());
        for (family, value) in plain(&status) {
            family.encode(encoder, [(vec![], value)])?;
        }
        let drops = LinkDrop::NAMES.iter().zip(status.counters.drops);
        let drops = drops.map(|((name, _), count)| (vec![("reason", *name)], count));
        let help = "Messages between nodes that were not carried further, by why";
        counter("cluster_drops", help).encode(encoder, drops)?;
        let streams = || RoomClass::NAMES.iter().zip(status.counters.streams);
        let help = "Publications of other nodes that did not come in, by class of their rooms";
        counter("cluster_missed", help).encode(
            encoder,
            streams().map(|((class, _), streams)| (vec![("class", *class)], streams.missed)),
        )?;
        let help = "Publications of other nodes that came in twice, and were dropped";
        counter("cluster_duplicates", help).encode(
            encoder,
            streams().map(|((class, _), streams)| (vec![("class", *class)], streams.duplicates)),
        )?;
        let help = "Publications of other nodes that came in after later ones, and were dropped";
        counter("cluster_reordered", help).encode(
            encoder,
            streams().map(|((class, _), streams)| (vec![("class", *class)], streams.reordered)),
        )?;
        let help = "Places in streams that were claimed in a node's name and that it did not know of itself";
        counter("cluster_overruled", help).encode(
            encoder,
            streams().map(|((class, _), streams)| (vec![("class", *class)], streams.overruled)),
        )?;
        let nodes = || status.nodes.iter();
        let help = "How long ago another node was heard of, in milliseconds";
        gauge("cluster_node_heard_milliseconds", help).encode(
            encoder,
            nodes().map(|node| (vec![("node", node.node.as_str())], node.heard_ms)),
        )?;
        let help = "How long a message takes to another node and back, in milliseconds";
        gauge("cluster_node_round_trip_milliseconds", help).encode(
            encoder,
            nodes()
                .filter_map(|node| Some((vec![("node", node.node.as_str())], node.round_trip_ms?))),
        )
    }
}

fn plain(status: &Status) -> Vec<(Family<'static>, u64)> {
    let counters = &status.counters;
    let is_connected = u64::from(status.interrupted_ms.is_none());
    vec![
        (
            gauge("cluster_connected", "Whether the NATS server is there"),
            is_connected,
        ),
        (
            gauge("cluster_nodes", "Nodes of the cluster, this one included"),
            status.nodes.len() as u64 + 1,
        ),
        (
            gauge(
                "cluster_rooms",
                "Rooms with members here, as the link knows them",
            ),
            status.rooms as u64,
        ),
        (
            gauge(
                "cluster_subscriptions",
                "Buckets of rooms that are subscribed to",
            ),
            status.buckets as u64,
        ),
        (
            gauge(
                "cluster_waiting_messages",
                "Publications that wait for the NATS server",
            ),
            status.waiting as u64,
        ),
        (
            gauge(
                "cluster_waiting_bytes",
                "Bytes of these, with what lies around them",
            ),
            status.waiting_bytes as u64,
        ),
        (
            counter("cluster_sent", "Publications handed to the NATS client"),
            counters.sent,
        ),
        (
            counter(
                "cluster_received",
                "Publications of other nodes for rooms with members here",
            ),
            counters.received,
        ),
        (
            counter(
                "cluster_left_out",
                "Publications that came in for rooms without members here",
            ),
            counters.not_for_us,
        ),
        (
            counter(
                "cluster_published",
                "Plain messages that this node took in for all nodes",
            ),
            counters.published,
        ),
        (
            counter(
                "cluster_orders_sent",
                "Orders to close connections that were sent to other nodes",
            ),
            counters.orders_sent,
        ),
        (
            counter(
                "cluster_orders_received",
                "Orders of other nodes to close connections that were taken",
            ),
            counters.orders_received,
        ),
        (
            gauge(
                "cluster_users_here",
                "Users with connections here that other nodes are told of",
            ),
            status.users.0 as u64,
        ),
        (
            gauge(
                "cluster_users_elsewhere",
                "Users with connections on other nodes, as far as these have told",
            ),
            status.users.1 as u64,
        ),
        (
            counter(
                "cluster_users_unfollowed",
                "Times that a user of another node was not counted, because there were too many",
            ),
            counters.users_unfollowed,
        ),
        (
            counter(
                "cluster_interruptions",
                "Times that the connection to the NATS server was lost",
            ),
            counters.interruptions,
        ),
        (
            counter(
                "cluster_room_interruptions",
                "Rooms with members here over all interruptions: each may have a gap",
            ),
            counters.room_interruptions,
        ),
        (
            counter(
                "cluster_other_versions",
                "Messages of another version of the protocol, refused",
            ),
            counters.other_versions,
        ),
        (
            counter(
                "cluster_unfollowed",
                "Publications of other nodes that came in unnumbered, because too many nodes publish to their room",
            ),
            counters.streams_unfollowed,
        ),
        (
            gauge(
                "cluster_publish_connected",
                "Whether the connection for plain messages is there",
            ),
            u64::from(status.is_publish_connected),
        ),
        (
            counter(
                "cluster_publish_interruptions",
                "Times that the connection for plain messages was lost",
            ),
            status.publish_interruptions,
        ),
        (
            counter(
                "cluster_slow_reads",
                "Times that the NATS client dropped what was not read in time",
            ),
            status.slow_reads,
        ),
    ]
}
