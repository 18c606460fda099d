//! How long publications take from their publisher's shard to the kernel, for each member.

use ringmain_router::Moment;

use crate::histogram::Histogram;

/// The deliveries of one flush as they are counted. What goes out together mostly came in together, so that neighbours
/// have the same lag and are counted in one step.
#[derive(Debug)]
pub(crate) struct Lags {
    sent: Option<Moment>,
    began: Option<Moment>,
    deliveries: u64,
}

impl Lags {
    /// Of deliveries that were handed to the kernel at this moment; unknown, nothing is counted.
    pub fn new(sent: Option<Moment>) -> Self {
        Lags {
            sent,
            began: None,
            deliveries: 0,
        }
    }

    /// Adds a delivery of a publication whose handling began then; `None` is no publication.
    pub fn add(&mut self, began: Option<Moment>, histogram: &Histogram) {
        if began != self.began {
            self.count(histogram);
            self.began = began;
        }
        self.deliveries += 1;
    }

    /// Counts what was added last.
    pub fn count(&mut self, histogram: &Histogram) {
        let deliveries = std::mem::take(&mut self.deliveries);
        if let (Some(sent), Some(began)) = (self.sent, self.began)
            && deliveries > 0
        {
            histogram.record(sent.since(began), deliveries);
        }
    }
}
