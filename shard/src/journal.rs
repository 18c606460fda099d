//! What a shard writes to the log about connections that end, or that it refuses.
//!
//! Of each reason the log takes some lines a second; what is withheld is counted in [`ShardStats`], and the control
//! plane says how much that was. Nothing of a query is written, for it may hold a token.

use std::cell::RefCell;
use std::net::SocketAddr;

use ringmain_core::line_budget::{LineBudget, LineShare};
use ringmain_core::{ConnId, Farewell, Refusal, RefusedStatus, Severity, ShardStats, Tick};
use tracing::Level;

/// The log's target for connections that are let in.
pub const OPEN_TARGET: &str = "ringmain::open";
/// The log's target for connections that end.
pub const CLOSE_TARGET: &str = "ringmain::close";
/// The log's target for connections and requests that are refused.
pub const REFUSE_TARGET: &str = "ringmain::refuse";

/// The longest text of a client's making in a line, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Writes one event at a level that is known only now.
macro_rules! event {
    ($severity:expr, $target:expr, $($rest:tt)*) => {
        match $severity {
            Severity::Debug => tracing::debug!(target: $target, $($rest)*),
            Severity::Info => tracing::info!(target: $target, $($rest)*),
            Severity::Warn => tracing::warn!(target: $target, $($rest)*),
        }
    };
}

/// From which severity on the log wants lines about ends, if any.
pub fn closes_wanted() -> Option<Severity> {
    if tracing::enabled!(target: CLOSE_TARGET, Level::DEBUG) {
        Some(Severity::Debug)
    } else if tracing::enabled!(target: CLOSE_TARGET, Level::INFO) {
        Some(Severity::Info)
    } else if tracing::enabled!(target: CLOSE_TARGET, Level::WARN) {
        Some(Severity::Warn)
    } else {
        None
    }
}

/// Whether the log wants lines of this severity about refusals.
fn refusals_wanted(severity: Severity) -> bool {
    match severity {
        Severity::Debug => tracing::enabled!(target: REFUSE_TARGET, Level::DEBUG),
        Severity::Info => tracing::enabled!(target: REFUSE_TARGET, Level::INFO),
        Severity::Warn => tracing::enabled!(target: REFUSE_TARGET, Level::WARN),
    }
}

/// One shard's lines.
pub struct Journal {
    shard: usize,
    /// What the names of the shard's connections begin with.
    connections: String,
    share: LineShare,
    refusals: RefCell<[LineBudget; Refusal::NAMES.len()]>,
    requests: RefCell<[LineBudget; RefusedStatus::COUNT]>,
}

impl Journal {
    /// Of one shard among so many of a node, by the name with which those of its connections begin.
    pub fn new(node: &str, shard: usize, shards: usize) -> Self {
        Journal {
            shard,
            connections: format!("{node}.{shard}"),
            share: LineShare::among(shards),
            refusals: RefCell::default(),
            requests: RefCell::default(),
        }
    }

    /// The name of a connection, by which an operator can have it closed.
    fn name(&self, conn: ConnId) -> String {
        format!("{}.{}.{}", self.connections, conn.index, conn.generation)
    }

    /// A connection is let in, or a user is known to be its owner.
    pub fn admitted(
        &self,
        conn: ConnId,
        user: Option<&str>,
        peer: impl FnOnce() -> Option<SocketAddr>,
    ) {
        if !tracing::enabled!(target: OPEN_TARGET, Level::DEBUG) {
            return;
        }
        tracing::debug!(
            target: OPEN_TARGET,
            shard = self.shard,
            connection = self.name(conn),
            user,
            peer = peer().map(tracing::field::display),
            "connection admitted"
        );
    }

    /// A connection begins to end.
    pub fn closed(&self, farewell: &Farewell, peer: Option<SocketAddr>) {
        let entry = farewell.reason.entry();
        event!(
            entry.severity,
            CLOSE_TARGET,
            shard = self.shard,
            connection = self.name(farewell.conn),
            reason = entry.name,
            detail = some_text(&farewell.detail),
            room = farewell.room.as_ref().map(|room| room.as_str()),
            peer = peer.map(tracing::field::display),
            open_seconds = farewell.open_s,
            "connection closed"
        );
    }

    /// A connection is not let in.
    pub fn refused(
        &self,
        now: Tick,
        refusal: Refusal,
        stats: &ShardStats,
        peer: impl FnOnce() -> Option<SocketAddr>,
    ) {
        let place = refusal as usize;
        stats.refusals[place].add(1);
        let severity = refusal.severity();
        if !refusals_wanted(severity) {
            return;
        }
        if !self.refusals.borrow_mut()[place].take(now, self.share) {
            return stats.refusals_withheld[place].add(1);
        }
        event!(
            severity,
            REFUSE_TARGET,
            shard = self.shard,
            reason = refusal.name(),
            peer = peer().map(tracing::field::display),
            "connection refused: {refusal}"
        );
    }

    /// A request is answered with an error; `why` is the answer's text.
    pub fn request_refused(
        &self,
        now: Tick,
        request: Refused<'_>,
        stats: &ShardStats,
        peer: impl FnOnce() -> Option<SocketAddr>,
    ) {
        let status = RefusedStatus::of(request.status);
        let place = status.index();
        stats.refused_requests[place].add(1);
        let severity = status.severity();
        if !refusals_wanted(severity) {
            return;
        }
        if !self.requests.borrow_mut()[place].take(now, self.share) {
            return stats.refused_requests_withheld[place].add(1);
        }
        event!(
            severity,
            REFUSE_TARGET,
            shard = self.shard,
            status = request.status,
            path = shortened(request.path),
            why = shortened(request.why.lines().next().unwrap_or_default()),
            peer = peer().map(tracing::field::display),
            "request refused"
        );
    }
}

/// A request that is answered with an error.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The answer's status.
    pub status: u16,
    /// The path that was asked for, without its query.
    pub path: &'a str,
    /// What the answer says.
    pub why: &'a str,
}

fn some_text(text: &str) -> Option<&str> {
    (!text.is_empty()).then(|| shortened(text))
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
