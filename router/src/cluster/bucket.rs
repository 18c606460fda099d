//! Which bucket a room's publications travel in.

use super::limits::BUCKETS;
use crate::room::RoomName;

/// One of the cluster's buckets of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket of a room: FNV-1a of the name's bytes, 64 bits, both halves folded into one, of which the lowest
    /// bits count. The same on every node.
    pub fn of(name: &RoomName) -> Self {
        let hash = name
            .as_str()
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
            });
        Bucket(((hash >> 32 ^ hash) as u16) % BUCKETS)
    }

    /// Its place in a table of all.
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// The bucket at this place.
    pub fn at(index: usize) -> Option<Self> {
        let index = u16::try_from(index).ok()?;
        (index < BUCKETS).then_some(Bucket(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_spread_over_all_buckets() {
        let mut rooms = vec![0u32; BUCKETS.into()];
        for n in 0..100_000 {
            let name = RoomName::new(format!("room-{n}").as_bytes()).unwrap();
            rooms[Bucket::of(&name).index()] += 1;
        }
        // 24 on average.
        assert!(rooms.iter().all(|&rooms| rooms > 0 && rooms < 80));
    }

    #[test]
    fn a_bucket_is_the_same_in_every_release() {
        let of = |name: &str| Bucket::of(&RoomName::new(name.as_bytes()).unwrap()).index();
        // As Python reckons them.
        assert_eq!([of("lobby"), of("a"), of("käse")], [1669, 192, 2225]);
    }
}
