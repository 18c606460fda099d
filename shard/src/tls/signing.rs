//! At most one signature a turn: a storm of handshakes shall not keep a shard from those that it has.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use crate::place::Place;

/// Hellos that are answered in one turn, as long as none of them takes a signature: those with a ticket.
const TURN_ANSWERS_MAX: usize = 8;

thread_local! {
    static SIGNATURES: Cell<u64> = const { Cell::new(0) };
}

/// Signatures that this thread has made.
pub fn signatures() -> u64 {
    SIGNATURES.get()
}

/// A key whose signatures are counted.
#[derive(Debug)]
pub struct CountedKey(pub Arc<dyn SigningKey>);

#[derive(Debug)]
struct CountedSigner(Box<dyn Signer>);

impl SigningKey for CountedKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(CountedSigner(signer)))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for CountedSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        SIGNATURES.set(SIGNATURES.get() + 1);
        self.0.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

/// Those whose hello is to be answered, in the order in which they came. No more than there are handshakes under way.
#[derive(Default)]
pub struct SigningQueue {
    waiting: RefCell<VecDeque<Rc<Place>>>,
    answers: Cell<usize>,
    /// The count of signatures when this turn began.
    signatures: Cell<u64>,
    /// One of those who waited has its turn, and has not run yet.
    is_taken: Cell<bool>,
}

impl SigningQueue {
    /// Waits for the turn to answer. [`done`](Self::done) has to follow before anything else is awaited.
    pub async fn turn(&self) {
        if self.waiting.borrow().is_empty() && self.is_open() {
            return self.is_taken.set(true);
        }
        let place = Rc::new(Place::default());
        self.waiting.borrow_mut().push_back(place.clone());
        place.wait().await;
    }

    /// An answer was given, or none was due. Returns whether somebody still waits.
    pub fn done(&self) -> bool {
        self.is_taken.set(false);
        self.answers.set(self.answers.get() + 1);
        self.call();
        !self.waiting.borrow().is_empty()
    }

    /// Begins a turn. Returns whether somebody waits.
    pub fn begin_turn(&self) -> bool {
        self.answers.set(0);
        self.signatures.set(signatures());
        self.call();
        !self.waiting.borrow().is_empty()
    }

    /// Whether one more may be answered in this turn.
    pub fn is_open(&self) -> bool {
        !self.is_taken.get()
            && self.answers.get() < TURN_ANSWERS_MAX
            && self.signatures.get() == signatures()
    }

    fn call(&self) {
        if !self.is_open() {
            return;
        }
        if let Some(place) = self.waiting.borrow_mut().pop_front() {
            self.is_taken.set(true);
            place.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn sign() {
        SIGNATURES.set(SIGNATURES.get() + 1);
    }

    type Task<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

    /// Polls each of these that is not done, and lets whose turn it is answer. Returns who answered.
    fn run<'a>(
        queue: &SigningQueue,
        tasks: &mut [Option<Task<'a>>],
        signs: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut context = Context::from_waker(Waker::noop());
        let mut answered = Vec::new();
        let mut progress = true;
        while std::mem::take(&mut progress) {
            for (index, slot) in tasks.iter_mut().enumerate() {
                if let Some(task) = slot
                    && task.as_mut().poll(&mut context).is_ready()
                {
                    if signs(index) {
                        sign();
                    }
                    queue.done();
                    *slot = None;
                    answered.push(index);
                    progress = true;
                }
            }
        }
        answered
    }

    #[test]
    fn one_signature_a_turn_in_the_order_of_arrival_and_some_answers_without() {
        let queue = SigningQueue::default();
        queue.begin_turn();
        let mut tasks: Vec<_> = (0..12)
            .map(|_| Some(Box::pin(queue.turn()) as Task<'_>))
            .collect();
        // The third and the last sign; all others have a ticket.
        let signs = |index| index == 2 || index == 11;
        assert_eq!(run(&queue, &mut tasks, signs), [0, 1, 2]);
        assert!(queue.begin_turn());
        assert_eq!(run(&queue, &mut tasks, signs), [3, 4, 5, 6, 7, 8, 9, 10]);
        queue.begin_turn();
        assert_eq!(run(&queue, &mut tasks, signs), [11]);
        assert!(!queue.begin_turn());
        // Who comes now waits for nobody.
        let mut late = pin!(queue.turn());
        let mut context = Context::from_waker(Waker::noop());
        assert!(late.as_mut().poll(&mut context).is_ready());
    }
}
