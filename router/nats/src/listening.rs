//! What is listened to at the broker: what is wanted, what is, and what has come in.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::stream::{AbortHandle, Abortable, SelectAll, abortable};
use futures_util::{FutureExt, Stream, StreamExt};
use ringmain_router::cluster::{Inbound, Subscription};
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep};

/// Messages of one subscription that are taken before the others have their turn.
const BATCH_MAX: usize = 512;
/// For how long a subscription that is to end is watched, and how many messages ahead its last one is at least.
const WATCH_TIME: Duration = Duration::from_millis(100);
const LAST_AHEAD_MIN: u64 = 8;
/// How long the last one is waited for.
const AWAIT_TIME: Duration = Duration::from_millis(300);

/// The state of each subscription that is wanted or at work. There are as many as a node can have at most, however
/// often each is wanted and given up while the broker takes nothing.
pub(crate) struct Listening {
    states: HashMap<Subscription, State>,
    /// Those that wait to be ordered, each once.
    next: VecDeque<Subscription>,
    streams: SelectAll<Abortable<Batches>>,
}

enum State {
    /// It is in `next`.
    Waits { is_wanted: bool },
    /// The drainer is at it.
    Ordered { is_wanted: bool },
    /// Messages come in.
    Heard(Heard),
}

/// Reaches a subscription's stream.
struct Heard {
    stream: AbortHandle,
    /// Tells it that it is to be the last.
    end: oneshot::Sender<()>,
    /// Its other end is gone when the stream is.
    gone: Gone,
}

/// Is ready, with an error, when a subscription has ended and all that came of it was taken.
pub(crate) type Gone = oneshot::Receiver<Infallible>;

impl Listening {
    pub fn new() -> Self {
        Listening {
            states: HashMap::new(),
            next: VecDeque::new(),
            streams: SelectAll::new(),
        }
    }

    /// This is to be listened to.
    pub fn want(&mut self, subscription: Subscription) {
        match self.states.get_mut(&subscription) {
            None => {
                let state = State::Waits { is_wanted: true };
                self.states.insert(subscription, state);
                self.next.push_back(subscription);
            }
            Some(State::Waits { is_wanted } | State::Ordered { is_wanted }) => *is_wanted = true,
            Some(State::Heard(_)) => {}
        }
    }

    /// This is no longer to be listened to.
    pub fn give_up(&mut self, subscription: Subscription) {
        match self.states.get_mut(&subscription) {
            None => {}
            Some(State::Waits { is_wanted } | State::Ordered { is_wanted }) => *is_wanted = false,
            Some(State::Heard(heard)) => {
                heard.stream.abort();
                self.states.remove(&subscription);
            }
        }
    }

    /// What the drainer is to subscribe to next. [`arrived`](Self::arrived) says what came of it.
    pub fn poll_order(&mut self) -> Option<Subscription> {
        while let Some(subscription) = self.next.pop_front() {
            if let Some(State::Waits { is_wanted: true }) = self.states.get(&subscription) {
                let state = State::Ordered { is_wanted: true };
                self.states.insert(subscription, state);
                return Some(subscription);
            }
            self.states.remove(&subscription);
        }
        None
    }

    /// Whether [`poll_order`](Self::poll_order) may have one.
    pub fn has_orders(&self) -> bool {
        !self.next.is_empty()
    }

    /// What was ordered is there; or cannot be.
    pub fn arrived(&mut self, subscription: Subscription, subscriber: Option<Subscriber>) {
        let state = self.states.remove(&subscription);
        if let (Some(State::Ordered { is_wanted: true }), Some(subscriber)) = (state, subscriber) {
            let ((end, ended), (there, gone)) = (oneshot::channel(), oneshot::channel());
            let batches = Batches {
                subscriber,
                taken: 0,
                end: End::NotYet(ended),
                _there: there,
            };
            let (messages, stream) = abortable(batches);
            let heard = Heard { stream, end, gone };
            self.states.insert(subscription, State::Heard(heard));
            self.streams.push(messages);
        }
    }

    /// This is to come to its end: the broker is told, and sends no more; what it had sent before is still taken, but for
    /// what [`End`] says. `None` if it is not listened to.
    pub fn end(&mut self, subscription: Subscription) -> Option<Gone> {
        match self.states.remove(&subscription)? {
            State::Heard(Heard { end, gone, .. }) => {
                let _ = end.send(());
                Some(gone)
            }
            State::Waits { .. } | State::Ordered { .. } => None,
        }
    }

    /// Whether anything is listened to.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The next messages, all of one subscription and in its order.
    pub async fn next(&mut self) -> Option<Vec<Inbound>> {
        self.streams.next().await
    }
}

/// A subscription's messages, as many at a time as are there: what is around each of them is paid once.
struct Batches {
    subscriber: Subscriber,
    /// Messages that were taken.
    taken: u64,
    end: End,
    _there: oneshot::Sender<Infallible>,
}

/// How a subscription ends. The client library forgets it as soon as it has told the broker, and loses what is on its way
/// then; but with a number of messages it and the broker end it behind the same one. So while messages come often, one of
/// those that are to come soon is made the last, and only else, or when it does not come, the subscription just ends.
enum End {
    /// It has not been told.
    NotYet(oneshot::Receiver<()>),
    /// How many messages come is looked at, from this number on.
    Watching(Pin<Box<Sleep>>, u64),
    /// The last one's number is to be told.
    Numbered(u64),
    /// The last one is to come.
    Awaited(Pin<Box<Sleep>>),
    /// Whatever comes, it ends.
    Now,
    /// The library knows.
    Told,
}

impl Batches {
    /// Goes on with the end, if it was told.
    fn poll_end(&mut self, cx: &mut Context<'_>) {
        loop {
            self.end = match &mut self.end {
                End::NotYet(told) => match told.poll_unpin(cx) {
                    Poll::Ready(Ok(())) => End::Watching(Box::pin(sleep(WATCH_TIME)), self.taken),
                    _ => return,
                },
                End::Watching(time, from) => match (time.poll_unpin(cx), self.taken - *from) {
                    (Poll::Pending, _) => return,
                    (Poll::Ready(()), 0) => End::Now,
                    (Poll::Ready(()), came) => End::Numbered(self.taken + came.max(LAST_AHEAD_MIN)),
                },
                End::Numbered(last) => {
                    match pin!(self.subscriber.unsubscribe_after(*last)).poll(cx) {
                        Poll::Ready(_) => End::Awaited(Box::pin(sleep(AWAIT_TIME))),
                        Poll::Pending => return cx.waker().wake_by_ref(),
                    }
                }
                End::Awaited(time) => match time.poll_unpin(cx) {
                    Poll::Ready(()) => End::Now,
                    Poll::Pending => return,
                },
                // Where the library takes nothing now it is asked again: its own way to say when is lost with this future.
                End::Now => match pin!(self.subscriber.drain()).poll(cx) {
                    Poll::Ready(_) => End::Told,
                    Poll::Pending => return cx.waker().wake_by_ref(),
                },
                End::Told => return,
            };
        }
    }
}

impl Stream for Batches {
    type Item = Vec<Inbound>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<Inbound>>> {
        self.poll_end(cx);
        let Batches {
            subscriber, taken, ..
        } = &mut *self;
        // The runtime would have a task pause after 128 messages, while the client library goes on and fills the
        // subscription; a batch is bounded by itself.
        let batch = poll_fn(|cx| {
            let Some(first) = ready!(subscriber.poll_next_unpin(cx)) else {
                return Poll::Ready(None);
            };
            let mut batch = vec![inbound(first)];
            while batch.len() < BATCH_MAX
                && let Poll::Ready(Some(message)) = subscriber.poll_next_unpin(cx)
            {
                batch.push(inbound(message));
            }
            *taken += batch.len() as u64;
            Poll::Ready(Some(batch))
        });
        pin!(unconstrained(batch)).poll(cx)
    }
}

fn inbound(message: Message) -> Inbound {
    Inbound {
        subject: message.subject.into_string(),
        reply: message.reply.map(|reply| reply.into_string()),
        payload: message.payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_and_given_up_in_an_outage_stays_one_order() {
        let mut listening = Listening::new();
        for _ in 0..10_000 {
            listening.want(Subscription::Last);
            listening.want(Subscription::Nodes);
            listening.give_up(Subscription::Last);
        }
        assert_eq!((listening.states.len(), listening.next.len()), (2, 2));
        assert_eq!(listening.poll_order(), Some(Subscription::Nodes));
        assert_eq!(listening.poll_order(), None);
        assert!(!listening.has_orders());
    }

    #[test]
    fn what_is_given_up_while_the_drainer_is_at_it_is_ordered_again_when_it_is_wanted_again() {
        let mut listening = Listening::new();
        listening.want(Subscription::Last);
        assert_eq!(listening.poll_order(), Some(Subscription::Last));
        listening.give_up(Subscription::Last);
        listening.want(Subscription::Last);
        assert_eq!(listening.poll_order(), None, "the drainer is at it");
        listening.arrived(Subscription::Last, None);
        listening.want(Subscription::Last);
        assert_eq!(listening.poll_order(), Some(Subscription::Last));
        listening.give_up(Subscription::Last);
        listening.arrived(Subscription::Last, None);
        assert!(listening.states.is_empty());
    }
}
