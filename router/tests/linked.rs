//! The mesh and the homes of a node that is linked to others.
#![allow(clippy::unwrap_used)] // A test that meets an unexpected error fails by saying so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use ringmain_router::frame::Holding;
use ringmain_router::{
    Doorbell, Generation, HomeTable, Lane, Mesh, MeshLimits, PayloadKind, PeerId, Publication,
    RoomKey, RoomName, ShardFrame,
};

const SECRET: RoomKey = RoomKey::new([5; 16]);

#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Doorbell for Counting {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn name(room: usize) -> RoomName {
    RoomName::new(format!("room {room}").as_bytes()).unwrap()
}

proptest! {
    /// Whatever shards want, and whenever the lane is full: in the end the link knows just the rooms with members.
    #[test]
    fn the_link_learns_which_rooms_have_members(
        steps in prop::collection::vec((0usize..4, 0usize..3, 0u8..3, any::<bool>()), 1..100)
    ) {
        let mut home = HomeTable::linked(PeerId::shard(0).unwrap());
        let mut wanted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        let mut known = BTreeSet::new();
        let mut told = 0;
        for (number, (room, shard, holding, lane_is_full)) in steps.iter().copied().enumerate() {
            let holding = [Holding::Nothing, Holding::Publisher, Holding::Member][usize::from(holding)];
            let (name, from) = (name(room), PeerId::shard(shard).unwrap());
            home.interest(SECRET.id(&name), &name, from, Generation(number as u64 + 1), holding);
            let members = wanted.entry(room).or_default();
            match holding {
                Holding::Member => members.insert(shard),
                _ => members.remove(&shard),
            };
            if lane_is_full {
                home.poll_members(|_, frame| Err(frame));
                continue;
            }
            while home.poll_members(|to, frame| {
                let ShardFrame::Members { cell, are_there } = frame else {
                    panic!("{frame:?}");
                };
                assert_eq!(to, PeerId::CONTROL);
                let name = cell.name().to_string();
                let is_news = if are_there { known.insert(name) } else { known.remove(&name) };
                // Only a room that was freed and born again in between is told anew.
                told += usize::from(is_news);
                Ok(())
            }) {}
            while home.poll_answer(|_, _| Ok(())) {}
            let expected = wanted.iter().filter(|(_, members)| !members.is_empty());
            prop_assert_eq!(&known, &expected.map(|(&room, _)| name_text(room)).collect());
            prop_assert!(!home.has_due());
        }
        prop_assert!(told <= steps.len());
    }
}

fn name_text(room: usize) -> String {
    name(room).to_string()
}

#[test]
fn the_link_has_lanes_and_a_bell_of_its_own() {
    let limits = MeshLimits {
        data_frames_max: 2,
        control_frames_max: 2,
        data_bytes_max: 1_000,
    };
    let (shard_bell, link_bell) = (Counting::default(), Counting::default());
    let mesh = Mesh::linked(
        limits,
        vec![Box::new(shard_bell.clone())],
        Box::new(link_bell.clone()),
    );
    let (mut shards, _, link) = mesh.into_linked_ports();
    let (shard, mut link) = (&mut shards[0], link.unwrap());
    assert_eq!(shard.shards(), 1, "the link is no shard");
    let frame = || ShardFrame::Publish {
        room: SECRET.id(&name(1)),
        generation: Generation(1),
        publication: Arc::new(Publication {
            kind: PayloadKind::Binary,
            payload: Bytes::from_static(b"x"),
            exclude: None,
            began: None,
        }),
    };
    assert!(link.arm());
    assert!(shard.send(PeerId::CONTROL, frame()).is_ok());
    shard.ring_touched();
    assert_eq!(link_bell.0.load(Ordering::Relaxed), 1);
    assert!(shard.send(PeerId::CONTROL, frame()).is_ok());
    assert!(shard.send(PeerId::CONTROL, frame()).is_err());
    assert!(shard.arm());
    link.disarm();
    while link.receive(Lane::Data).is_some() {}
    link.make_room_known();
    assert_eq!(
        shard_bell.0.load(Ordering::Relaxed),
        1,
        "there is room again"
    );
    shard.disarm();
    for _ in 0..2 {
        assert!(link.send(shard.me(), frame()).is_ok());
    }
    assert!(link.send(shard.me(), frame()).is_err());
    while shard.receive(Lane::Data).is_some() {}
    link.arm();
    shard.make_room_known();
    assert_eq!(link_bell.0.load(Ordering::Relaxed), 2);
}
