//! A place in a queue of tasks that are called in their order.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A place in a queue.
#[derive(Default)]
pub struct Place {
    is_called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Place {
    /// Waits until it is called.
    pub async fn wait(self: Rc<Self>) {
        poll_fn(|context| {
            if self.is_called.get() {
                return Poll::Ready(());
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// It is its turn.
    pub fn call(&self) {
        self.is_called.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether somebody still waits at a place that a queue holds too.
    pub fn is_held(place: &Rc<Self>) -> bool {
        Rc::strong_count(place) > 1
    }
}
