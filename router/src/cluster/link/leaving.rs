//! The end of a node: what it says last, and whether it was read.

use super::{ClusterLink, Message};
use crate::cluster::notice::Notice;
use crate::tick::Tick;

impl ClusterLink {
    /// Says that this node ends, behind all that it has published: who hears of the end has been sent the rest.
    pub(super) fn leave(&mut self, now: Tick) {
        if std::mem::replace(&mut self.is_leaving, true) {
            return;
        }
        self.plain.end();
        self.pass_plain(now);
        let message = Message {
            subject: self.subjects.nodes(),
            payload: Notice::Leave.encode(&self.me),
            publications: 0,
        };
        self.outbound.push_last(message, now);
    }

    /// Where a node that ends asks the broker whether all has been read, on one of its ways, which has a number: nobody
    /// else listens there.
    pub fn end_subject(&self, way: usize) -> String {
        self.subjects.end(self.me.incarnation, way)
    }
}
