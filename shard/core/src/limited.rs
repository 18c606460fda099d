//! What the limits have a connection remember.

use ringmain_router::{SubjectId, SubjectKind};

use crate::access::Pass;
use crate::dialect::Target;
use crate::rates::ConnectionPace;
use crate::tick::Tick;

/// How one connection stands to the limits. Only a connection that is limited has it.
#[derive(Debug, Default)]
pub struct Limited {
    /// How it stands to its rates.
    pub pace: ConnectionPace,
    /// Whom it is counted for by its address, or will be.
    pub address: Option<SubjectId>,
    /// Whom it is counted for by its user, or will be.
    pub user: Option<SubjectId>,
    /// Whose it is by its token, counted or not.
    pub owner: Option<SubjectId>,
    /// For which of them it waits to be counted.
    pub asking: Option<SubjectKind>,
    /// Where it goes and what it may do there once it is counted, if its token came as a message.
    pub pending: Option<Box<(Target, Pass)>>,
    /// It was not let in.
    pub is_denied: bool,
    /// When it last broke a limit and that was noted.
    pub offended: Option<Tick>,
}

impl Limited {
    /// Whom it is counted for.
    pub fn subject(&self, kind: SubjectKind) -> Option<SubjectId> {
        match kind {
            SubjectKind::Address => self.address,
            SubjectKind::User => self.user,
        }
    }

    /// The same, to be set.
    pub fn subject_mut(&mut self, kind: SubjectKind) -> &mut Option<SubjectId> {
        match kind {
            SubjectKind::Address => &mut self.address,
            SubjectKind::User => &mut self.user,
        }
    }
}
