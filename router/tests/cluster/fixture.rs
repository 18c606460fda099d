//! Rooms as a home grants them.

use std::sync::Arc;

use ringmain_router::cluster::{NoRates, PlainLimits};
use ringmain_router::frame::Holding;
use ringmain_router::{Generation, HomeTable, PeerId, RoomCell, RoomKey, RoomName, ShardFrame};

pub const SECRET: RoomKey = RoomKey::new([5; 16]);

/// Plain messages of so many bytes, and as many as come.
pub fn plain_limits(message_bytes_max: usize) -> PlainLimits {
    PlainLimits {
        message_bytes_max,
        rate: None,
        rooms: Arc::new(NoRates),
    }
}

pub fn name(text: &str) -> RoomName {
    RoomName::new(text.as_bytes()).unwrap()
}

/// The cell of a room with a member on the first shard.
pub fn cell(text: &str) -> Arc<RoomCell> {
    let shard = PeerId::shard(0).unwrap();
    let mut home = HomeTable::new(shard);
    let (name, question) = (name(text), Generation(1));
    home.interest(SECRET.id(&name), &name, shard, question, Holding::Member);
    let mut cell = None;
    home.poll_answer(|_, frame| {
        if let ShardFrame::Answer { answer, .. } = frame {
            cell = answer.ok().map(|grant| grant.cell);
        }
        Ok(())
    });
    cell.unwrap()
}
