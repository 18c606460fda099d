//! Connections that are held to a rate.

use ringmain_router::lease::Rated;

use super::ShardCore;
use crate::ConnId;
use crate::connection::{Connection, Pause};
use crate::limited::Limited;
use crate::limits::{RATE_WAIT_MS, TURN_ALARMS_MAX};
use crate::rates::{ConnectionRates, RateAction, RateLimit};
use crate::tick::Tick;

/// What is to be looked at when its time has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alarm {
    /// A connection that waits for its rate.
    Rate(ConnId),
    /// A lease ends, or a rate that was used up has something again.
    Lease(Rated),
}

/// A connection's pace while its messages are parsed; nothing where no rate is set.
#[derive(Debug)]
pub(super) struct Held {
    limited: Box<Limited>,
    rates: ConnectionRates,
    action: RateAction,
    message_bytes_max: usize,
}

impl Held {
    /// What the next message would have to wait for, and how long.
    pub fn must_wait(&self, now: Tick) -> Option<(RateLimit, u64)> {
        match self.action {
            RateAction::Refuse => self.limited.pace.must_wait(now, &self.rates),
            RateAction::Drop | RateAction::Close => None,
        }
    }

    /// Counts bytes that were parsed, and that a message is whole with them.
    ///
    /// # Errors
    /// The rate beyond which it is.
    pub fn parsed(&mut self, now: Tick, bytes: usize, is_whole: bool) -> Result<(), RateLimit> {
        let pace = &mut self.limited.pace;
        if self.action == RateAction::Refuse {
            pace.count(now, &self.rates, u64::from(is_whole), bytes);
            return Ok(());
        }
        pace.begun(bytes);
        if is_whole || pace.is_flooded(&self.rates, self.message_bytes_max) {
            pace.pass(now, &self.rates)
        } else {
            Ok(())
        }
    }
}

impl ShardCore {
    /// Takes a connection's pace out, if there is a rate to hold it to.
    pub(super) fn hold(limits: &crate::Limits, connection: &mut Connection) -> Option<Held> {
        limits.connection_rates.are_set().then(|| Held {
            limited: connection.limited.take().unwrap_or_default(),
            rates: limits.connection_rates,
            action: limits.rate_action,
            message_bytes_max: limits.message_bytes_max,
        })
    }

    /// Puts it back.
    pub(super) fn let_go(connection: &mut Connection, held: Option<Held>) {
        if let Some(held) = held {
            connection.limited = Some(held.limited);
        }
    }

    /// Something was beyond a rate.
    pub(super) fn exceeded(&self, limit: RateLimit) {
        self.stats.rates_exceeded[limit as usize].add(1);
    }

    /// A connection waits until its rate lets it go on; it is looked at again at least each second, since rates may change.
    pub(super) fn wait_for_rate(&mut self, now: Tick, conn: ConnId, wait_ms: u64) {
        let at = now.plus(wait_ms.clamp(1, RATE_WAIT_MS));
        self.alarms.set(at, Alarm::Rate(conn));
    }

    /// Looks at what is due.
    pub(super) fn sound_alarms(&mut self, now: Tick) {
        for _ in 0..TURN_ALARMS_MAX {
            match self.alarms.due(now) {
                Some(Alarm::Rate(conn)) => self.unpause(conn, Pause::Rate),
                Some(Alarm::Lease(of)) => self.lease_alarm(now, of),
                None => return,
            }
        }
    }
}
