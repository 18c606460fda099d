//! Plain messages of NATS clients: from the broker, through their limits, to all members.

use bytes::Bytes;

use super::{ClusterLink, Inbound, Message, publication};
use crate::cluster::counters::LinkDrop;
use crate::cluster::envelope::ENVELOPE_BYTES_MAX;
use crate::cluster::plain::{Plain, PlainRefusal};
use crate::cluster::subject::TokenError;
use crate::publication::PayloadKind;
use crate::room::RoomName;
use crate::tick::Tick;

/// What begins like this is answered nowhere: subjects of nodes, of whichever cluster, and those of the broker itself.
const RESERVED: [&str; 3] = ["ringmain.", "$SYS.", "$JS.API."];

impl ClusterLink {
    /// The token of a plain message's room is wrong.
    pub(super) fn refuse(&mut self, now: Tick, inbound: &Inbound, error: &TokenError) {
        self.counters.dropped(LinkDrop::Refused, 1);
        self.answer(now, inbound.reply.as_deref(), Err(&error.to_string()));
    }

    /// A client of the broker publishes a message: this node alone has got it, and sees to it that all have it.
    pub(super) fn published(&mut self, now: Tick, name: RoomName, inbound: Inbound) {
        let room = (self.room_secret.id(&name), name);
        let plain = Plain::new(room, inbound.payload, inbound.reply, now);
        self.plain.take(now, plain);
        self.pass_plain(now);
    }

    /// Passes on the plain messages that may pass, and says of the others why not.
    pub(super) fn pass_plain(&mut self, now: Tick) {
        while let Some((plain, verdict)) = self.plain.poll() {
            let reply = plain.reply.as_deref();
            let verdict = verdict.and_then(|()| self.fits(&plain));
            if let Err(refusal) = verdict {
                self.counters.dropped(refusal.drop(), 1);
                self.answer(now, reply, Err(&refusal.to_string()));
                continue;
            }
            let kind = match std::str::from_utf8(&plain.payload) {
                Ok(_) => PayloadKind::Text,
                Err(_) => PayloadKind::Binary,
            };
            let publication = publication(kind, plain.payload);
            self.send(now, plain.room, &plain.name, &publication);
            if let Some(room) = self.rooms.get_mut(plain.room) {
                let cell = room.cell.clone();
                self.deliver(now, &cell, publication);
            }
            self.counters.published += 1;
            self.answer(now, reply, Ok(()));
        }
    }

    /// Whether the broker takes a message with its envelope: else other nodes would not get it.
    fn fits(&self, plain: &Plain) -> Result<(), PlainRefusal> {
        let (size, taken) = (plain.payload.len(), self.payload_bytes_max);
        let max = taken.saturating_sub(ENVELOPE_BYTES_MAX);
        match size > max {
            true => Err(PlainRefusal::TooLarge { size, max }),
            false => Ok(()),
        }
    }

    /// The next answer to a plain message, and since when it waits. It goes the way that plain messages come, where the
    /// broker lets a node answer.
    pub fn poll_answer(&mut self) -> Option<(Tick, Message)> {
        self.outbound.pop_reply()
    }

    /// Whether [`poll_answer`](Self::poll_answer) has one.
    pub fn has_answers(&self) -> bool {
        self.outbound.has_replies()
    }

    fn answer(&mut self, now: Tick, reply: Option<&str>, result: Result<(), &str>) {
        let Some(reply) = reply.filter(|reply| may_be_answered(reply)) else {
            return;
        };
        // The texts of our errors hold no quotes or control characters.
        let payload = match result {
            Ok(()) => Bytes::from_static(b"{\"ok\":true}"),
            Err(problem) => format!("{{\"ok\":false,\"error\":\"{problem}\"}}").into(),
        };
        let message = Message {
            subject: reply.to_owned(),
            payload,
            publications: 0,
        };
        self.outbound.push_reply(message, now, &mut self.counters);
    }
}

/// Who asks chooses where the answer goes, and the broker lets nodes publish where others may not.
fn may_be_answered(reply: &str) -> bool {
    !RESERVED.iter().any(|prefix| reply.starts_with(prefix))
}
