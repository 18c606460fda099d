use proptest::prelude::*;
use ringmain_router::RoomName;
use ringmain_router::cluster::subject::{TOKEN_BYTES_MAX, TokenError, room_of, token};
use ringmain_router::cluster::{Address, Bucket, ClusterName, NodeName, Subjects};

use super::name;

fn subjects() -> Subjects {
    Subjects::new(&"here".parse().unwrap())
}

fn names() -> impl Strategy<Value = RoomName> {
    let text = prop_oneof!["[a-z0-9._*> =-]{1,40}", "\\PC{1,60}", "[=äß€😀]{1,60}"];
    text.prop_filter_map("a room's name", |text: String| {
        RoomName::new(text.as_bytes()).ok()
    })
}

proptest! {
    #[test]
    fn a_token_stands_for_one_name_and_means_nothing_to_the_broker(name in names()) {
        let token = token(&name);
        prop_assert_eq!(room_of(&token), Ok(name));
        prop_assert!(!token.is_empty() && token.len() <= TOKEN_BYTES_MAX);
        prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)), "{token}");
    }

    #[test]
    fn two_names_have_two_tokens(one in names(), other in names()) {
        prop_assert_eq!(one == other, token(&one) == token(&other));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}|[a-f0-9=]{0,40}") {
        if let Ok(name) = room_of(&text) {
            prop_assert_eq!(room_of(&token(&name)), Ok(name));
        }
    }

    #[test]
    fn a_subject_says_what_it_is_for(name in names()) {
        let subjects = subjects();
        let room = subjects.room(Bucket::of(&name), &name);
        prop_assert_eq!(subjects.address(&room), Some(Ok(Address::Room(name.clone()))));
        let bucket = subjects.bucket(Bucket::of(&name));
        let stem = bucket.strip_suffix('*').unwrap();
        prop_assert_eq!(room.strip_prefix(stem), Some(&*token(&name)));
        prop_assert_eq!(subjects.address(&subjects.publish(&name)), Some(Ok(Address::Publish(name))));
    }
}

#[test]
fn the_longest_names_fit() {
    for longest in ["x".repeat(255), "=".repeat(255), "é".repeat(127)] {
        let name = name(&longest);
        assert_eq!(room_of(&token(&name)), Ok(name));
    }
    assert!(matches!(
        room_of(&"=".repeat(TOKEN_BYTES_MAX + 1)),
        Err(TokenError::Name(_))
    ));
}

#[test]
fn what_is_no_token_is_refused_by_name() {
    for (text, error) in [
        ("a b", TokenError::Character),
        ("käse", TokenError::Character),
        ("a=", TokenError::Escape),
        ("a=4", TokenError::Escape),
        ("a=+1", TokenError::Escape),
        ("a=gg", TokenError::Escape),
    ] {
        assert_eq!(room_of(text), Err(error), "{text}");
    }
    for text in ["", "=00", "=FF", "=C3"] {
        assert!(matches!(room_of(text), Err(TokenError::Name(_))), "{text}");
    }
    // Whoever encodes all, or in small letters, is understood.
    assert_eq!(room_of("=61=c3=A4"), Ok(name("aä")));
    assert_eq!(
        token(&name("chat:a.b *>=")),
        "chat=3Aa=2Eb=20=2A=3E=3D",
        "the encoding is part of the protocol"
    );
}

#[test]
fn other_subjects_are_none_of_ours() {
    let subjects = subjects();
    for subject in [
        "",
        "ringmain.here",
        "ringmain.heretic.nodes",
        "ringmain.here.nodes.x",
        "ringmain.here.publish",
        "ringmain.here.publish.a.b",
        "ringmain.here.room.000",
        "other.here.nodes",
    ] {
        assert_eq!(subjects.address(subject), None, "{subject}");
    }
    assert_eq!(
        subjects.address(&subjects.nodes()),
        Some(Ok(Address::Nodes))
    );
    assert_eq!(subjects.address(&subjects.last()), Some(Ok(Address::Last)));
}

#[test]
fn names_of_nodes_and_clusters_stand_in_subjects_as_they_are() {
    for good in ["a", "eu-1_b", &"x".repeat(32)] {
        assert!(good.parse::<NodeName>().is_ok() && good.parse::<ClusterName>().is_ok());
    }
    for bad in ["", "a.b", "a b", "*", ">", "ä", &"x".repeat(33)] {
        assert!(bad.parse::<NodeName>().is_err(), "{bad}");
    }
}
