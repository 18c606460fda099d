//! The scenarios: what each is made of.

use super::{
    HANDSHAKES_MAX, Pace, Policy, Settings, SettingsError, SlowReaders, Visits, Work, at_least,
    bounds, duration, positive, seconds, share,
};
use crate::cli::{self, Common, Job, Messages};

/// Messages under way at once that one sender may have: more would be kept for the whole run.
const IN_FLIGHT_MAX: u32 = 65_536;
/// Members of each room where a URL without a path says nothing of rooms.
const CONNECT_MEMBERS: u32 = 100;
/// Visitors come back no sooner than this many times their stay: a visit also takes its handshake and close.
const VISITOR_ROUND: f64 = 2.0;
/// The fewest visits a second.
const VISITS_MIN: f64 = 0.001;
/// What a slow member may read at most, in bytes a second: beyond it is not slow.
const SLOW_BYTES_PER_SECOND_MAX: u32 = 1_000_000;
/// Visitors of one run.
const VISITORS_MAX: f64 = 1_000_000.0;
/// Seconds that a storm may take, and that a soak takes, unless told otherwise.
const STORM_SECONDS: f64 = 60.0;
const SOAK_SECONDS: f64 = 3600.0;
/// Members of a room who talk by the clock unless told otherwise: one of so many each second.
const SENDERS_A_MESSAGE: f64 = 10.0;
/// Messages a second that all together send at least, unless told otherwise.
const RATE_DEFAULT_MIN: f64 = 10.0;

/// Checks a scenario's command line.
pub(super) fn settings(job: &Job) -> Result<Settings, SettingsError> {
    let settings = of(job)?;
    let needs_time = settings.pace().is_some() || settings.storm.is_some();
    if needs_time && settings.duration_ns == 0 {
        return Err(bounds("--duration", 0, "more than 0: messages take time"));
    }
    Ok(settings)
}

fn of(job: &Job) -> Result<Settings, SettingsError> {
    match job {
        Job::Connect(connect) => self::connect(connect),
        Job::Echo(echo) => {
            let pace = pace(&echo.messages, None)?;
            Settings::with("echo", &echo.common, Work::Echo { pace })?.with_messages(&echo.messages)
        }
        Job::Fanout(fanout) => {
            let work = rooms(
                &fanout.common,
                &fanout.rooms,
                &fanout.messages,
                fanout.own,
                false,
            )?;
            Settings::with("fanout", &fanout.common, work)?.with_messages(&fanout.messages)
        }
        Job::Chat(chat) => {
            let work = small_rooms(&chat.common, chat.members, &chat.messages)?;
            Settings::with("chat", &chat.common, work)?.with_messages(&chat.messages)
        }
        Job::Idle(idle) => {
            let work = held(&idle.common, &idle.members, idle.probe)?;
            Settings::with("idle", &idle.common, work)
        }
        Job::Churn(churn) => {
            let work = rooms(&churn.common, &churn.rooms, &churn.messages, false, true)?;
            let settings =
                Settings::with("churn", &churn.common, work)?.with_messages(&churn.messages)?;
            with_visits(settings, &churn.visits)
        }
        Job::Storm(storm) => self::storm(storm),
        Job::Slow(slow) => self::slow(slow),
        Job::Soak(soak) => self::soak(soak),
    }
}

fn connect(connect: &cli::Connect) -> Result<Settings, SettingsError> {
    let work = Work::Idle {
        rooms: connect.common.connections.div_ceil(CONNECT_MEMBERS).max(1),
        probe: false,
    };
    let mut settings = Settings::with("connect", &connect.common, work)?;
    settings.duration_ns = duration(&connect.common, 0.0)?;
    if connect.storm {
        settings.handshakes_max = u32::MAX;
    }
    Ok(settings)
}

fn storm(storm: &cli::Storm) -> Result<Settings, SettingsError> {
    let work = held(&storm.common, &storm.members, true)?;
    let mut settings = Settings::with("storm", &storm.common, work)?;
    settings.duration_ns = duration(&storm.common, STORM_SECONDS)?;
    let policy = Policy::parse(&storm.policy).ok_or_else(|| {
        let wanted =
            "at-once, fixed:SECONDS or backoff:FIRST:MOST, as in backoff:1:30, with FIRST no more than MOST";
        bounds("--policy", &storm.policy, wanted)
    })?;
    if policy.first_ns_max() >= settings.duration_ns {
        let wanted = "times below --duration, or nobody may be back by then";
        return Err(bounds("--policy", &storm.policy, wanted));
    }
    settings.storm = Some(policy);
    // Before the storm the ramp is as usual; in it nothing holds the clients back.
    settings.storm_handshakes_max = storm.common.handshakes_max.unwrap_or(u32::MAX);
    settings.handshakes_max = storm.common.handshakes_max.unwrap_or(HANDSHAKES_MAX);
    Ok(settings)
}

fn slow(slow: &cli::Slow) -> Result<Settings, SettingsError> {
    let share = share("--slow-share", &slow.slow_share)?;
    let connections = slow.common.connections;
    // Whoever asks for some wants at least one.
    let count = (f64::from(connections) * share).round().max(share.ceil()) as u32;
    let steady = connections.saturating_sub(count);
    let publishers = slow.rooms.publishers.unwrap_or(slow.rooms.rooms);
    if steady < publishers.saturating_add(slow.rooms.rooms) {
        let wanted = format!(
            "more, or a smaller --slow-share: {publishers} publish, one in each of {} rooms must listen, and {count} are slow",
            slow.rooms.rooms
        );
        return Err(bounds("--connections", connections, wanted));
    }
    let work = rooms(&slow.common, &slow.rooms, &slow.messages, false, true)?;
    let mut settings = Settings::with("slow", &slow.common, work)?.with_messages(&slow.messages)?;
    settings.slow = Some(SlowReaders {
        count,
        bytes_per_second: slow_speed(slow.slow_bytes_per_second)?,
    });
    Ok(settings)
}

fn soak(soak: &cli::Soak) -> Result<Settings, SettingsError> {
    let work = small_rooms(&soak.common, soak.members, &soak.messages)?;
    let mut settings = Settings::with("soak", &soak.common, work)?.with_messages(&soak.messages)?;
    settings.duration_ns = duration(&soak.common, SOAK_SECONDS)?;
    settings.growth_max = match soak.growth_max.as_str() {
        "none" => None,
        growth_max => Some(share("--growth-max", growth_max)?),
    };
    with_visits(settings, &soak.visits)
}

fn slow_speed(bytes_per_second: u32) -> Result<u32, SettingsError> {
    if bytes_per_second > SLOW_BYTES_PER_SECOND_MAX {
        let wanted = format!("{SLOW_BYTES_PER_SECOND_MAX} or less");
        return Err(bounds("--slow-bytes-per-second", bytes_per_second, wanted));
    }
    Ok(bytes_per_second)
}

/// Connections that are held in rooms.
fn held(common: &Common, members: &cli::Members, probe: bool) -> Result<Work, SettingsError> {
    let members = at_least("--members-per-room", members.members_per_room, 1)?;
    Ok(Work::Idle {
        rooms: common.connections.div_ceil(members),
        probe,
    })
}

/// Rooms with some who publish.
fn rooms(
    common: &Common,
    given: &cli::Rooms,
    messages: &Messages,
    own: bool,
    open: bool,
) -> Result<Work, SettingsError> {
    let connections = common.connections;
    let rooms = at_least("--rooms", given.rooms, 1)?;
    // A room needs a publisher and somebody to receive, or nothing would ever be delivered there.
    let members_min = if own { 1 } else { 2 };
    if connections / rooms < members_min {
        let wanted = format!(
            "at least {}: {rooms} rooms need {members_min} members each",
            u64::from(rooms) * u64::from(members_min)
        );
        return Err(bounds("--connections", connections, wanted));
    }
    let publishers = given.publishers.unwrap_or(rooms);
    if !(1..=connections).contains(&publishers) {
        let wanted = format!("1 to {connections}, the number of connections");
        return Err(bounds("--publishers", publishers, wanted));
    }
    Ok(Work::Fanout {
        rooms,
        publishers,
        pace: pace(messages, open.then_some(publishers))?,
        own,
    })
}

/// Rooms of some members each, who all talk.
fn small_rooms(common: &Common, members: u32, messages: &Messages) -> Result<Work, SettingsError> {
    let members = at_least("--members", members, 2)?;
    let connections = at_least("--connections", common.connections, 2)?;
    Ok(Work::Fanout {
        // Nobody talks alone.
        rooms: connections.div_ceil(members).min(connections / 2),
        publishers: connections,
        pace: pace(messages, Some(connections))?,
        own: false,
    })
}

fn with_visits(mut settings: Settings, given: &cli::Visits) -> Result<Settings, SettingsError> {
    let rate = positive("--visits", given.visits)?;
    if rate < VISITS_MIN {
        let wanted = format!("{VISITS_MIN} a second or more");
        return Err(bounds("--visits", given.visits, wanted));
    }
    let stay_ns = seconds("--stay", given.stay, 0.001)?;
    let visitors = (rate * given.stay * VISITOR_ROUND + rate).ceil();
    if visitors > VISITORS_MAX {
        let wanted = format!(
            "less: with a --stay of {} s it takes {visitors} connections",
            given.stay
        );
        return Err(bounds("--visits", given.visits, wanted));
    }
    if settings.connections.checked_add(visitors as u32).is_none() {
        return Err(bounds("--connections", settings.connections, "less"));
    }
    settings.visits = Some(Visits {
        visitors: visitors as u32,
        rate,
        stay_ns,
    });
    Ok(settings)
}

/// When messages are sent. With `senders`, an open loop is the default, and its rate depends on them.
fn pace(messages: &Messages, senders: Option<u32>) -> Result<Pace, SettingsError> {
    if let Some(rate) = messages.rate_messages {
        let rate = positive("--rate-messages", rate)?;
        return Ok(Pace::Open { rate });
    }
    if let (None, Some(senders)) = (messages.in_flight, senders) {
        let rate = (f64::from(senders) / SENDERS_A_MESSAGE).max(RATE_DEFAULT_MIN);
        return Ok(Pace::Open { rate });
    }
    let in_flight = messages.in_flight.unwrap_or(1);
    if !(1..=IN_FLIGHT_MAX).contains(&in_flight) {
        let wanted = format!("1 to {IN_FLIGHT_MAX}");
        return Err(bounds("--in-flight", in_flight, wanted));
    }
    Ok(Pace::Closed { in_flight })
}
