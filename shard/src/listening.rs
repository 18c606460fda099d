//! Whether a shard listens, on each of its addresses: from the start to the end of the drain's first step.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringmain_core::Tick;
use ringmain_rt::Listener;

use crate::HALF_OPEN_MS;

/// Which of its listeners a connection comes in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Plain,
    Tls,
}

/// One of a shard's listeners, and how far it is from its end. It ends in three steps, so that nobody who has
/// connected is reset: the system lets no new connection begin; those that are half open have a moment to
/// be made; the queue is emptied, and the listener shut in the same breath.
pub struct Listening {
    listener: Rc<Listener>,
    state: Cell<State>,
    /// The accepting task, which is to empty the queue for the last time.
    accepting: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// No new connections begin; those that are half open have time until then.
    HalfOpenUntil(Tick),
    /// The queue is being emptied for the last time.
    Emptying,
    Shut,
}

impl Listening {
    pub fn new(listener: Listener) -> Self {
        Listening {
            listener: Rc::new(listener),
            state: Cell::new(State::Open),
            accepting: RefCell::default(),
        }
    }

    pub fn listener(&self) -> &Rc<Listener> {
        &self.listener
    }

    /// Begins the end, if it has not begun.
    pub fn begin_to_end(&self, now: Tick) {
        if self.state.get() != State::Open {
            return;
        }
        let wait_ms = match self.listener.refuse_new() {
            Ok(()) => HALF_OPEN_MS,
            Err(error) => {
                tracing::warn!(%error, "the system goes on to let connections begin: some may be reset");
                0
            }
        };
        self.state.set(State::HalfOpenUntil(now.plus(wait_ms)));
    }

    /// Goes on with the end when it is time.
    pub fn go_on(&self, now: Tick) {
        if matches!(self.state.get(), State::HalfOpenUntil(at) if at <= now) {
            self.state.set(State::Emptying);
            if let Some(waker) = self.accepting.take() {
                waker.wake();
            }
        }
    }

    /// When [`go_on`](Self::go_on) is to be called.
    pub fn deadline(&self) -> Option<Tick> {
        match self.state.get() {
            State::HalfOpenUntil(at) => Some(at),
            _ => None,
        }
    }

    /// Ready when the queue is to be emptied for the last time.
    pub fn poll_emptying(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.state.get() == State::Emptying {
            return Poll::Ready(());
        }
        self.accepting.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Shuts the listener: right after its queue was found empty.
    pub fn shut(&self) {
        self.listener.shut();
        self.state.set(State::Shut);
    }

    pub fn is_shut(&self) -> bool {
        self.state.get() == State::Shut
    }
}
