//! The page `/cluster`: this node and the others, as JSON.

use ringmain_nats::{NodeStatus, Status};
use ringmain_router::cluster::{LinkDrop, RoomClass};
use serde_json::{Map, Value, json};

/// The page's text.
pub fn page(status: &Status) -> String {
    let counters = &status.counters;
    let drops: Map<String, Value> = LinkDrop::NAMES
        .iter()
        .zip(counters.drops)
        .map(|((name, _), count)| ((*name).to_owned(), count.into()))
        .collect();
    let streams: Map<String, Value> = RoomClass::NAMES
        .iter()
        .zip(counters.streams)
        .map(|((name, _), streams)| {
            let streams = json!({
                "missed": streams.missed,
                "duplicates": streams.duplicates,
                "reordered": streams.reordered,
            });
            ((*name).to_owned(), streams)
        })
        .collect();
    let page = json!({
        "node": status.node,
        "incarnation": format!("{:x}", status.incarnation),
        "connected": status.interrupted_ms.is_none(),
        "interrupted_ms": status.interrupted_ms,
        "rooms": status.rooms,
        "subscriptions": status.buckets,
        "waiting": { "messages": status.waiting, "bytes": status.waiting_bytes },
        "users": { "here": status.users.0, "elsewhere": status.users.1 },
        "sent": counters.sent,
        "received": counters.received,
        "published": counters.published,
        "interruptions": counters.interruptions,
        "publish_connected": status.is_publish_connected,
        "publish_interruptions": status.publish_interruptions,
        "drops": drops,
        "streams": streams,
        "nodes": status.nodes.iter().map(node).collect::<Vec<_>>(),
    });
    format!("{page:#}\n")
}

fn node(node: &NodeStatus) -> Value {
    json!({
        "node": node.node,
        "incarnation": format!("{:x}", node.incarnation),
        "address": node.address,
        "version": node.version,
        "connections": node.connections,
        "rooms": node.rooms,
        "known_ms": node.known_ms,
        "heard_ms": node.heard_ms,
        "round_trip_ms": node.round_trip_ms,
    })
}
