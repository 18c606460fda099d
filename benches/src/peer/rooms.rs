//! Rooms as the users of such libraries write them: a map of channels, one a member, behind a mutex.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Messages that may wait for one member; one that lets more wait is let go.
const WAITING_MAX: usize = 4096;

type Members<M> = HashMap<u64, Sender<M>>;

/// All rooms of a server. `M` is a message, cheap to clone.
#[derive(Debug)]
pub struct Rooms<M>(Arc<Mutex<Inner<M>>>);

#[derive(Debug)]
struct Inner<M> {
    rooms: HashMap<String, Members<M>>,
    next: u64,
}

/// A place in a room, given up when it is dropped.
#[derive(Debug)]
pub struct Membership<M> {
    rooms: Rooms<M>,
    room: String,
    id: u64,
}

impl<M> Clone for Rooms<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M> Default for Rooms<M> {
    fn default() -> Self {
        let inner = Inner {
            rooms: HashMap::new(),
            next: 0,
        };
        Self(Arc::new(Mutex::new(inner)))
    }
}

impl<M> Rooms<M> {
    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins a room; what the others say there comes out of the receiver, which ends when the member is let go.
    pub fn join(&self, room: String) -> (Membership<M>, Receiver<M>) {
        let (sender, receiver) = channel(WAITING_MAX);
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        inner
            .rooms
            .entry(room.clone())
            .or_default()
            .insert(id, sender);
        drop(inner);
        let rooms = self.clone();
        (Membership { rooms, room, id }, receiver)
    }
}

impl<M: Clone> Membership<M> {
    /// Says something to all others in the room.
    pub fn publish(&self, message: &M) {
        let mut inner = self.rooms.lock();
        if let Some(members) = inner.rooms.get_mut(&self.room) {
            members.retain(|&id, sender| id == self.id || sender.try_send(message.clone()).is_ok());
        }
    }

    /// Puts something into this member's own channel, such as a pong.
    pub fn reply(&self, message: M) {
        let inner = self.rooms.lock();
        let members = inner.rooms.get(&self.room);
        if let Some(sender) = members.and_then(|members| members.get(&self.id)) {
            // A full channel means that the peer does not read; it will be let go by the next message.
            let _ = sender.try_send(message);
        }
    }
}

impl<M> Drop for Membership<M> {
    fn drop(&mut self) {
        let mut inner = self.rooms.lock();
        if let Some(members) = inner.rooms.get_mut(&self.room) {
            members.remove(&self.id);
            if members.is_empty() {
                inner.rooms.remove(&self.room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reaches_all_others_of_its_room_and_who_left_is_gone() {
        let rooms = Rooms::default();
        let (one, mut to_one) = rooms.join("a".to_owned());
        let (two, mut to_two) = rooms.join("a".to_owned());
        let (_other, mut to_other) = rooms.join("b".to_owned());
        one.publish(&1);
        assert_eq!(to_two.try_recv().ok(), Some(1));
        assert!(to_one.try_recv().is_err() && to_other.try_recv().is_err());
        drop(one);
        two.publish(&2);
        assert!(to_one.try_recv().is_err());
        drop(two);
        assert_eq!(rooms.lock().rooms.len(), 1, "an empty room is forgotten");
    }

    #[test]
    fn who_does_not_read_is_let_go() {
        let rooms = Rooms::default();
        let (one, _to_one) = rooms.join("a".to_owned());
        let (_two, mut to_two) = rooms.join("a".to_owned());
        for message in 0..=WAITING_MAX {
            one.publish(&message);
        }
        let received = std::iter::from_fn(|| to_two.try_recv().ok()).count();
        assert_eq!(received, WAITING_MAX);
        assert!(to_two.is_closed());
    }
}
