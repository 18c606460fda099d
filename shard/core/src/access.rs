//! What somebody may do in rooms.

use ringmain_router::RoomName;

use crate::pattern::Pattern;
use crate::tick::Tick;

/// Rules that one token or one set of rights may have.
pub const RULES_MAX: usize = 64;

/// Rooms, and what may be done in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRule {
    /// Whose names match it.
    pub rooms: Pattern,
    /// To become a member, or listen to an event stream.
    pub join: bool,
    /// To publish.
    pub publish: bool,
}

/// What somebody may do: what any of the rules allows. Without a rule, nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(Vec<RoomRule>);

impl Rights {
    /// What these rules allow; `None` if they are more than [`RULES_MAX`].
    pub fn new(rules: Vec<RoomRule>) -> Option<Self> {
        (rules.len() <= RULES_MAX).then_some(Rights(rules))
    }

    /// Everything in every room.
    pub fn all() -> Self {
        let rooms = Pattern::any();
        Rights(vec![RoomRule {
            rooms,
            join: true,
            publish: true,
        }])
    }

    /// The rules.
    pub fn rules(&self) -> &[RoomRule] {
        &self.0
    }

    /// Whether they allow nothing at all.
    pub fn are_none(&self) -> bool {
        self.0.iter().all(|rule| !rule.join && !rule.publish)
    }

    /// What is allowed in this room.
    pub fn in_room(&self, room: &RoomName) -> RoomRights {
        let mut rights = RoomRights::default();
        for rule in &self.0 {
            if rule.rooms.matches(room.as_str()) {
                rights.join |= rule.join;
                rights.publish |= rule.publish;
            }
        }
        rights
    }
}

/// What is allowed in one room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomRights {
    /// To become a member, or listen to an event stream.
    pub join: bool,
    /// To publish.
    pub publish: bool,
}

/// How a session comes to what it may do in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is known.
    Granted(Pass),
    /// The first message is a token, and has to come within so many milliseconds.
    Awaited {
        /// From when the connection is open.
        wait_ms: u64,
    },
}

impl Default for Access {
    fn default() -> Self {
        Access::Granted(Pass::default())
    }
}

/// What a session that may join its room may do besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// To publish.
    pub publish: bool,
    /// When it ends.
    pub expiry: Expiry,
}

impl Default for Pass {
    fn default() -> Self {
        Pass {
            publish: true,
            expiry: Expiry::NEVER,
        }
    }
}

/// When something ends, in whole seconds of the shard's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(u32);

impl Expiry {
    /// It does not end.
    pub const NEVER: Expiry = Expiry(u32::MAX);

    /// The first whole second that is not before `at`.
    pub fn at(at: Tick) -> Self {
        Expiry(u32::try_from(at.0.div_ceil(1_000)).unwrap_or(u32::MAX))
    }

    /// When that is, if ever.
    pub fn tick(self) -> Option<Tick> {
        (self != Self::NEVER).then(|| Tick(u64::from(self.0) * 1_000))
    }
}

/// What becomes of a message that its sender may not publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefusedPublish {
    /// The connection is closed.
    #[default]
    Close,
    /// The message is dropped, and counted.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(rooms: &str, join: bool, publish: bool) -> RoomRule {
        let rooms = Pattern::new(rooms).expect("a pattern");
        RoomRule {
            rooms,
            join,
            publish,
        }
    }

    fn room(name: &str) -> RoomName {
        RoomName::new(name.as_bytes()).expect("a name")
    }

    #[test]
    fn what_any_rule_allows_is_allowed_and_nothing_else() {
        let rules = vec![
            rule("chat:*", true, false),
            rule("chat:lobby", false, true),
            rule("news", true, false),
        ];
        let rights = Rights::new(rules).expect("few");
        let allowed = |name: &str| {
            let rights = rights.in_room(&room(name));
            (rights.join, rights.publish)
        };
        assert_eq!(allowed("chat:lobby"), (true, true));
        assert_eq!(allowed("chat:cellar"), (true, false));
        assert_eq!(allowed("news"), (true, false));
        assert_eq!(allowed("newsroom"), (false, false));
        assert!(!rights.are_none());
        assert!(Rights::default().are_none());
        assert!(Rights::new(vec![rule("*", false, false)]).is_some_and(|none| none.are_none()));
        let all = Rights::all().in_room(&room("any"));
        assert!(all.join && all.publish);
    }

    #[test]
    fn too_many_rules_are_none() {
        let rules = |count| vec![rule("*", true, true); count];
        assert!(Rights::new(rules(RULES_MAX)).is_some());
        assert!(Rights::new(rules(RULES_MAX + 1)).is_none());
    }
}
