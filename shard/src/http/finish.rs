//! The last request of a connection: while a shard drains, what is under way is answered, and nothing more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Waker};

use http::header::{CONNECTION, HeaderValue};
use http::{Response, StatusCode};
use ringmain_core::ConnId;

/// The connections of a shard that speak HTTP.
#[derive(Default)]
pub struct Exchanges(RefCell<HashMap<ConnId, Rc<Finish>>>);

/// How far the HTTP of one connection is from its end.
#[derive(Default)]
pub struct Finish {
    is_asked: Cell<bool>,
    /// Since the last answer nothing has come: between two requests, not before the first.
    is_between: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Exchanges {
    /// A connection begins to speak HTTP, or TLS before that.
    pub fn begin(&self, conn: ConnId) -> Rc<Finish> {
        self.0.borrow_mut().entry(conn).or_default().clone()
    }

    /// It speaks it no more.
    pub fn end(&self, conn: ConnId) {
        self.0.borrow_mut().remove(&conn);
    }

    /// Its present request is to be its last.
    pub fn finish(&self, conn: ConnId) {
        if let Some(finish) = self.0.borrow().get(&conn) {
            finish.is_asked.set(true);
            if let Some(waker) = finish.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Finish {
    /// Whether nothing is to be waited for any more. If not, the task is woken when that may have changed.
    pub fn poll_over(&self, context: &mut Context<'_>) -> bool {
        if self.is_asked.get() {
            return self.is_between.get();
        }
        self.waker.replace(Some(context.waker().clone()));
        false
    }

    /// Bytes of a request have come, or it is whole: it may have come together with the one before.
    pub fn received(&self) {
        self.is_between.set(false);
    }

    /// A request is answered. If it was the last, the answer says so, and hyper closes after it.
    pub fn answered<B>(&self, mut response: Response<B>) -> Response<B> {
        self.is_between.set(true);
        if self.is_asked.get() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }
}
