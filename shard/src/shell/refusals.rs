//! Connections that are refused, until they have read why.

use std::net::Shutdown;
use std::rc::Rc;

use ringmain_core::Tick;

use super::Shell;
use crate::REFUSAL_MS;
use crate::transport::Transport;

impl Shell {
    /// Refused connections that are still being told.
    pub fn refusals(&self) -> usize {
        self.refused.borrow().len()
    }

    /// Keeps a refused connection until the peer has read its answer, or for a second.
    pub fn refuse(&self, transport: Rc<Transport>) {
        let at = self.now().plus(REFUSAL_MS);
        self.turns.request();
        self.refused.borrow_mut().push_back((at, transport));
    }

    /// A refused connection is at its end.
    pub fn refusal_done(&self, transport: &Rc<Transport>) {
        self.refused
            .borrow_mut()
            .retain(|(_, refused)| !Rc::ptr_eq(refused, transport));
        self.wake_accepting();
    }

    pub(super) fn shut_refused(&self, now: Tick) {
        for (at, transport) in &*self.refused.borrow() {
            if *at > now {
                break;
            }
            transport.shutdown(Shutdown::Both);
        }
    }
}
