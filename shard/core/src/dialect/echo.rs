//! `GET /echo`: every message comes back.

use ringmain_proto::ws::{MessageKind, Opcode, Payload};

use super::{Actions, Dialect, Encoding};
use crate::close::CloseReason;

/// The echo dialect. It has no state and no room.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl Dialect for Echo {
    fn receive(
        &mut self,
        kind: MessageKind,
        payload: Payload<'_>,
        actions: &mut impl Actions,
    ) -> Result<(), CloseReason> {
        let opcode = match kind {
            MessageKind::Text => Opcode::Text,
            MessageKind::Binary => Opcode::Binary,
        };
        actions.reply(opcode, payload);
        Ok(())
    }

    fn encoding(&self) -> Encoding {
        Encoding::Plain
    }
}
