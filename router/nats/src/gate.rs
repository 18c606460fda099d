//! What the client library was given and has not begun to write: bounded by bytes.
//!
//! Its own bound is one of messages, large or small, and what it has it keeps through an outage. It wakes nobody when it
//! goes on, but counts what it has begun to write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Client, Statistics};
use tokio::task::yield_now;
use tokio::time::sleep;

/// Payload bytes that it has at most, or one larger message.
const GIVEN_BYTES_MAX: usize = 64 * 1024;
/// The client library has its turn so often, in which it goes on if the broker takes what it gets.
const TURNS_MAX: usize = 8;
/// How long the broker, which does not, is left alone then.
const PAUSE: Duration = Duration::from_millis(1);

/// Lets through what may be given.
pub(crate) struct Gate {
    statistics: Arc<Statistics>,
    /// Sizes of the messages that were given, and not begun when it was looked last.
    given: VecDeque<usize>,
    bytes: usize,
    begun: u64,
    /// How often it was waited for since it was open.
    turns: usize,
}

impl Gate {
    /// Before anything is given.
    pub fn new(client: &Client) -> Self {
        Gate {
            statistics: client.statistics(),
            given: VecDeque::new(),
            bytes: 0,
            begun: 0,
            turns: 0,
        }
    }

    /// Whether a message of so many bytes may be given now.
    pub fn is_open(&mut self, bytes: usize) -> bool {
        if !self.has_room(bytes) {
            self.look();
        }
        let is_open = self.has_room(bytes);
        if is_open {
            self.turns = 0;
        }
        is_open
    }

    /// Waits a little for the client library to go on.
    pub async fn wait(&mut self) {
        if self.turns < TURNS_MAX {
            self.turns += 1;
            yield_now().await;
        } else {
            sleep(PAUSE).await;
        }
    }

    /// A message was given.
    pub fn given(&mut self, bytes: usize) {
        self.given.push_back(bytes);
        self.bytes += bytes;
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= GIVEN_BYTES_MAX
    }

    fn look(&mut self) {
        let begun = self.statistics.out_messages.load(Ordering::Relaxed);
        for _ in self.begun..begun {
            self.bytes -= self.given.pop_front().unwrap_or_default();
        }
        self.begun = begun;
    }
}
