//! Whom the node counts connections for.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;

use crate::room::{RoomIdHasher, RoomKey};

/// What connections are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SubjectKind {
    /// The address that they come from.
    Address,
    /// The user that they are authenticated as.
    User,
}

/// One whom connections are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An IPv4 address, or the network of 64 bits of an IPv6 address: who has one address there has all of them.
    Address(IpAddr),
    /// A user's name.
    User(&'a str),
}

impl Subject<'_> {
    /// What it is counted as.
    pub fn kind(self) -> SubjectKind {
        match self {
            Subject::Address(_) => SubjectKind::Address,
            Subject::User(_) => SubjectKind::User,
        }
    }
}

/// Keyed 128-bit hash of a subject. Two subjects with one id are as likely as a guessed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubjectId(pub u128);

/// A hash map by [`SubjectId`], which is not hashed again.
pub type SubjectMap<V> = HashMap<SubjectId, V, BuildHasherDefault<RoomIdHasher>>;

/// What no room's name begins with, so that no subject has a room's id.
const PREFIX: u8 = 0;

/// The key of users' ids on all nodes that are linked to others, so that one id is the same user on each of them. It is no
/// secret: it is not what protects the tables, since users' names come from tokens that are signed.
const USERS_OF_ALL_NODES: RoomKey = RoomKey::new(*b"ringmain's users");

impl RoomKey {
    /// The id of a subject: of a user on a node that is linked to others, the same on all of them.
    pub fn subject_among(&self, subject: Subject<'_>, is_linked: bool) -> SubjectId {
        match subject {
            Subject::User(_) if is_linked => USERS_OF_ALL_NODES.subject(subject),
            _ => self.subject(subject),
        }
    }

    /// The id of a subject.
    pub fn subject(&self, subject: Subject<'_>) -> SubjectId {
        let id = match subject {
            Subject::User(name) => self.hash(&[&[PREFIX, b'u'], name.as_bytes()]),
            Subject::Address(address) => match address.to_canonical() {
                IpAddr::V4(address) => self.hash(&[&[PREFIX, b'4'], &address.octets()]),
                IpAddr::V6(address) => self.hash(&[&[PREFIX, b'6'], &address.octets()[..8]]),
            },
        };
        SubjectId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(address: &str) -> SubjectId {
        RoomKey::new([4; 16]).subject(Subject::Address(address.parse().unwrap()))
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_subject_and_an_ipv4_address_is_one() {
        assert_eq!(id("2001:db8:1:2::1"), id("2001:db8:1:2:ffff::9"));
        assert_ne!(id("2001:db8:1:2::1"), id("2001:db8:1:3::1"));
        assert_ne!(id("192.0.2.1"), id("192.0.2.2"));
        assert_eq!(id("192.0.2.1"), id("::ffff:192.0.2.1"));
    }

    #[test]
    fn a_user_is_the_same_on_all_nodes_that_are_linked_and_an_address_is_not() {
        let (one, two) = (RoomKey::new([4; 16]), RoomKey::new([5; 16]));
        let (ann, address) = (
            Subject::User("ann"),
            Subject::Address("192.0.2.1".parse().unwrap()),
        );
        assert_eq!(one.subject_among(ann, true), two.subject_among(ann, true));
        assert_ne!(one.subject_among(ann, false), two.subject_among(ann, false));
        assert_ne!(
            one.subject_among(address, true),
            two.subject_among(address, true)
        );
        assert_eq!(one.subject_among(ann, false), one.subject(ann));
    }

    #[test]
    fn a_user_is_no_address_and_another_key_gives_other_ids() {
        let key = RoomKey::new([4; 16]);
        let user = key.subject(Subject::User("192.0.2.1"));
        assert_ne!(user, id("192.0.2.1"));
        assert_ne!(
            user,
            RoomKey::new([5; 16]).subject(Subject::User("192.0.2.1"))
        );
        assert_ne!(user, key.subject(Subject::User("192.0.2.10")));
    }
}
