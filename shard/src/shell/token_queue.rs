//! Whose token is looked at when: a storm of them shall not stall the shard.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::gate::TURN_TOKENS_MAX;
use crate::place::Place;

/// Those whose token is to be looked at, in the order in which they came. So many go on in a turn; the others sleep until
/// it is theirs, for to wake them all each turn would cost the square of their number.
#[derive(Default)]
pub struct TokenQueue {
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// Called in this turn.
    called: Cell<usize>,
}

impl TokenQueue {
    /// Waits until a token may be looked at. `request` asks for another turn.
    pub async fn turn(&self, request: impl FnOnce()) {
        if self.waiting.borrow().is_empty() && self.called.get() < TURN_TOKENS_MAX {
            return self.called.set(self.called.get() + 1);
        }
        let place = Rc::new(Place::default());
        self.waiting.borrow_mut().push_back(place.clone());
        request();
        place.wait().await;
    }

    /// Begins a turn. Returns whether somebody still waits.
    pub fn begin_turn(&self) -> bool {
        self.called.set(0);
        let mut waiting = self.waiting.borrow_mut();
        while self.called.get() < TURN_TOKENS_MAX
            && let Some(place) = waiting.pop_front()
        {
            // Who has gone meanwhile takes nobody's turn.
            if Place::is_held(&place) {
                self.called.set(self.called.get() + 1);
                place.call();
            }
        }
        !waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    type Task<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

    #[test]
    fn each_is_polled_twice_at_most_and_some_go_on_in_each_turn_in_their_order() {
        const TASKS: usize = 10 * TURN_TOKENS_MAX;
        let queue = TokenQueue::default();
        queue.begin_turn();
        let mut tasks: Vec<Option<(Task<'_>, Arc<Flag>)>> = (0..TASKS)
            .map(|_| {
                let task = Box::pin(queue.turn(|| {})) as Task<'_>;
                Some((task, Arc::new(Flag(AtomicBool::new(true)))))
            })
            .collect();
        let (mut polls, mut done) = (0, Vec::new());
        let mut run = |tasks: &mut [Option<(Task<'_>, Arc<Flag>)>]| {
            let before = done.len();
            for (index, slot) in tasks.iter_mut().enumerate() {
                if let Some((task, flag)) = slot
                    && flag.0.swap(false, Ordering::Relaxed)
                {
                    polls += 1;
                    let waker = Waker::from(flag.clone());
                    if task
                        .as_mut()
                        .poll(&mut Context::from_waker(&waker))
                        .is_ready()
                    {
                        *slot = None;
                        done.push(index);
                    }
                }
            }
            done.len() - before
        };
        assert_eq!(run(&mut tasks), TURN_TOKENS_MAX);
        // One leaves.
        tasks[TURN_TOKENS_MAX] = None;
        for turn in 1..10 {
            assert_eq!(queue.begin_turn(), turn < 9, "{turn}");
            let left = TASKS - 1 - turn * TURN_TOKENS_MAX;
            assert_eq!(run(&mut tasks), TURN_TOKENS_MAX.min(left), "{turn}");
        }
        assert!(polls <= 2 * TASKS, "{polls} polls of {TASKS} tasks");
        let expected: Vec<_> = (0..TASKS).filter(|task| *task != TURN_TOKENS_MAX).collect();
        assert_eq!(done, expected);
        assert!(!queue.begin_turn());
    }
}
