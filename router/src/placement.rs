//! Which shard a room's node-level state lives on.

use crate::id::PeerId;
use crate::room::RoomId;

/// The home of a room among `shards` shards: the one writer of its [`RoomCell`](crate::RoomCell).
///
/// The high half of the id decides; the low half indexes hash tables, which would fill unevenly if
/// all the rooms of one shard agreed in the bits they use.
pub fn home_shard(room: RoomId, shards: usize) -> PeerId {
    let high = (room.0 >> 64) as u64;
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
