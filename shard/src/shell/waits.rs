//! What tasks wait for that go on by themselves: the end of a turn, and a descriptor to accept with.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use ringmain_rt::Backend;

use super::Shell;

impl Shell {
    /// Waits until this turn has ended: lets the others go on. A task that just woke itself would be
    /// the next to run.
    pub async fn next_turn(&self) {
        let mut waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.yielded.borrow_mut().push(context.waker().clone());
            self.turns.request();
            Poll::Pending
        })
        .await;
    }

    /// Whether a task that has read must let the others go on before it reads again. In the ring every
    /// wait does that; with epoll, a wait for what is there already is over at once.
    pub fn must_yield(&self) -> bool {
        self.backend == Backend::Epoll
    }

    /// Waits so many milliseconds, or until a descriptor may have become free.
    pub async fn may_accept_in(&self, milliseconds: u64) {
        let mut waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            self.accepting.borrow_mut().push(context.waker().clone());
            let at = self.now().plus(milliseconds);
            let sooner = self.accept_at.get().map_or(at, |other| other.min(at));
            self.accept_at.set(Some(sooner));
            self.turns.request();
            Poll::Pending
        })
        .await;
    }

    pub(super) fn wake_accepting(&self) {
        self.accept_at.set(None);
        self.accepting.take().into_iter().for_each(Waker::wake);
    }
}
