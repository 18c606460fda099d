//! One member of a thousand does not read: the others lose nothing, and what becomes of it is its room's policy.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

mod common;

use std::sync::Arc;

use common::{Client, Got, backends, config, stop, until};
use ringmain_core::{CloseReason, DropReason, Limits, RoomPolicies, RoomSettings, SlowConsumer};
use ringmain_rt::{Backend, TcpOptions};
use ringmain_shard::{Node, NodeConfig, Policy};

const MEMBERS: usize = 1_000;
/// Messages, and their bytes: more than kernel and queue keep for who does not read.
const MESSAGES: u32 = 160;
const MESSAGE_BYTES: usize = 4096;
/// Messages under way at once: what the kernel keeps for a member whose turn to read has not come yet.
const BATCH: u32 = 4;
const QUEUE_MESSAGES: u64 = 5;

fn node(backend: Backend, slow_consumer: SlowConsumer) -> Node {
    let settings = RoomSettings {
        slow_consumer,
        queue_bytes_max: 64 << 10,
        queue_messages_max: QUEUE_MESSAGES as usize,
        message_rate: None,
    };
    let policy = Policy {
        limits: Limits {
            outbox_soft_bytes: 64 << 10,
            outbox_soft_ms: 200,
            ..Limits::default()
        },
        rooms: RoomPolicies::new(Vec::new(), settings),
        // What is not under way waits where it can be dropped.
        tcp: TcpOptions {
            notsent_bytes_max: 16 << 10,
            ..TcpOptions::default()
        },
        connections_max: 100_000,
        ..Policy::default()
    };
    let descriptors_max = ringmain_rt::descriptors::raise_limit().unwrap();
    ringmain_shard::start(NodeConfig {
        policy: Arc::new(policy),
        descriptors_max,
        ..config(backend, 2)
    })
    .unwrap()
}

fn numbered(number: u32) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(MESSAGE_BYTES, number as u8);
    payload
}

fn count(node: &Node, of: impl Fn(&ringmain_core::ShardStats) -> u64) -> u64 {
    node.shards().iter().map(|shard| of(shard.stats())).sum()
}

fn dropped(node: &Node, reason: DropReason) -> u64 {
    count(node, |stats| stats.drops[reason as usize].get())
}

/// Numbers of the messages that the member gets from now on, until its end or one of this number.
fn read_until(client: &mut Client, last: u32) -> (Vec<u32>, Option<u16>) {
    let mut numbers = Vec::new();
    loop {
        match client.next() {
            Got::Message(payload) => {
                let number = u32::from_le_bytes(payload[..4].try_into().unwrap());
                assert!(payload == numbered(number), "whole and unchanged");
                numbers.push(number);
                if number == last {
                    return (numbers, None);
                }
            }
            Got::Ping => {}
            Got::Close(frame) => return (numbers, frame.map(|frame| frame.code.into())),
            Got::End => panic!("no close frame"),
        }
    }
}

/// Sends all messages; all members but the stuck one have got each of them, in order.
fn speak_to_all(node: &Node) -> (Client, Client) {
    let mut publisher = Client::connect(node.address(), "/raw/all");
    let stuck = Client::connect(node.address(), "/raw/all");
    let mut members: Vec<_> = (2..MEMBERS)
        .map(|_| Client::connect(node.address(), "/raw/all"))
        .collect();
    for first in (0..MESSAGES).step_by(BATCH as usize) {
        let batch = first..first + BATCH;
        batch
            .clone()
            .for_each(|number| publisher.send(&numbered(number)));
        for member in &mut members {
            let (numbers, close) = read_until(member, batch.end - 1);
            assert_eq!(
                numbers,
                batch.clone().collect::<Vec<_>>(),
                "closed: {close:?}"
            );
        }
    }
    (publisher, stuck)
}

#[test]
fn disconnect_closes_the_stuck_member_alone() {
    for backend in backends() {
        let node = node(backend, SlowConsumer::Disconnect);
        let (publisher, mut stuck) = speak_to_all(&node);
        until("the stuck member is closed", || {
            dropped(&node, DropReason::SlowConsumer) > 0
        });
        let (numbers, code) = read_until(&mut stuck, MESSAGES);
        assert_eq!(code, Some(1013));
        let received = numbers.len() as u64;
        assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>());
        let lost = dropped(&node, DropReason::SlowConsumer);
        assert!(received + lost <= u64::from(MESSAGES), "{received} {lost}");
        drop((publisher, stuck));
        until("it is counted", || {
            count(&node, |stats| {
                stats.closes[CloseReason::SlowConsumer as usize].get()
            }) == 1
        });
        stop(node);
    }
}

#[test]
fn drop_oldest_lets_the_stuck_member_miss_the_oldest_and_counts_them() {
    for backend in backends() {
        let node = node(backend, SlowConsumer::DropOldest);
        let (publisher, mut stuck) = speak_to_all(&node);
        let (numbers, _) = read_until(&mut stuck, MESSAGES - 1);
        let missed = u64::from(MESSAGES) - numbers.len() as u64;
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert!(missed > 0, "the kernel has taken everything");
        assert_eq!(dropped(&node, DropReason::DropOldest), missed);
        // One gap: what was under way before, then the newest.
        let newest = MESSAGES - QUEUE_MESSAGES as u32 + 1..MESSAGES;
        assert!(
            numbers.ends_with(&newest.collect::<Vec<_>>()),
            "{numbers:?}"
        );
        speaks_on(publisher, stuck);
        stop(node);
    }
}

#[test]
fn keep_latest_keeps_the_newest_alone_for_the_stuck_member() {
    for backend in backends() {
        let node = node(backend, SlowConsumer::KeepLatest);
        let (publisher, mut stuck) = speak_to_all(&node);
        let (numbers, _) = read_until(&mut stuck, MESSAGES - 1);
        let missed = u64::from(MESSAGES) - numbers.len() as u64;
        assert!(missed > 0, "the kernel has taken everything");
        assert_eq!(dropped(&node, DropReason::KeepLatest), missed);
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        speaks_on(publisher, stuck);
        stop(node);
    }
}

/// Who was stuck is a member like others again.
fn speaks_on(mut publisher: Client, mut stuck: Client) {
    publisher.send(&numbered(MESSAGES));
    assert_eq!(read_until(&mut stuck, MESSAGES), (vec![MESSAGES], None));
    stuck.send(b"back");
    publisher.expect_message(b"back");
}
