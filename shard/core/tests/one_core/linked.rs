//! A core of a node that is linked to others: the control plane is one more peer.

use std::sync::Arc;

use bytes::Bytes;
use ringmain_core::limits::{LINK_WAIT_MS, OUTGOING_FRAMES_MAX};
use ringmain_core::{DropReason, Input, Limits};
use ringmain_router::{PayloadKind, PeerId, Publication, RoomCell, ShardFrame};

use super::SECOND;
use super::harness::One;

/// What the link was told of members since the last look.
fn told(one: &mut One) -> Vec<(Arc<RoomCell>, bool)> {
    let is_told = |(to, frame): &mut (PeerId, ShardFrame)| {
        *to == PeerId::CONTROL && matches!(frame, ShardFrame::Members { .. })
    };
    let frames = one.sent.extract_if(.., is_told);
    frames
        .map(|(_, frame)| match frame {
            ShardFrame::Members { cell, are_there } => (cell, are_there),
            _ => unreachable!(),
        })
        .collect()
}

/// What it was given for other nodes.
fn given(one: &mut One) -> Vec<(String, Vec<u8>)> {
    let frames = std::mem::take(&mut one.sent);
    frames
        .into_iter()
        .map(|(to, frame)| match frame {
            ShardFrame::ToCluster { cell, publication } if to == PeerId::CONTROL => {
                (cell.name().to_string(), publication.payload.to_vec())
            }
            other => panic!("{other:?} for {to:?}"),
        })
        .collect()
}

#[test]
fn the_link_knows_which_rooms_have_members_and_gets_what_they_publish() {
    let mut one = One::linked(Limits::default());
    let (a, b) = (one.member("lobby"), one.member("lobby"));
    let news = told(&mut one);
    assert!(
        matches!(&*news, [(cell, true)] if cell.name().as_str() == "lobby" && cell.has_members())
    );
    one.say(a, b"hello");
    one.turn();
    assert_eq!(given(&mut one), [("lobby".to_owned(), b"hello".to_vec())]);
    assert_eq!(one.messages(b), [b"hello"]);
    one.end(a);
    one.turn();
    assert_eq!(told(&mut one).len(), 0, "there is still a member");
    one.end(b);
    one.turn();
    assert!(matches!(&*told(&mut one), [(_, false)]));
}

#[test]
fn a_publisher_without_members_here_reaches_the_link_too() {
    let mut one = One::linked(Limits::default());
    let publisher = one.publisher();
    one.post(publisher, "lobby", "by http");
    one.turn();
    assert_eq!(told(&mut one).len(), 0, "nobody listens here");
    assert_eq!(given(&mut one), [("lobby".to_owned(), b"by http".to_vec())]);
    assert_eq!(one.core.rooms(), (0, 0));
}

#[test]
fn what_the_link_brings_reaches_the_members_of_its_generation() {
    let mut one = One::linked(Limits::default());
    let member = one.member("lobby");
    let (cell, _) = told(&mut one).remove(0);
    let audience = cell.audience();
    let publication = Arc::new(Publication {
        kind: PayloadKind::Text,
        payload: Bytes::from_static(b"from afar"),
        exclude: None,
        began: None,
    });
    let frame = ShardFrame::Publish {
        room: cell.room(),
        generation: audience.generation,
        publication,
    };
    assert!(one.core.takes_data());
    one.core.handle(one.now, Input::Frame(frame));
    one.turn();
    assert_eq!(one.messages(member), [b"from afar"]);
    assert_eq!(one.sent.len(), 0, "it does not go back");
}

#[test]
fn a_link_that_takes_nothing_costs_a_named_drop_and_no_local_member_anything() {
    let mut one = One::linked(Limits::default());
    let (publisher, member) = (one.member("lobby"), one.member("lobby"));
    one.lanes_are_full = true;
    let mut said: Vec<Vec<u8>> = Vec::new();
    for n in 0..1_000u32 {
        if !one.core.is_reading(publisher) {
            one.pass(LINK_WAIT_MS);
            assert_eq!(said.len(), OUTGOING_FRAMES_MAX + 1, "it is waited for once");
        }
        assert!(one.core.is_reading(publisher));
        one.say(publisher, &n.to_le_bytes());
        said.push(n.to_le_bytes().to_vec());
        one.turn();
    }
    assert_eq!(one.messages(member), said);
    let dropped = one.dropped(DropReason::LaneFull);
    assert_eq!(dropped, 1_000 - OUTGOING_FRAMES_MAX as u64);
    one.pass(1_000);
    assert_eq!(one.dropped(DropReason::LaneFull), 1_000);
    assert!(one.core.is_reading(publisher));
    one.say(publisher, b"newest");
    one.turn();
    one.lanes_are_full = false;
    one.turn();
    assert_eq!(
        told(&mut one).len(),
        1,
        "what the lane did not take is state, and is told now"
    );
    assert_eq!(given(&mut one), [("lobby".to_owned(), b"newest".to_vec())]);
}

#[test]
fn a_shard_ends_when_the_link_has_taken_what_was_published_or_takes_nothing() {
    for is_taken in [true, false] {
        let mut one = One::linked(Limits::default());
        let publisher = one.member("lobby");
        told(&mut one);
        one.lanes_are_full = true;
        one.say(publisher, b"last words");
        one.core.handle(one.now, Input::Frame(ShardFrame::Stop));
        one.turn();
        one.end(publisher);
        one.turn();
        assert_eq!(one.core.connections(), 0);
        assert!(!one.core.is_stopped(), "the link has not got all");
        assert!(
            one.core.poll_deadline().is_some(),
            "it does not wait for ever"
        );
        one.lanes_are_full = !is_taken;
        one.now = one.now.plus(if is_taken { SECOND / 2 } else { SECOND });
        one.turn();
        assert!(one.core.is_stopped());
        told(&mut one);
        let dropped = one.stats.drops[DropReason::LaneFull as usize].get();
        match is_taken {
            true => assert_eq!(given(&mut one).len(), 1),
            false => assert_eq!((given(&mut one).len(), dropped), (0, 1)),
        }
    }
}
