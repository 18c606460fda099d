//! What a shard's outboxes and unfinished messages hold, in bytes.

use std::cell::Cell;
use std::rc::Rc;

/// A count of bytes that everything of one shard shares which holds some.
#[derive(Clone, Debug, Default)]
pub struct Meter(Rc<Cell<usize>>);

impl Meter {
    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.0.get()
    }

    /// Counts bytes that are held from now on.
    pub fn hold(&self, bytes: usize) {
        self.0.set(self.0.get() + bytes);
    }

    /// Counts bytes that are let go.
    pub fn release(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }
}
