//! How many connections an address or a user has on the whole node, and who is blocked.
//!
//! A subject is kept by one shard, which its hash chooses; the others ask it before they let a connection in, and tell it when
//! one is gone. So the counts are exact, however many shards there are.

use std::collections::VecDeque;

use ringmain_router::placement::keeper_shard;
use ringmain_router::slots::Grant;
use ringmain_router::{
    Claim, Denial, PeerId, ShardFrame, SlotTable, Subject, SubjectId, SubjectKind, SubjectMap, Wish,
};

use super::{Ending, Refusal, ShardCore, Verdict};
use crate::ConnId;
use crate::access::Pass;
use crate::blocks::{BlockList, Offence};
use crate::close::CloseReason;
use crate::connection::{Connection, Stage};
use crate::dialect::Target;
use crate::limits::{CLAIM_WAIT_MS, DENIED_MS, OFFENCE_PAUSE_MS, OFFENCES_WAITING_MAX};
use crate::tick::Tick;

/// What a shard knows of subjects: of those of its connections, and of those that it keeps.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// Of its own connections.
    claims: SubjectMap<Counted>,
    /// Subjects whose keeper, another shard, has to be told; each stands here once.
    untold: VecDeque<SubjectId>,
    /// What it keeps.
    slots: SlotTable,
    pub blocks: BlockList,
    /// Offences that other shards have to be told.
    offences: VecDeque<SubjectId>,
}

#[derive(Debug)]
struct Counted {
    kind: SubjectKind,
    claim: Claim<ConnId>,
    is_queued: bool,
}

/// When a refused connection may come again, in seconds.
const RETRY_FULL_S: u32 = 5;
const RETRY_UNANSWERED_S: u32 = 1;

impl ShardCore {
    /// A connection that speaks HTTP is to be counted for a subject. Answered by a verdict.
    pub(super) fn count(&mut self, now: Tick, conn: ConnId, subject: Subject<'_>) {
        let kind = subject.kind();
        let subject = self.room_secret.subject_among(subject, self.is_linked);
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage != Stage::Http {
            // It was closed while the request was on its way: who waits for a verdict is told again.
            self.closes.push_back((conn, Ending::Shutdown));
            return;
        }
        let limited = connection.limited.get_or_insert_default();
        if limited.subject(kind).is_some() {
            // A second request of the connection is counted already.
            self.verdicts.push_back((conn, Verdict::Counted));
            return;
        }
        self.begin_count(now, conn, subject, kind);
    }

    /// The token of a session that waits for its access is taken: it is let in once it is counted for its user.
    pub(super) fn admitted_as(
        &mut self,
        now: Tick,
        conn: ConnId,
        pending: (Target, Pass),
        user: Subject<'_>,
    ) {
        let subject = self.room_secret.subject_among(user, self.is_linked);
        let kind = user.kind();
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if connection.stage != Stage::Open {
            return;
        }
        let limited = connection.limited.get_or_insert_default();
        limited.pending = Some(Box::new(pending));
        self.begin_count(now, conn, subject, kind);
    }

    fn begin_count(&mut self, now: Tick, conn: ConnId, subject: SubjectId, kind: SubjectKind) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let limited = connection.limited.get_or_insert_default();
        *limited.subject_mut(kind) = Some(subject);
        limited.asking = Some(kind);
        self.wheel.set(conn.index, now.plus(CLAIM_WAIT_MS));
        let counted = self
            .quotas
            .claims
            .entry(subject)
            .or_insert_with(|| Counted {
                kind,
                claim: Claim::default(),
                is_queued: false,
            });
        if counted.claim.claim(conn) {
            return self.counted(now, conn);
        }
        self.tell_keeper(now, subject);
    }

    /// Tells a subject's keeper what is wanted now: at once if that is this shard, else with the next frames.
    fn tell_keeper(&mut self, now: Tick, subject: SubjectId) {
        let keeper = keeper_shard(subject, self.shards);
        let Some(counted) = self.quotas.claims.get_mut(&subject) else {
            return;
        };
        if counted.claim.is_idle() {
            self.quotas.claims.remove(&subject);
            return;
        }
        let Some(wanted) = counted.claim.untold() else {
            return;
        };
        if keeper != self.me {
            if !std::mem::replace(&mut counted.is_queued, true) {
                self.quotas.untold.push_back(subject);
            }
            return;
        }
        counted.claim.told();
        let (kind, from) = (counted.kind, self.me);
        let wish = Wish {
            subject,
            from,
            wanted,
        };
        match self.wish(now, wish, kind) {
            Some(grant) => self.slots_granted(now, subject, grant),
            None => self.tell_keeper(now, subject),
        }
    }

    /// Takes a wish as the subject's keeper.
    pub(super) fn wish(&mut self, now: Tick, wish: Wish, kind: SubjectKind) -> Option<Grant> {
        let most = match kind {
            SubjectKind::Address => self.limits.connections_per_address,
            SubjectKind::User => self.limits.connections_per_user,
        };
        let in_cluster = match kind {
            SubjectKind::Address => u32::MAX,
            SubjectKind::User => self.most_of_user_here(wish.subject),
        };
        let blocked_ms = match self.limits.block {
            Some(_) => self.quotas.blocks.blocked_ms(now, wish.subject),
            None => 0,
        };
        let block = (blocked_ms > 0).then_some(Denial::Blocked { for_ms: blocked_ms });
        let most = if most == 0 { u32::MAX } else { most };
        let mut grant = self.quotas.slots.wish(wish, most.min(in_cluster), block);
        if let Some(grant) = &mut grant
            && grant.denial == Some(Denial::Full)
            && in_cluster < most
        {
            grant.denial = Some(Denial::FullInCluster);
        }
        if kind == SubjectKind::User {
            self.note_user(wish.subject);
        }
        if let Some(Grant {
            granted,
            denial: Some(Denial::Full),
        }) = grant
        {
            for _ in granted..wish.wanted {
                self.punish(now, wish.subject);
            }
        }
        grant
    }

    /// Another shard's wish.
    pub(super) fn claimed(&mut self, now: Tick, wish: Wish, kind: SubjectKind) {
        if let Some(grant) = self.wish(now, wish, kind) {
            self.quotas.slots.queue(wish.from, wish.subject, grant);
        }
    }

    /// The keeper's answer.
    pub(super) fn slots_granted(&mut self, now: Tick, subject: SubjectId, grant: Grant) {
        let Some(counted) = self.quotas.claims.get_mut(&subject) else {
            return;
        };
        let kind = counted.kind;
        let settled = counted.claim.answered(grant.granted);
        for conn in settled.granted {
            self.counted(now, conn);
        }
        let (refusal, retry_s) = match (grant.denial, kind) {
            (Some(Denial::Blocked { for_ms }), _) => (
                Refusal::Blocked,
                u32::try_from(for_ms.div_ceil(1_000)).unwrap_or(u32::MAX),
            ),
            (Some(Denial::FullInCluster), _) => (Refusal::UserConnectionsInCluster, RETRY_FULL_S),
            (_, SubjectKind::Address) => (Refusal::AddressConnections, RETRY_FULL_S),
            (_, SubjectKind::User) => (Refusal::UserConnections, RETRY_FULL_S),
        };
        for conn in settled.refused {
            self.not_counted(now, conn, refusal, retry_s);
        }
        self.tell_keeper(now, subject);
    }

    /// A connection is counted for what it was asked for.
    fn counted(&mut self, now: Tick, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if let Some(limited) = &mut connection.limited {
            limited.asking = None;
            if let Some(pending) = limited.pending.take() {
                let (target, pass) = *pending;
                return self.admitted(now, conn, &target, pass);
            }
        }
        let wait_ms = match connection.finishing {
            true => self.limits.close_handshake_ms,
            false => self.limits.handshake_ms,
        };
        self.wheel.set(conn.index, now.plus(wait_ms));
        self.verdicts.push_back((conn, Verdict::Counted));
    }

    fn not_counted(&mut self, now: Tick, conn: ConnId, refusal: Refusal, retry_s: u32) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        if let Some(limited) = &mut connection.limited
            && let Some(kind) = limited.asking.take()
        {
            *limited.subject_mut(kind) = None;
            limited.is_denied = true;
            if limited.pending.take().is_some() {
                let reason = CloseReason::TooManyConnections;
                return self.close(now, conn, reason, reason.entry().text);
            }
        }
        connection.reason = Some(CloseReason::RequestDone);
        // It has a short time to ask, if it has not, and to read the answer.
        self.wheel.set(conn.index, now.plus(DENIED_MS));
        let verdict = Verdict::Refused { refusal, retry_s };
        self.verdicts.push_back((conn, verdict));
    }

    /// The keeper has not answered in time. Returns whether that was what the connection waited for.
    pub(super) fn give_up_count(&mut self, now: Tick, conn: ConnId) -> bool {
        let Some(subject) = self.connections.get(conn).and_then(asking) else {
            return false;
        };
        if let Some(counted) = self.quotas.claims.get_mut(&subject) {
            counted.claim.forget(conn);
        }
        self.tell_keeper(now, subject);
        self.not_counted(now, conn, Refusal::Uncounted, RETRY_UNANSWERED_S);
        true
    }

    /// A connection begins to close: it does not wait to be let in any more, nor would what waits for it see to its end.
    pub(super) fn forget_admission(&mut self, now: Tick, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let subject = asking(connection);
        let (Some(subject), Some(limited)) = (subject, &mut connection.limited) else {
            return;
        };
        if limited.pending.take().is_none() {
            return;
        }
        if let Some(kind) = limited.asking.take() {
            *limited.subject_mut(kind) = None;
        }
        if let Some(counted) = self.quotas.claims.get_mut(&subject) {
            counted.claim.forget(conn);
        }
        self.tell_keeper(now, subject);
    }

    /// A connection is gone: what it was counted for is given back, and what it waits for is not wanted any more.
    pub(super) fn discount(&mut self, now: Tick, connection: &mut Connection, conn: ConnId) {
        let asking = asking(connection);
        let Some(limited) = connection.limited.take() else {
            return;
        };
        for subject in [limited.address, limited.user].into_iter().flatten() {
            let Some(counted) = self.quotas.claims.get_mut(&subject) else {
                continue;
            };
            if asking == Some(subject) {
                counted.claim.forget(conn);
            } else if let Some(next) = counted.claim.release() {
                self.counted(now, next);
            }
            self.tell_keeper(now, subject);
        }
    }

    /// A connection has broken a limit: whoever it is counted for answers for it, once in a while at most.
    pub(super) fn offend(&mut self, now: Tick, conn: ConnId) {
        if self.limits.block.is_none() {
            return;
        }
        let Some(limited) = (self.connections.get_mut(conn)).and_then(|it| it.limited.as_mut())
        else {
            return;
        };
        if limited
            .offended
            .is_some_and(|at| now.since(at) < OFFENCE_PAUSE_MS)
        {
            return;
        }
        limited.offended = Some(now);
        for subject in [limited.address, limited.user].into_iter().flatten() {
            self.report(now, subject);
        }
    }

    /// Tells a subject's keeper of an offence.
    pub(super) fn report(&mut self, now: Tick, subject: SubjectId) {
        if self.limits.block.is_none() {
            return;
        }
        if keeper_shard(subject, self.shards) == self.me {
            self.punish(now, subject);
        } else if self.quotas.offences.len() < OFFENCES_WAITING_MAX {
            self.quotas.offences.push_back(subject);
        } else {
            self.stats.offences_lost.add(1);
        }
    }

    /// Notes an offence, as the subject's keeper.
    pub(super) fn punish(&mut self, now: Tick, subject: SubjectId) {
        let Some(rule) = self.limits.block else {
            return;
        };
        match self.quotas.blocks.offend(now, rule, subject) {
            Offence::Noted => self.stats.offences.add(1),
            Offence::Blocked => {
                self.stats.offences.add(1);
                self.stats.blocks.add(1);
            }
            Offence::Known => {}
            Offence::Untold => self.stats.offences_lost.add(1),
        }
    }

    /// Tells keepers, and answers as one, as far as lanes take it.
    pub(super) fn tell_quotas(
        &mut self,
        send: &mut impl FnMut(PeerId, ShardFrame) -> Result<(), ShardFrame>,
    ) {
        let (me, shards) = (self.me, self.shards);
        let quotas = &mut self.quotas;
        let mut sent = quotas.slots.send_answers(&mut *send);
        for _ in 0..quotas.untold.len() {
            let Some(subject) = quotas.untold.pop_front() else {
                break;
            };
            let Some(counted) = quotas.claims.get_mut(&subject) else {
                continue;
            };
            counted.is_queued = false;
            let (kind, claim) = (counted.kind, &mut counted.claim);
            if let Some(wanted) = claim.untold() {
                let wish = Wish {
                    subject,
                    from: me,
                    wanted,
                };
                let frame = ShardFrame::Claim { wish, kind };
                if send(keeper_shard(subject, shards), frame).is_err() {
                    counted.is_queued = true;
                    quotas.untold.push_back(subject);
                    continue;
                }
                claim.told();
                sent += 1;
            }
            if claim.is_idle() {
                quotas.claims.remove(&subject);
            }
        }
        while let Some(subject) = quotas.offences.pop_front() {
            let frame = ShardFrame::Offence { subject };
            if send(keeper_shard(subject, shards), frame).is_err() {
                quotas.offences.push_front(subject);
                break;
            }
            sent += 1;
        }
        sent += self.tell_users(send);
        self.stats.mesh_control_frames_out.add(sent);
    }

    /// Connections that a user has on all shards of this node, of those that this one keeps.
    pub(super) fn kept_of(&self, user: SubjectId) -> u32 {
        self.quotas.slots.held(user)
    }

    /// Subjects of which this shard has connections, and those that it keeps: both are zero when nobody is there.
    pub fn subjects(&self) -> (usize, usize) {
        (self.quotas.claims.len(), self.quotas.slots.len())
    }
}

/// The subject for which a connection is being counted.
fn asking(connection: &Connection) -> Option<SubjectId> {
    let limited = connection.limited.as_ref()?;
    limited.subject(limited.asking?)
}
