//! The loop of a thread: a turn after each batch of completions.
//!
//! The runtime polls its tasks first and the main future after them, so the main future is the end of
//! the turn: everything that came in has been handled, and what it has caused goes out together.
//!
//! Timers fire only when the runtime goes to sleep, so a busy thread must look at the clock itself;
//! the one timer here only wakes an idle thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another turn at once; completions are taken in between.
    Again,
    /// A turn when one is requested, or at this time.
    SleepUntil(Option<Instant>),
    /// The loop ends.
    Stop,
}

/// Requests turns; shared by the tasks of one thread.
#[derive(Default)]
pub struct Turns {
    main: RefCell<Option<Waker>>,
    again: RefCell<Option<Waker>>,
    again_due: Cell<bool>,
}

impl Turns {
    /// A turn is needed after the tasks that are ready now. Costs next to nothing if one is due already.
    pub fn request(&self) {
        if let Some(waker) = &*self.main.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Runs `turn` until it says [`Next::Stop`]. To be the main future of
    /// [`driver::run`](crate::driver::run).
    pub async fn run(self: Rc<Self>, mut turn: impl FnMut() -> Next) {
        self.clone().spawn_again();
        let mut timer: Option<(Instant, Pin<Box<monoio::time::Sleep>>)> = None;
        poll_fn(move |context| {
            self.main.replace(Some(context.waker().clone()));
            match turn() {
                Next::Stop => return Poll::Ready(()),
                Next::Again => self.wake_again(),
                Next::SleepUntil(None) => timer = None,
                Next::SleepUntil(Some(at)) => {
                    if timer.as_ref().is_none_or(|(set, _)| *set != at) {
                        let wait = at
                            .saturating_duration_since(Instant::now())
                            .max(Duration::from_millis(1));
                        timer = Some((at, Box::pin(monoio::time::sleep(wait))));
                    }
                    if let Some((_, sleep)) = &mut timer
                        && sleep.as_mut().poll(context).is_ready()
                    {
                        timer = None;
                        self.wake_again();
                    }
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// A task that requests a turn whenever it runs. The main future must not wake itself: the
    /// runtime would poll it again at once, without looking for completions. While this task is
    /// ready the runtime does not go to sleep.
    fn spawn_again(self: Rc<Self>) {
        crate::spawn(poll_fn(move |context| {
            if self.again.borrow().is_none() {
                self.again.replace(Some(context.waker().clone()));
            }
            if self.again_due.take() {
                self.request();
            }
            Poll::Pending
        }));
    }

    fn wake_again(&self) {
        self.again_due.set(true);
        // Without a waker it has not run yet: then it is ready, and will see that it is due.
        if let Some(waker) = &*self.again.borrow() {
            waker.wake_by_ref();
        }
    }
}
