//! Tasks that wait for something about their connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use ringmain_core::ConnId;

/// What a task waits for, or what it has got.
pub enum Waiting<T> {
    For(Waker),
    Got(T),
}

/// Gives a task what it waits for, or keeps it until the task asks.
pub fn answer<T>(waiting: &mut HashMap<ConnId, Waiting<T>>, conn: ConnId, got: T) {
    if let Some(Waiting::For(waker)) = waiting.insert(conn, Waiting::Got(got)) {
        waker.wake();
    }
}

/// Waits for what is answered.
pub async fn wait<T>(waiting: &RefCell<HashMap<ConnId, Waiting<T>>>, conn: ConnId) -> T {
    poll_fn(|context| {
        let mut waiting = waiting.borrow_mut();
        match waiting.remove(&conn) {
            Some(Waiting::Got(got)) => Poll::Ready(got),
            _ => {
                waiting.insert(conn, Waiting::For(context.waker().clone()));
                Poll::Pending
            }
        }
    })
    .await
}
