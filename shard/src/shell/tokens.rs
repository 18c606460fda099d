//! Tokens: whose connections wait for one to come, and whose are they when it has.

use ringmain_core::{ConnId, Input, ShardCore, Target, Tick};
use ringmain_router::Subject;

use super::Shell;
use super::token_queue::TokenQueue;

impl Shell {
    /// Notes where a connection wants to go whose first message is to be a token.
    pub fn await_token(&self, conn: ConnId, target: Target) {
        self.awaiting.borrow_mut().insert(conn, target);
    }

    /// Where a connection wants to go whose token has come.
    pub fn take_awaiting(&self, conn: ConnId) -> Option<Target> {
        self.awaiting.borrow_mut().remove(&conn)
    }

    /// Whose token, of a request, is looked at next.
    pub fn tokens_queue(&self) -> &TokenQueue {
        &self.token_queue
    }

    /// A connection is a user's.
    pub fn owned(&self, conn: ConnId, user: &str) {
        self.turn(|core, now| owned(core, now, conn, user));
    }

    /// Tells the log that a connection is let in, as a user's if its token names one.
    pub fn tell_admitted(&self, conn: ConnId, user: Option<&str>) {
        self.journal.admitted(conn, user, || self.peer(conn));
    }

    /// A connection whose token came as a message is a user's; it may still be refused, if that has too many.
    pub fn admitted_by_message(&self, core: &mut ShardCore, now: Tick, conn: ConnId, user: &str) {
        self.journal.admitted(conn, Some(user), || self.peer(conn));
        owned(core, now, conn, user);
    }
}

fn owned(core: &mut ShardCore, now: Tick, conn: ConnId, user: &str) {
    let user = Subject::User(user);
    core.handle(now, Input::Owned { conn, user });
}
