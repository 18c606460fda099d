//! Users whose connections are counted on all nodes of the cluster, as a keeper sees them.

use ringmain_core::shard::{Refusal, Verdict};
use ringmain_core::{ConnId, Input, Limits};
use ringmain_router::{PeerId, RoomKey, ShardFrame, Subject, SubjectId};

use super::harness::{One, SECRET};

fn limits(on_node: u32, in_cluster: u32) -> Limits {
    Limits {
        connections_per_user: on_node,
        connections_per_user_cluster: in_cluster,
        ..Limits::default()
    }
}

fn ann() -> SubjectId {
    RoomKey::new(SECRET).subject_among(Subject::User("ann"), true)
}

fn count(one: &mut One) -> ConnId {
    let conn = one.publisher();
    let subject = Subject::User("ann");
    one.core.handle(one.now, Input::Count { conn, subject });
    one.turn();
    conn
}

fn elsewhere(one: &mut One, connections: u32) {
    let user = ann();
    let frame = ShardFrame::UserElsewhere { user, connections };
    one.core.handle(one.now, Input::Frame(frame));
}

/// What the link was told of her since the last look.
fn told(one: &mut One) -> Vec<u32> {
    let count = |(to, frame)| match frame {
        ShardFrame::UserHere { user, connections } => {
            assert_eq!((to, user), (PeerId::CONTROL, ann()));
            connections
        }
        other => panic!("{other:?}"),
    };
    std::mem::take(&mut one.sent)
        .into_iter()
        .map(count)
        .collect()
}

fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused {
        refusal,
        retry_s: 5,
    }
}

#[test]
fn what_she_has_elsewhere_is_taken_from_what_she_may_have_here() {
    let mut one = One::linked(limits(0, 4));
    elsewhere(&mut one, 2);
    let conns = [0; 3].map(|_| count(&mut one));
    let verdicts: Vec<_> = one
        .verdicts()
        .into_iter()
        .map(|(_, verdict)| verdict)
        .collect();
    let full = refused(Refusal::UserConnectionsInCluster);
    assert_eq!(verdicts, [Verdict::Counted, Verdict::Counted, full]);
    assert_eq!(told(&mut one), [1, 2, 2]);
    // What is let in stays when she has more elsewhere.
    elsewhere(&mut one, 9);
    one.turn();
    assert!(one.verdicts().is_empty());
    one.end(conns[0]);
    one.turn();
    assert_eq!(told(&mut one), [1]);
    count(&mut one);
    assert_eq!(one.verdicts()[0].1, full);
    // The other nodes are gone.
    elsewhere(&mut one, 0);
    for _ in 0..3 {
        count(&mut one);
    }
    assert!(
        one.verdicts()
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Counted)
    );
    count(&mut one);
    assert_eq!(one.verdicts()[0].1, full);
}

#[test]
fn the_stricter_of_both_limits_says_why() {
    let mut one = One::linked(limits(1, 4));
    count(&mut one);
    count(&mut one);
    assert_eq!(one.verdicts()[1].1, refused(Refusal::UserConnections));
    elsewhere(&mut one, 4);
    count(&mut one);
    assert_eq!(
        one.verdicts()[0].1,
        refused(Refusal::UserConnectionsInCluster)
    );
}

#[test]
fn without_the_limit_the_link_is_told_nothing_and_addresses_are_never_told() {
    let mut one = One::linked(limits(3, 0));
    count(&mut one);
    assert!(one.sent.is_empty());
    let mut one = One::linked(Limits {
        connections_per_address: 3,
        ..limits(0, 3)
    });
    let conn = one.publisher();
    let subject = Subject::Address("192.0.2.1".parse().unwrap());
    one.core.handle(one.now, Input::Count { conn, subject });
    one.turn();
    assert!(one.sent.is_empty());
}

#[test]
fn a_full_lane_is_told_the_newest_state_later() {
    let mut one = One::linked(limits(0, 9));
    one.lanes_are_full = true;
    for _ in 0..4 {
        count(&mut one);
    }
    one.lanes_are_full = false;
    one.turn();
    assert_eq!(told(&mut one), [4]);
}
