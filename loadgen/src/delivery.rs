//! The proof of delivery, by publisher and room.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What became of one publisher's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Messages it sent.
    pub sent: u64,
    /// Deliveries that these should have caused.
    pub expected: u64,
    /// Deliveries that came, each counted once.
    pub received: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries that came after a later one.
    pub reordered: u64,
}

/// What became of all messages of a run.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    /// By publisher.
    pub of_publishers: Vec<Delivery>,
    /// By room: messages that came changed. Whose they were cannot be known.
    pub corrupt: BTreeMap<u32, u64>,
}

/// One row of the proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeliveryRow {
    /// The room.
    pub room: u32,
    /// The publisher; `None` for what came changed in this room.
    pub publisher: Option<u32>,
    /// Messages it sent.
    pub sent: u64,
    /// Deliveries that these should have caused.
    pub expected: u64,
    /// Deliveries that came, each counted once.
    pub received: u64,
    /// Of those expected, the ones that did not come.
    pub lost: u64,
    /// Deliveries that came again.
    pub duplicated: u64,
    /// Deliveries that came after a later one.
    pub reordered: u64,
    /// Deliveries that came changed.
    pub corrupt: u64,
}

impl DeliveryRow {
    /// Whether something is amiss.
    pub fn is_amiss(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.corrupt > 0
    }
}

impl Deliveries {
    /// For so many publishers, nothing sent yet.
    pub fn new(publishers: u32) -> Self {
        Deliveries {
            of_publishers: vec![Delivery::default(); publishers as usize],
            corrupt: BTreeMap::new(),
        }
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: &Deliveries) {
        for (mine, theirs) in self.of_publishers.iter_mut().zip(&other.of_publishers) {
            mine.sent += theirs.sent;
            mine.expected += theirs.expected;
            mine.received += theirs.received;
            mine.duplicated += theirs.duplicated;
            mine.reordered += theirs.reordered;
        }
        for (&room, corrupt) in &other.corrupt {
            *self.corrupt.entry(room).or_default() += corrupt;
        }
    }

    /// The row of a publisher.
    pub fn of(&mut self, publisher: u32) -> &mut Delivery {
        &mut self.of_publishers[publisher as usize]
    }

    /// The rows, those with something amiss first; at most `rows_max`, and how many were left out.
    pub fn rows(&self, room_of: impl Fn(u32) -> u32, rows_max: usize) -> (Vec<DeliveryRow>, usize) {
        let publishers = (0..)
            .zip(&self.of_publishers)
            .map(|(publisher, delivery)| DeliveryRow {
                room: room_of(publisher),
                publisher: Some(publisher),
                sent: delivery.sent,
                expected: delivery.expected,
                received: delivery.received,
                lost: delivery.expected.saturating_sub(delivery.received),
                duplicated: delivery.duplicated,
                reordered: delivery.reordered,
                corrupt: 0,
            });
        let corrupt = self.corrupt.iter().map(|(&room, &corrupt)| DeliveryRow {
            room,
            publisher: None,
            sent: 0,
            expected: 0,
            received: 0,
            lost: 0,
            duplicated: 0,
            reordered: 0,
            corrupt,
        });
        let (mut rows, whole): (Vec<_>, Vec<_>) =
            corrupt.chain(publishers).partition(DeliveryRow::is_amiss);
        rows.extend(whole);
        let left_out = rows.len().saturating_sub(rows_max);
        rows.truncate(rows_max);
        (rows, left_out)
    }
}
