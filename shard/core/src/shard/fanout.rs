//! Delivering publications to members, a slice at a time.

use ringmain_proto::ws::deflate::Direction;

use super::ShardCore;
use super::slow::OutboxBounds;
use crate::compression::{Codecs, Purpose};
use crate::connection::Pause;
use crate::dialect::{Dialect, Encoding};
use crate::encoded::Encoded;
use crate::limits::{PROMPT_MEMBERS_MAX, ROOM_SLICE_DELIVERIES, TURN_DELIVERIES_MAX};
use crate::memory::Meter;
use crate::room::{FanOut, RoomKey};
use crate::room_settings::SlowConsumer;
use crate::tick::Tick;

impl ShardCore {
    /// Delivers within the turn's budget; rooms take turns.
    pub(super) fn fan_out(&mut self, now: Tick) {
        let mut budget = TURN_DELIVERIES_MAX;
        while budget > 0 && !self.codecs.output_is_spent() {
            let Some(key) = self.scheduled.pop_front() else {
                return;
            };
            budget -= self.fan_out_slice(now, key, ROOM_SLICE_DELIVERIES.min(budget));
            self.after_slice(key);
        }
        if !self.scheduled.is_empty() {
            self.stats.turns_over_budget.add(1);
        }
    }

    /// Visits up to `slots` member slots of one room, holes included; returns how many.
    fn fan_out_slice(&mut self, now: Tick, key: RoomKey, slots: usize) -> usize {
        let Some(room) = self.rooms.get_mut(key) else {
            return 0;
        };
        let bounds = OutboxBounds::new(now, &self.limits);
        let settings = room.settings;
        let dropping = (settings.slow_consumer != SlowConsumer::Disconnect).then_some(&settings);
        let mut left = slots;
        let mut delivered = 0;
        while left > 0
            && let Some(fan_out) = room.fan_outs.front_mut()
        {
            let is_prompt = fan_out.end as usize <= PROMPT_MEMBERS_MAX;
            let exclude = fan_out
                .publication
                .exclude
                .filter(|exclude| exclude.shard == self.me);
            let stop = fan_out.end.min(fan_out.cursor.saturating_add(left as u32));
            let mut reached = stop;
            for position in fan_out.cursor..stop {
                let Some(index) = room.members.at(position) else {
                    continue;
                };
                let Some((session, entry)) = self.sessions.at_mut(index) else {
                    continue;
                };
                if exclude.is_some_and(|e| e.index == index && e.generation == session.generation) {
                    continue;
                }
                let encoding = entry.dialect.encoding();
                if dropping.is_some()
                    && let Some(direction) = &mut entry.deflates
                {
                    // A message may refer to those before it only if none of them can be dropped, now or later.
                    *direction = direction.without_takeover();
                }
                let encoded = match entry.deflates {
                    None => plain(fan_out, encoding, &self.meter),
                    Some(_) if self.codecs.output_is_spent() => {
                        reached = position;
                        break;
                    }
                    Some(direction) => {
                        let (index, codecs) = (entry.conn.index, &mut self.codecs);
                        compressed(fan_out, encoding, direction, index, codecs, &self.meter)
                    }
                };
                entry.outbox.push(encoded);
                delivered += 1;
                let flush = &mut entry.flush;
                if flush.open && !flush.blocked && !flush.in_prompt && !flush.in_bulk {
                    if is_prompt {
                        flush.in_prompt = true;
                        self.prompt.push_back(session);
                    } else {
                        flush.in_bulk = true;
                        self.bulk.push_back(session);
                    }
                }
                if bounds.are_passed(entry, dropping.is_some()) {
                    let (stats, wheel) = (&self.stats, &mut self.wheel);
                    let overflowing = &mut self.overflowing;
                    bounds.hold(session, entry, dropping, stats, wheel, overflowing);
                }
            }
            left -= (reached - fan_out.cursor) as usize;
            fan_out.cursor = reached;
            if reached == fan_out.end {
                room.fan_outs.pop_front();
            }
            if reached < stop {
                break;
            }
        }
        self.stats.messages_out.add(delivered);
        slots - left
    }

    /// Schedules the room again, or tidies it up; lets paused publishers go on.
    fn after_slice(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let mut unpaused = Vec::new();
        if room.has_room() {
            unpaused = std::mem::take(&mut room.paused);
        }
        if room.fan_outs.is_empty() {
            room.scheduled = false;
            let sessions = &mut self.sessions;
            room.members.compact(|moved| {
                if let Some((_, entry)) = sessions.at_mut(moved.session)
                    && let Some(membership) = &mut entry.membership
                {
                    membership.position = Some(moved.position);
                }
            });
        } else {
            self.scheduled.push_back(key);
        }
        for conn in unpaused {
            self.unpause(conn, Pause::Room);
        }
    }

    /// Closes the consumers whose outbox has passed its hard bound.
    pub(super) fn close_overflowing(&mut self, now: Tick) {
        while let Some(session) = self.overflowing.pop() {
            if let Some(entry) = self.sessions.get(session)
                && entry.outbox.bytes() > self.limits.outbox_hard()
            {
                let conn = entry.conn;
                self.close_slow(now, conn);
            }
        }
    }
}

/// A publication as a member gets it that takes no compressed messages. All with the same encoding share the bytes.
fn plain(fan_out: &mut FanOut, encoding: Encoding, meter: &Meter) -> Encoded {
    let publication = &fan_out.publication;
    let encoded = fan_out.encoded[encoding as usize].get_or_insert_with(|| {
        let encoded = encoding.encode(publication, meter);
        encoded.of_publication(publication.began)
    });
    encoded.clone()
}

/// A publication as a member gets it that takes compressed messages. All members with the same window share the bytes, but
/// for those whose messages refer to what was sent to them before.
fn compressed(
    fan_out: &mut FanOut,
    encoding: Encoding,
    direction: Direction,
    conn_index: u32,
    codecs: &mut Codecs,
    meter: &Meter,
) -> Encoded {
    let FanOut {
        publication,
        encoded,
        compressed,
        ..
    } = fan_out;
    let make = move || {
        let compressed = encoding.encode_compressed(
            publication,
            move |message: &[u8]| codecs.deflate(conn_index, direction, Purpose::Delivery, message),
            meter,
        );
        if let Some(compressed) = compressed {
            return match direction.takeover {
                true => compressed.of_chained_publication(publication.began),
                false => compressed.of_publication(publication.began),
            };
        }
        let plain = encoded[encoding as usize].get_or_insert_with(|| {
            let encoded = encoding.encode(publication, meter);
            encoded.of_publication(publication.began)
        });
        plain.clone()
    };
    if direction.takeover {
        return make();
    }
    let shared = compressed.get_or_insert_default();
    shared[encoding as usize][direction.window.index()]
        .get_or_insert_with(make)
        .clone()
}
