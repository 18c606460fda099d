//! Which shard the node-level state of a room, or of a subject, lives on.

use crate::id::PeerId;
use crate::room::RoomId;
use crate::subject::SubjectId;

/// The home of a room among `shards` shards: the one writer of its [`RoomCell`](crate::RoomCell).
///
/// The high half of the id decides; the low half indexes hash tables, which would fill unevenly if
/// all the rooms of one shard agreed in the bits they use.
pub fn home_shard(room: RoomId, shards: usize) -> PeerId {
    by_high_half(room.0, shards)
}

/// The keeper of a subject among `shards` shards: it alone counts the subject's connections.
pub fn keeper_shard(subject: SubjectId, shards: usize) -> PeerId {
    by_high_half(subject.0, shards)
}

fn by_high_half(id: u128, shards: usize) -> PeerId {
    let high = (id >> 64) as u64;
    // Multiply-shift takes the hash to 0..shards evenly, without a division.
    let index = ((u128::from(high) * shards as u128) >> 64) as usize;
    PeerId::shard(index).unwrap_or(PeerId::CONTROL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::{RoomKey, RoomName};

    #[test]
    fn every_room_has_one_home_and_homes_share_evenly() {
        let key = RoomKey::new([7; 16]);
        for shards in [1usize, 2, 3, 7, 62] {
            let mut counts = vec![0usize; shards];
            for n in 0..62_000 {
                let name = RoomName::new(format!("room-{n}").as_bytes()).unwrap();
                counts[home_shard(key.id(&name), shards).index()] += 1;
            }
            let even = 62_000 / shards;
            assert!(
                counts
                    .iter()
                    .all(|&c| c > even * 8 / 10 && c < even * 12 / 10),
                "{counts:?}"
            );
        }
    }
}
