//! What may be behind messages that went elsewhere than expected.

use super::Report;
use crate::settings::{Settings, Work};

/// What to look at, where the way in which messages went astray says it.
pub fn of_deliveries(settings: &Settings, report: &Report) -> Option<String> {
    let words = match settings.work {
        Work::Echo { .. } if report.sent > 0 && report.received == 0 => {
            "no message came back: is --url one that answers each binary message with itself? For rooms there are fanout \
             and chat"
        }
        Work::Fanout { own: false, .. } if report.unexpected > 0 => {
            "messages came to whom they were not for: if the target sends them to their publisher too, fanout takes --own"
        }
        Work::Fanout { .. } if report.sent > 0 && report.expected > 0 && report.received == 0 => {
            "no message reached another connection: do all that connect to --url hear each other there?"
        }
        _ => return None,
    };
    Some(words.to_owned())
}
