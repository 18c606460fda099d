//! Before a session has its own dialect: its first message is a token.

use ringmain_proto::ws::{MessageKind, Payload};

use super::{Actions, Dialect, Encoding};
use crate::close::CloseReason;
use crate::limits::TOKEN_BYTES_MAX;
use crate::refused_token::RefusedToken;

/// A session whose client has yet to say who it is. It is in no room, so nothing is published to it, and what it says is
/// published to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaiting {
    /// The token is to come.
    Token,
    /// The token has come, and is looked at.
    Answer,
}

impl Dialect for Awaiting {
    fn receive(
        &mut self,
        kind: MessageKind,
        payload: Payload<'_>,
        actions: &mut impl Actions,
    ) -> Result<(), CloseReason> {
        match (*self, kind) {
            (Awaiting::Token, MessageKind::Text) if payload.len() <= TOKEN_BYTES_MAX => {
                actions.ask(payload);
                *self = Awaiting::Answer;
                Ok(())
            }
            (Awaiting::Token, kind) => {
                actions.refuse_token(match kind {
                    MessageKind::Text => RefusedToken::TooLong,
                    MessageKind::Binary => RefusedToken::Malformed,
                });
                Err(CloseReason::TokenRefused)
            }
            // Nothing is received while the answer is awaited.
            (Awaiting::Answer, _) => Err(CloseReason::TokenRefused),
        }
    }

    fn encoding(&self) -> Encoding {
        Encoding::Plain
    }
}
