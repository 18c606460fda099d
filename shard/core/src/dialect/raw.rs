//! `GET /raw/{room}`: every message reaches the room's other members, its opcode and bytes unchanged.

use ringmain_proto::ws::{MessageKind, Payload};
use ringmain_router::PayloadKind;

use super::{Actions, Dialect, Encoding};
use crate::close::CloseReason;

/// The raw dialect.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    /// The sender gets its own messages too (`?self=1`).
    pub to_self: bool,
    /// The sender may publish.
    pub publishes: bool,
}

impl Dialect for Raw {
    fn receive(
        &mut self,
        kind: MessageKind,
        payload: Payload<'_>,
        actions: &mut impl Actions,
    ) -> Result<(), CloseReason> {
        if !self.publishes {
            return actions.refuse_publish();
        }
        let kind = match kind {
            MessageKind::Text => PayloadKind::Text,
            MessageKind::Binary => PayloadKind::Binary,
        };
        actions.publish(kind, payload, self.to_self);
        Ok(())
    }

    fn encoding(&self) -> Encoding {
        Encoding::Plain
    }
}
